//! Takes jobs of the past through their life, one at a time for a target: asks for a page, gives it to the machine, and saves
//! how far the job is once all of a page is settled.
//!
//! Here is what is known of the job that runs; the driver does the rest.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::machine::Machine;
use crate::event::{Found, RecordId, Seq};
use crate::hydrate;
use crate::mapping::{Mapping, Replies};
use crate::org::{CallError, Code, Disposition, JobId, Lost, Org};
use crate::past::source::{self, Beginning, NAMED_PAGE, ReadError, Step};
use crate::past::target;
use crate::publish::{Counterpart, Source};
use crate::retry::Backoff;
use crate::store::{Cursor, Job, JobNumber, PipelineId, Question, Store, Work};

/// Pages that are read and not settled.
const PAGES_MAX: usize = 4;
/// Between two questions, where the org is not done yet or does not answer.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How often what the org has prepared may be gone before the records are read without that.
const GONE_MAX: u32 = 2;
/// How often in a row the same is refused before the job fails.
const REFUSED_MAX: u32 = 10;
/// How often in a row there is no answer before another job has its turn.
const PATIENCE: u32 = 5;

/// The job that runs.
pub struct Running {
    pub job: Job,
    /// Where to read on; none: at the beginning, or all is read.
    read_to: Option<Cursor>,
    /// The query of which the org keeps the results.
    query: Option<JobId>,
    all_read: bool,
    asking: bool,
    again_at: Instant,
    backoff: Backoff,
    /// How often in a row there was no answer.
    tries: u32,
    /// How often what the org had prepared was gone.
    gone: u32,
    /// Whether any record of the target has a key, if that was asked.
    keyed: Option<bool>,
    pages: VecDeque<Pending>,
}

/// A page that the machine has.
struct Pending {
    /// Where the next one begins.
    next: Option<Cursor>,
    rows: u64,
    left: Vec<Source>,
}

/// What is asked next.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub number: JobNumber,
    pub pipeline: PipelineId,
    work: Work,
    cursor: Option<Cursor>,
    keyed: Option<bool>,
    by_bulk: bool,
    at: Seq,
}

/// What the orgs answered.
pub enum Told {
    Begun(Beginning),
    Page {
        at: Seq,
        found: HashMap<RecordId, Found>,
        there: HashMap<RecordId, Counterpart>,
        replies: Replies,
        next: Option<Cursor>,
        keyed: bool,
        /// Of an import: the counterparts that a person named.
        pairs: Option<HashMap<RecordId, RecordId>>,
        /// To the target.
        calls: u64,
    },
    NotYet,
    Gone,
}

/// Why there is no answer.
pub enum Failure {
    /// It may go well the next time.
    Again(CallError),
    /// It is about what was asked for: the error, and the same with the org's own words.
    Refused(CallError, String),
    /// It never will: why.
    Never(String),
}

/// What has become sure.
pub enum Sure {
    /// More than before: everything before the job's cursor.
    Moved,
    /// All is.
    Done,
}

impl Running {
    pub fn new(job: Job, now: Instant) -> Self {
        Self {
            read_to: job.cursor.clone(),
            query: job.cursor.as_ref().and_then(Cursor::query).cloned(),
            job,
            all_read: false,
            asking: false,
            again_at: now,
            backoff: Backoff::new(AGAIN_FIRST, AGAIN_MAX),
            tries: 0,
            gone: 0,
            keyed: None,
            pages: VecDeque::new(),
        }
    }

    /// The next question, if it is time for one. The machine must have room for the answer.
    pub fn next(&mut self, machine: &mut Machine, now: Instant) -> Option<Wanted> {
        if self.asking || self.all_read || self.pages.len() >= PAGES_MAX || now < self.again_at {
            return None;
        }
        // That ends the job, and all that it read must be settled by then.
        if matches!(self.read_to, Some(Cursor::Untold { .. })) && !self.pages.is_empty() {
            return None;
        }
        let at = machine.past_asked(self.job.pipeline)?;
        self.asking = true;
        Some(Wanted {
            number: self.job.number,
            pipeline: self.job.pipeline,
            work: self.job.work.clone(),
            cursor: self.read_to.clone(),
            keyed: self.keyed,
            by_bulk: self.gone < GONE_MAX,
            at,
        })
    }

