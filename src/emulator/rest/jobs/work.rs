//! The work of jobs, in the background: an upload in batches of transactions, a query in slices.
//!
//! The org is asked for one transaction, or one slice, at a time; between them other requests pass.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::bulk::csv::{Cells, Reader, Sheet};
use crate::bulk::ingest::{Columns, Operation, Outcome, Spec, error_text};
use crate::bulk::query::Table;
use crate::bulk::{Begun, BegunQuery, Store};
use crate::faults::Target;
use crate::host::Host;
use crate::org::{Asked, Caller, Id, Options, Org, SaveError, Saved, Write};
use crate::soql;

/// Rows of an internal batch (bulk2.md section 4).
const BATCH: usize = 10_000;
/// Rows of a transaction.
const CHUNK: usize = 200;
/// Bytes of an upload that are cut into rows at once, and rows of a query that are read at once.
const CUT: usize = 1024 * 1024;
const SLICE: usize = 2_000;

pub fn start_ingest(host: &Arc<Host>, id: Id) {
    let later = host.clone();
    host.spawn(async move {
        let waits = |bulk: &mut Store| bulk.waits(&id);
        pause(&later).await;
        held(&later, 0, waits).await;
        let Some(begun) = later.bulk().begin(&id, later.now()) else { return };
        pause(&later).await;
        let error = ingest(&later, &id, &begun).await.err();
        later.bulk().finish(&id, error, later.now());
        later.notify();
    });
}

pub fn start_query(host: &Arc<Host>, id: Id) {
    let later = host.clone();
    host.spawn(async move {
        let waits = |bulk: &mut Store| bulk.query_waits(&id);
        pause(&later).await;
        held(&later, 0, waits).await;
        let Some(begun) = later.bulk().begin_query(&id, later.now()) else { return };
        pause(&later).await;
        let result = read(&later, &id, &begun).await;
        later.bulk().finish_query(&id, result, later.now());
        later.notify();
    });
}

async fn pause(host: &Host) {
    let delay = host.bulk().settings().delay_ms;
    tokio::time::sleep(Duration::from_millis(delay)).await;
}

