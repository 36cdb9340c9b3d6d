//! `query` and `queryAll`, in pages (rest.md section 9).

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Context, Request, not_allowed, not_found, tooling};
use crate::org::time::HOUR;
use crate::org::{Asked, Id};
use crate::soql;
use crate::wire::Answer;

/// The most records of a page, and the fewest that a client may wish for.
const PAGE: usize = 2_000;
const SMALLEST_PAGE: usize = 200;
const LIFETIME: i64 = 48 * HOUR;
/// Result sets that are kept; the oldest goes first.
const KEPT: usize = 20;

/// Result sets with pages still to be fetched.
#[derive(Debug, Default)]
pub struct Cursors {
    open: VecDeque<Cursor>,
    serial: u64,
}

#[derive(Debug)]
struct Cursor {
    id: Id,
    /// Nobody else gets the pages.
    user: Id,
    since: i64,
    records: Arc<Vec<Json>>,
}

impl Cursors {
    fn open(&mut self, user: &Id, records: Arc<Vec<Json>>, now: i64) -> Id {
        self.serial += 1;
        let id = Id::new("01g", "xx0", self.serial);
        self.open.push_back(Cursor { id: id.clone(), user: user.clone(), since: now, records });
        if self.open.len() > KEPT {
            self.open.pop_front();
        }
        id
    }

    fn find(&self, user: &Id, id: &Id, now: i64) -> Option<Arc<Vec<Json>>> {
        let found = self.open.iter().find(|cursor| cursor.id == *id)?;
        (found.user == *user && now - found.since < LIFETIME).then(|| found.records.clone())
    }
}

pub(super) fn handle(
    context: &mut Context,
    request: &Request,
    rest: &[&str],
    with_deleted: bool,
) -> Result<Answer, Answer> {
    if request.call.method != "GET" && request.call.method != "HEAD" {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    let page = page_size(request.call.header("sforce-query-options").unwrap_or_default());
    match rest {
        [] => {
            let refused = |code: &str, message: &str| Answer::error(400, code, message);
            let text = request.call.parameter("q").filter(|text| !text.trim().is_empty());
            let text = text.ok_or_else(|| refused("MALFORMED_QUERY", "A query string has to be specified"))?;
            let query = soql::parse(text).map_err(|error| refused("MALFORMED_QUERY", &error.shown(text)))?;
            if let Some(answer) = tooling::query_of_data(context, request, &query) {
                return answer;
            }
            let base = format!("/services/data/v{}.0/sobjects", request.version);
            let asked = Asked { viewer: &request.user, with_deleted, now: context.now, base: &base };
            let found = context.org.query(&query, asked).map_err(|error| refused(error.code, &error.shown(text)))?;
            if found.records.len() <= page {
                let body = json!({"totalSize": found.total, "done": true, "records": found.records});
                return Ok(Answer::json(200, &body));
            }
            let records = Arc::new(found.records);
            let id = context.host.cursors().open(&request.user, records.clone(), context.now);
            Ok(answer(request, &records, 0, page, &id))
        }
        [cursor] => {
            let lost = || Answer::error(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
            let (id, offset) = cursor.split_once('-').ok_or_else(lost)?;
            let (id, offset) = (Id::parse(id).ok_or_else(lost)?, offset.parse::<usize>().map_err(|_| lost())?);
            let records = context.host.cursors().find(&request.user, &id, context.now);
            let records = records.filter(|records| offset <= records.len()).ok_or_else(lost)?;
            Ok(answer(request, &records, offset, page, &id))
        }
        _ => Err(not_found()),
    }
}

/// The records of a page, as `Sforce-Query-Options` may wish for.
fn page_size(options: &str) -> usize {
    let wish = options.split([',', ';']).find_map(|option| {
        let (name, number) = option.split_once('=')?;
        name.trim().eq_ignore_ascii_case("batchSize").then(|| number.trim().parse().ok())?
    });
    wish.map_or(PAGE, |n: usize| n.clamp(SMALLEST_PAGE, PAGE))
}

fn answer(request: &Request, records: &[Json], offset: usize, page: usize, cursor: &Id) -> Answer {
    let end = records.len().min(offset.saturating_add(page));
    let shown = records.get(offset..end).unwrap_or_default();
    let mut body = json!({"totalSize": records.len(), "done": end == records.len(), "records": shown});
    if let (true, Some(body)) = (end < records.len(), body.as_object_mut()) {
        let url = format!("/services/data/v{}.0/query/{cursor}-{end}", request.version);
        body.insert("nextRecordsUrl".into(), json!(url));
    }
    Answer::json(200, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_user_and_lives_two_days() {
        let (olga, other) = (Id::new("005", "xx0", 1), Id::new("005", "xx0", 2));
        let mut cursors = Cursors::default();
        let id = cursors.open(&olga, Arc::new(vec![Json::Null]), 5);
        assert!(cursors.find(&olga, &id, 5 + LIFETIME - 1).is_some());
        assert!(cursors.find(&olga, &id, 5 + LIFETIME).is_none());
        assert!(cursors.find(&other, &id, 5).is_none());
    }

    #[test]
    fn a_wish_for_a_page_is_read_whatever_stands_around_it() {
        for options in ["batchSize=500", "batchsize = 500", "x=1; batchSize=500", "batchSize=500,x=1"] {
            assert_eq!(page_size(options), 500, "{options}");
        }
        for (options, size) in [("", PAGE), ("batchSize=x", PAGE), ("batchSize=10", SMALLEST_PAGE)] {
            assert_eq!(page_size(options), size, "{options}");
        }
    }

    #[test]
    fn the_oldest_cursor_goes_first() {
        let user = Id::new("005", "xx0", 1);
        let mut cursors = Cursors::default();
        let ids: Vec<Id> = (0..=KEPT).map(|_| cursors.open(&user, Arc::default(), 0)).collect();
        assert!(cursors.find(&user, &ids[0], 0).is_none());
        assert!(ids[1..].iter().all(|id| cursors.find(&user, id, 0).is_some()));
    }
}