    /// A job has begun: from here on it reads.
    pub fn begun(&mut self, beginning: Beginning) {
        self.asking = false;
        self.job.counts.total = beginning.total;
        self.job.counts.as_of = Some(beginning.as_of);
        self.job.cursor = Some(beginning.cursor.clone());
        self.query = beginning.cursor.query().cloned();
        self.read_to = Some(beginning.cursor);
    }

    /// The machine has a page with these records.
    pub fn page(&mut self, records: Vec<RecordId>, next: Option<Cursor>, keyed: bool) {
        self.answered();
        self.keyed = Some(keyed);
        self.all_read = next.is_none();
        self.read_to.clone_from(&next);
        let pipeline = self.job.pipeline;
        let left: Vec<Source> = records.into_iter().map(|record| Source { pipeline, record }).collect();
        self.pages.push_back(Pending { next, rows: left.len() as u64, left });
    }

    /// It must be asked again, later.
    pub fn again(&mut self, now: Instant) {
        self.asking = false;
        self.tries += 1;
        self.again_at = now + self.backoff.next_delay();
    }

    /// The org is at it: nothing is wrong.
    pub fn not_yet(&mut self, now: Instant) {
        self.again(now);
        self.tries = 0;
    }

    /// Whether a refusal is about what was asked for, and so will stay: nothing was read yet, or it came again and again.
    pub fn is_hopeless(&self) -> bool {
        self.job.counts.rows == 0 && self.pages.is_empty() && self.tries == 0 || self.tries >= REFUSED_MAX
    }

    /// Others may go on: nothing of it is with the machine, and it has waited for a while.
    pub fn may_step_back(&self) -> bool {
        self.is_at_rest() && self.tries >= PATIENCE
    }

    /// Nothing of it is with the machine, or asked for.
    pub fn is_at_rest(&self) -> bool {
        !self.asking && self.pages.is_empty()
    }

    /// What the org had prepared is gone: from the beginning.
    pub fn anew(&mut self, now: Instant) {
        self.again(now);
        self.gone += 1;
        (self.read_to, self.job.cursor, self.all_read) = (None, None, false);
        self.job.counts.rows = 0;
        self.pages.clear();
    }

    /// The query of which the org keeps the results.
    pub fn query(&self) -> Option<&JobId> {
        self.query.as_ref()
    }

    fn answered(&mut self) {
        self.asking = false;
        self.tries = 0;
        self.backoff.reset();
    }

    /// What is settled by now.
    pub fn sure(&mut self, machine: &Machine) -> Option<Sure> {
        let mut moved = None;
        while let Some(page) = self.pages.front_mut() {
            page.left.retain(|source| !machine.is_idle(*source));
            if !page.left.is_empty() {
                break;
            }
            if let Some(Pending { next, rows, .. }) = self.pages.pop_front() {
                self.job.counts.rows += rows;
                self.job.cursor = next;
                moved = Some(Sure::Moved);
            }
        }
        if self.all_read && self.pages.is_empty() { Some(Sure::Done) } else { moved }
    }
}

/// Asks the orgs for what a job wants next.
pub struct Asking<'a, S> {
    pub source: &'a Org,
    pub target: &'a Org,
    pub mapping: &'a Mapping,
    pub store: &'a S,
    pub replies: &'a Replies,
}