/// Waits before a row, for as long as jobs have to and this one is still wanted.
async fn held(host: &Host, row: usize, wanted: impl Fn(&mut Store) -> bool) {
    let mut changes = host.changes();
    loop {
        changes.borrow_and_update();
        {
            let mut bulk = host.bulk();
            if !bulk.holds(row) || !wanted(&mut bulk) {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Does all rows of a job that is begun; an abort ends it before.
///
/// # Errors
/// The message of a job that fails.
async fn ingest(host: &Host, id: &Id, begun: &Begun) -> Result<(), String> {
    let strict = host.switches().line_breaks_fail_job;
    let mut reader = Reader::new(begun.data.clone(), begun.format, strict);
    while reader.advance(CUT) {
        tokio::task::yield_now().await;
    }
    let sheet = Arc::new(reader.finish());
    host.bulk().keep_sheet(id, sheet.clone());
    if sheet.wrong_line_end() {
        let set = begun.format.line_ending.name();
        return Err(format!(
            "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {set}"
        ));
    }
    let columns = Columns::resolve(&host.org(), &begun.user, &begun.spec, begun.version, &sheet)?;
    let upload = Upload { host, begun, sheet: &sheet, columns, caller: caller(host, begun) };
    let mut done = 0;
    let fails = begun.faults.fail_after_rows.unwrap_or(usize::MAX);
    while done < sheet.len() {
        host.bulk().take_batch(host.now())?;
        let end = sheet.len().min(done + BATCH);
        let doubles = upload.doubles(done..end);
        while done < end {
            held(host, done, |bulk| bulk.working(id).is_some()).await;
            if host.bulk().working(id).is_none() {
                return Ok(()); // aborted
            }
            if done >= fails {
                return Err(TOO_MANY_RETRIES.into());
            }
            let stop = host.bulk().settings().hold_at.filter(|row| *row > done).unwrap_or(usize::MAX);
            let to = end.min(done + CHUNK).min(fails).min(stop);
            let start = host.now();
            let outcomes = upload.transact(done..to, &doubles);
            host.notify();
            if !host.bulk().record(id, outcomes, host.now() - start) {
                return Ok(());
            }
            done = to;
            let transaction = host.switches().transaction_ms;
            match transaction {
                0 => tokio::task::yield_now().await,
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
        }
    }
    if done >= fails { Err(TOO_MANY_RETRIES.into()) } else { Ok(()) }
}

/// What a job of either kind says that was tried too often.
const TOO_MANY_RETRIES: &str = "InternalServerError : Retried more than fifteen times";

fn caller(host: &Host, begun: &Begun) -> Caller {
    Caller {
        auto_assign: begun.spec.assignment_rule.is_some(),
        unchanged_masters: !host.switches().unchanged_master_refused,
        ..Caller::new(begun.user.clone(), begun.spec.origin.clone())
    }
}

/// An upload whose columns are known.
struct Upload<'a> {
    host: &'a Host,
    begun: &'a Begun,
    sheet: &'a Sheet,
    columns: Columns,
    caller: Caller,
}

impl Upload<'_> {
    fn spec(&self) -> &Spec {
        &self.begun.spec
    }

    /// Rows of an internal batch whose external id another one has too, with that id: all of them fail.
    fn doubles(&self, rows: Range<usize>) -> HashMap<usize, String> {
        let Some(key) = self.spec().key.as_ref().and_then(|key| key.field) else { return HashMap::new() };
        let given: Vec<(usize, Map<String, Json>)> =
            rows.filter_map(|row| Some((row, self.columns.key_fields(&self.sheet.row(row).0)?))).collect();
        let by_case = !self.host.switches().doubles_ignore_case;
        let named: Vec<(usize, Option<String>, Option<String>)> = {
            let org = self.host.org();
            let name = |(row, fields): &(usize, Map<String, Json>)| {
                let given = org.given_key(self.spec().object, key, fields);
                let form = org.key_of(self.spec().object, key, fields);
                (*row, if by_case { form.and(given.clone()) } else { form }, given)
            };
            given.iter().map(name).collect()
        };
        let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
        for (_, form, _) in &named {
            if form.is_some() && !seen.insert(form) {
                twice.insert(form);
            }
        }
        let double = |(row, form, given): &(usize, Option<String>, Option<String>)| {
            twice.contains(form).then(|| (*row, given.clone().unwrap_or_default()))
        };
        named.iter().filter_map(double).collect()
    }

    /// Does some rows as one transaction.
    fn transact(&self, rows: Range<usize>, doubles: &HashMap<usize, String>) -> Vec<Outcome> {
        let cells: Vec<Cells> = rows.clone().map(|row| self.sheet.row(row)).collect();
        let write = |(row, (cells, fault)): (usize, &Cells)| {
            let write = self.columns.write(self.spec(), cells, *fault)?;
            match (doubles.get(&row), &self.spec().key) {
                (Some(given), Some(key)) => {
                    let message = format!("Duplicate external id specified: {given}");
                    Err(SaveError::new("DUPLICATE_VALUE", message).on(&key.name))
                }
                _ => Ok(write),
            }
        };
        let writes: Vec<Result<Write, SaveError>> = rows.clone().zip(&cells).map(write).collect();
        let (writes, mut locked) = self.host.faults().strike_records(&Target::ingest(), writes);
        for (row, locked) in rows.zip(&mut locked) {
            *locked |= row < self.begun.faults.lock_rows;
        }
        let options = Options {
            malformed_fails_alone: true,
            doubles_by_case: !self.host.switches().doubles_ignore_case,
            locked,
            ..Options::default()
        };
        let mut org = self.host.org();
        let now = self.host.now();
        org.run_flows(now);
        let count = writes.len();
        let mut results = org
            .transact(&self.caller, writes, &options, now)
            .unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect());
        tell_locks(&mut results);
        let outcome = |(result, (cells, _)): (Result<Saved, SaveError>, &Cells)| match result {
            Ok(Saved { id, created }) => {
                if self.spec().operation == Operation::HardDelete {
                    org.purge(&id);
                }
                Outcome::Saved { id, created }
            }
            Err(error) => {
                let error = error_text(&self.columns.told(error, cells));
                Outcome::Failed { id: self.known(&org, cells), error }
            }
        };
        results.into_iter().zip(&cells).map(outcome).collect()
    }

    /// The record that a row is about, by its id or by its key.
    fn known(&self, org: &Org, cells: &[std::borrow::Cow<'_, str>]) -> Option<Id> {
        let named = self.columns.named_id(cells);
        named.or_else(|| {
            let key = self.spec().key.as_ref()?.field?;
            let form = org.key_of(self.spec().object, key, &self.columns.key_fields(cells)?)?;
            let mut ids = org.table(self.spec().object).by_key(key, &form);
            ids.pop().filter(|_| ids.is_empty())
        })
    }
}

/// A transaction names all records at once whose locks it did not get (bulk2.md section 3).
fn tell_locks(results: &mut [Result<Saved, SaveError>]) {
    const ALONE: &str = " or 1 records: ";
    let id = |error: &SaveError| {
        let (_, id) = error.message.split_once(ALONE)?;
        (error.code == "UNABLE_TO_LOCK_ROW").then(|| id.to_owned())
    };
    let mut ids: Vec<String> = results.iter().filter_map(|result| id(result.as_ref().err()?)).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < 2 {
        return;
    }
    let all = format!(" or {} records: {}", ids.len(), ids.join(","));
    for error in results.iter_mut().filter_map(|result| result.as_mut().err()) {
        if let Some(alone) = id(error) {
            error.message = error.message.replace(&format!("{ALONE}{alone}"), &all);
        }
    }
}

/// Reads what a query finds: the rows are found at once and read in slices, so a change in between may be seen or
/// not, as on the platform, whose jobs are no snapshots either.
///
/// # Errors
/// The message of a job that fails.
async fn read(host: &Host, id: &Id, begun: &BegunQuery) -> Result<Table, String> {
    let query = soql::parse(&begun.soql).map_err(|error| format!("InvalidJob : {}", error.shown(&begun.soql)))?;
    let now = host.now();
    let asked = Asked { viewer: &begun.user, with_deleted: begun.with_deleted, now, base: "" };
    let (flat, mut ids) = {
        let org = host.org();
        let flat = org.flat(&query, asked).map_err(|error| format!("InvalidJob : {}", error.shown(&begun.soql)))?;
        let ids = flat.ids(&org, asked);
        (flat, ids)
    };
    if !flat.is_sorted() {
        fastrand::Rng::with_seed(begun.seed).shuffle(&mut ids);
    }
    let instants = flat.instants();
    let mut table = Table::new(begun.format, &flat.names());
    let mut done = 0;
    for slice in ids.chunks(SLICE) {
        held(host, done, |bulk| bulk.working_query(id).is_some()).await;
        if begun.fail_after_rows.is_some_and(|rows| done >= rows) {
            return Err(TOO_MANY_RETRIES.into());
        }
        flat.read(&host.org(), asked, slice.to_vec(), |values| table.push(begun.format, values, &instants));
        done += slice.len();
        match host.bulk().working_query(id) {
            Some(query) => query.processed = done,
            None => return Ok(table), // aborted: nobody will ask for it
        }
        tokio::task::yield_now().await;
    }
    Ok(table)
}