impl<S: Store> Asking<'_, S> {
    /// # Errors
    /// When an org does not answer, or refuses.
    pub async fn answer(&self, wanted: Wanted) -> Result<Told, Failure> {
        let Self { source, target, mapping, store, replies } = self;
        let Wanted { pipeline, work, cursor, keyed, by_bulk, at, .. } = wanted;
        // Where the store fails, the driver hears of it at its next word with it.
        let Some(cursor) = cursor else {
            let mut beginning =
                source::begin(source, mapping, &work, at, by_bulk).await.map_err(Failure::of_reading)?;
            if let Some(list) = work.list() {
                beginning.total = store.list_length(list).await.ok();
            }
            return Ok(Told::Begun(beginning));
        };
        let named = match (&cursor, work.list()) {
            (Cursor::Listed { after }, Some(list)) => match store.listed(list, *after, NAMED_PAGE).await {
                Ok(named) => named,
                Err(_) => return Ok(Told::NotYet),
            },
            _ => Vec::new(),
        };
        let (mut found, read_at, next) = match source::page(source, mapping, &work, &cursor, &named).await {
            Ok(Step::Page { found, at, next }) => (found, at, next),
            Ok(Step::NotYet) => return Ok(Told::NotYet),
            Ok(Step::Gone) => return Ok(Told::Gone),
            Err(error) => return Err(Failure::of_reading(error)),
        };
        let not_visible = found.iter().filter(|(_, found)| matches!(found, Found::NotVisible));
        let not_visible: Vec<RecordId> = not_visible.map(|(record, _)| *record).collect();
        // The bin may be empty already, but the journal knows.
        if !not_visible.is_empty() {
            let Ok(newest) = store.newest_parts(pipeline, not_visible, at).await else { return Ok(Told::NotYet) };
            let deleted = newest.into_iter().filter(|(_, kind)| kind.is_delete());
            found.extend(deleted.map(|(record, _)| (record, Found::Deleted)));
        }
        let mut looks = 0;
        let pairs = matches!(work, Work::Import { .. })
            .then(|| named.iter().filter_map(|pair| Some((pair.record, pair.target?))).collect::<HashMap<_, _>>());
        let keyed = match keyed.or(pairs.is_some().then_some(false)) {
            Some(keyed) => keyed,
            None => {
                looks += 1;
                target::has_keys(target, mapping).await.map_err(Failure::of)?
            }
        };
        let records: Vec<_> = found.values().filter_map(Found::record).collect();
        let links = match &pairs {
            Some(pairs) => pairs.clone(),
            None => {
                let question = Question { records: found.keys().copied().collect(), ..Question::default() };
                store.known(pipeline, question).await.map(|answer| answer.links).unwrap_or_default()
            }
        };
        let (there, calls) =
            target::counterparts(target, mapping, &records, &links, keyed).await.map_err(Failure::of)?;
        let replies = match &pairs {
            // Nothing but the key is written.
            Some(_) => Replies::new(),
            None => hydrate::ask(&[source, target], mapping, &records, replies).await.map_err(Failure::of)?,
        };
        Ok(Told::Page { at: read_at.unwrap_or(at), found, there, replies, next, keyed, pairs, calls: calls + looks })
    }
}

impl Failure {
    fn of_reading(error: ReadError) -> Self {
        match error {
            ReadError::Call(error) => Self::of(error),
            ReadError::NotByTime | ReadError::Untold { .. } => Self::Never(error.to_string()),
        }
    }

    fn of(error: CallError) -> Self {
        let said = said(&error);
        match (error.disposition(), error.code()) {
            // It may have been busy.
            (_, Some(Code::QueryTimeout | Code::RequestRunningTooLong | Code::UnknownException)) => Self::Again(error),
            // Only a condition that a person wrote can be malformed.
            (Disposition::Split, _) | (_, Some(Code::MalformedQuery)) => Self::Refused(error, said),
            (Disposition::OutcomeUnknown, _) if matches!(error, CallError::Unknown(Lost::Unreadable { .. })) => {
                Self::Refused(error, said)
            }
            // A person may give the right, or the budget comes back.
            (Disposition::Retry { .. } | Disposition::OutcomeUnknown | Disposition::Halt { .. }, _) => {
                Self::Again(error)
            }
        }
    }
}

/// With the org's own words.
fn said(error: &CallError) -> String {
    match error.org_text() {
        Some(text) => format!("{error}: {}", text.reveal()),
        None => error.to_string(),
    }
}
