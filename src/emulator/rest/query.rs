//! `query` and `queryAll`, in pages (rest.md section 9).

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, not_found};
use crate::emulator::host::Host;
use crate::emulator::org::time::HOUR;
use crate::emulator::org::{FieldIndex, Id, Kind, ObjectIndex, Org, Row, System, folded};
use crate::emulator::soql::{self, Comparison, Filter, Literal, Path, Query};
use crate::emulator::wire::Answer;

const PAGE: usize = 2_000;
const LIFETIME: i64 = 48 * HOUR;
/// Result sets that are kept; the oldest goes first.
const KEPT: usize = 20;

/// Result sets with pages still to be fetched.
#[derive(Debug, Default)]
pub struct Cursors {
    open: VecDeque<(Id, i64, Arc<Vec<Json>>)>,
    serial: u64,
}

pub(super) fn handle(
    context: &mut Context,
    request: &Request,
    rest: &[&str],
    with_deleted: bool,
) -> Result<Answer, Answer> {
    let wish = request.call.header("sforce-query-options").and_then(|options| options.split_once("batchSize="));
    let page = wish.and_then(|(_, n)| n.trim().parse().ok()).map_or(PAGE, |n: usize| n.clamp(200, PAGE));
    match rest {
        [] => {
            let text = request.call.parameter("q").ok_or_else(|| malformed("A query string has to be specified"))?;
            let query = soql::parse(text).map_err(|message| malformed(&message))?;
            let records = run(context.org, request, &query, with_deleted)?;
            if query.select.is_none() {
                return Ok(Answer::json(200, &json!({"totalSize": records.len(), "done": true, "records": []})));
            }
            let records = Arc::new(records);
            let id = (records.len() > page).then(|| open(context.host, records.clone()));
            Ok(answer(request, &records, 0, page, id.as_ref()))
        }
        [cursor] => {
            let lost = || Answer::error(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
            let (id, offset) = cursor.split_once('-').ok_or_else(lost)?;
            let (id, offset) = (Id::parse(id).ok_or_else(lost)?, offset.parse::<usize>().map_err(|_| lost())?);
            let now = context.now;
            let cursors = context.host.cursors();
            let found = cursors.open.iter().find(|(open, since, _)| *open == id && now - since < LIFETIME);
            let records = found.map(|(_, _, records)| records.clone()).ok_or_else(lost)?;
            Ok(answer(request, &records, offset, page, Some(&id)))
        }
        _ => Err(not_found()),
    }
}

fn open(host: &Host, records: Arc<Vec<Json>>) -> Id {
    let now = host.now();
    let mut cursors = host.cursors();
    cursors.serial += 1;
    let id = Id::new("01g", "xx0", cursors.serial);
    cursors.open.push_back((id.clone(), now, records));
    if cursors.open.len() > KEPT {
        cursors.open.pop_front();
    }
    id
}

fn answer(request: &Request, records: &[Json], offset: usize, page: usize, cursor: Option<&Id>) -> Answer {
    let end = records.len().min(offset.saturating_add(page));
    let shown = records.get(offset..end).unwrap_or_default();
    let mut body = json!({"totalSize": records.len(), "done": end == records.len(), "records": shown});
    if let (Some(id), true, Some(body)) = (cursor, end < records.len(), body.as_object_mut()) {
        let url = format!("/services/data/v{}.0/query/{id}-{end}", request.version);
        body.insert("nextRecordsUrl".into(), json!(url));
    }
    Answer::json(200, &body)
}

fn malformed(message: &str) -> Answer {
    Answer::error(400, "MALFORMED_QUERY", message)
}

/// A path as indexes: references to follow, then the field.
type Steps = Vec<(ObjectIndex, FieldIndex)>;

fn run(org: &Org, request: &Request, query: &Query, with_deleted: bool) -> Result<Vec<Json>, Answer> {
    let Some((object, definition)) = org.schema.find(&query.from) else {
        return Err(Answer::error(400, "INVALID_TYPE", &format!("sObject type '{}' is not supported.", query.from)));
    };
    let mut scope = Scope { org, object, paths: HashMap::new(), lists: HashMap::new() };
    let select = query.select.as_deref().unwrap_or_default();
    for path in select.iter().chain(query.order.iter().map(|order| &order.path)) {
        scope.learn(path)?;
    }
    if let Some(filter) = &query.filter {
        scope.learn_filter(filter)?;
    }
    let table = org.table(object);
    let matches = |row: &&Row| {
        (with_deleted || row.deleted_in.is_none())
            && query.filter.as_ref().is_none_or(|filter| scope.holds(filter, row))
    };
    let mut rows: Vec<&Row> = match query.filter.as_ref().and_then(|filter| scope.candidates(filter, with_deleted)) {
        Some(ids) => ids.iter().filter_map(|id| table.get(id)).filter(matches).collect(),
        None => table.rows().filter(matches).collect(),
    };
    if !query.order.is_empty() {
        let keys = |row: &Row| -> Vec<Json> { query.order.iter().map(|order| scope.value(&order.path, row)).collect() };
        let mut keyed: Vec<(Vec<Json>, &Row)> = rows.into_iter().map(|row| (keys(row), row)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let mut sides = query.order.iter().zip(a.iter().zip(b)).map(|(order, (a, b))| scope.order(order, a, b));
            sides.find(|side| side.is_ne()).unwrap_or(Ordering::Equal)
        });
        rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    rows.truncate(query.limit.unwrap_or(usize::MAX));
    let show = |row: &Row| {
        let mut shown = request.show(definition, row, &[]);
        for path in select {
            scope.insert(request, &mut shown, path, row);
        }
        Json::Object(shown)
    };
    Ok(rows.into_iter().map(show).collect())
}

/// What the names of a query mean.
struct Scope<'a> {
    org: &'a Org,
    object: ObjectIndex,
    paths: HashMap<Path, Steps>,
    /// The values of an `IN`, by where it stands, in comparable form.
    lists: HashMap<*const Filter, HashSet<String>>,
}

impl Scope<'_> {
    fn learn(&mut self, path: &Path) -> Result<(), Answer> {
        let mut object = self.object;
        let mut steps = Steps::new();
        for (place, name) in path.iter().enumerate() {
            let definition = self.org.schema.object(object);
            let last = place + 1 == path.len();
            let found = if last { definition.find(name) } else { definition.relationship(name) };
            let unknown = || {
                let message = format!("No such column '{name}' on entity '{}'.", definition.name);
                Answer::error(400, "INVALID_FIELD", &message)
            };
            let (index, field) = found.ok_or_else(unknown)?;
            steps.push((object, index));
            if let (false, Some(to)) = (last, field.reference()) {
                object = *to.objects.first().ok_or_else(unknown)?;
            }
        }
        self.paths.insert(path.clone(), steps);
        Ok(())
    }

    fn learn_filter(&mut self, filter: &Filter) -> Result<(), Answer> {
        match filter {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().try_for_each(|part| self.learn_filter(part)),
            Filter::Not(inner) => self.learn_filter(inner),
            Filter::Compare(path, _, _) => self.learn(path),
            Filter::In(path, list) => {
                self.learn(path)?;
                let values = list.iter().map(|literal| self.key(path, &self.literal(path, literal))).collect();
                self.lists.insert(std::ptr::from_ref(filter), values);
                Ok(())
            }
        }
    }

    /// Numbers by value, text without case but ids with it; `None` for what cannot be compared.
    fn compare(&self, path: &Path, a: &Json, b: &Json) -> Option<Ordering> {
        match (a, b) {
            (Json::Number(a), Json::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
            (Json::String(a), Json::String(b)) if self.is_id(path) => Some(a.cmp(b)),
            (Json::String(a), Json::String(b)) => Some(folded(a).cmp(&folded(b))),
            (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn order(&self, order: &soql::Order, a: &Json, b: &Json) -> Ordering {
        if a.is_null() || b.is_null() {
            return (a.is_null() == order.nulls_last).cmp(&(b.is_null() == order.nulls_last));
        }
        let side = self.compare(&order.path, a, b).unwrap_or(Ordering::Equal);
        if order.descending { side.reverse() } else { side }
    }

    /// A value by which `IN` compares: ids with their case, all else without.
    fn key(&self, path: &Path, value: &Json) -> String {
        match value {
            Json::String(text) if self.is_id(path) => text.clone(),
            Json::String(text) => folded(text),
            other => format!("\0{other}"), // never equal to a text
        }
    }

    fn kind(&self, path: &Path) -> Option<&Kind> {
        let (object, field) = *self.paths.get(path)?.last()?;
        Some(&self.org.schema.object(object).field(field).kind)
    }

    fn is_id(&self, path: &Path) -> bool {
        matches!(
            self.kind(path),
            Some(Kind::Reference(..) | Kind::System(System::Id | System::CreatedById | System::LastModifiedById))
        )
    }

    /// A literal in the form in which the field's values are read.
    fn literal(&self, path: &Path, literal: &Literal) -> Json {
        match literal {
            Literal::Null => Json::Null,
            Literal::Text(text) if text.is_empty() => Json::Null, // as it is stored
            Literal::Bool(value) => json!(value),
            Literal::Text(text) if self.is_id(path) => {
                json!(Id::parse(text).map_or_else(|| text.clone(), |id| id.as_str().to_owned()))
            }
            Literal::Text(text) => json!(text),
            Literal::Bare(text) => {
                if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
                    return json!(crate::emulator::org::time::rest(time.timestamp()));
                }
                text.parse::<serde_json::Number>().map_or_else(|_| json!(text), Json::Number)
            }
        }
    }

    fn row_at<'r>(&'r self, steps: &Steps, row: &'r Row) -> Option<(&'r Row, ObjectIndex, FieldIndex)> {
        let ((object, field), parents) = steps.split_last()?;
        let mut at = row;
        for (place, (_, reference)) in parents.iter().enumerate() {
            let (next, _) = steps.get(place + 1)?;
            at = self.org.table(*next).live_row(&at.reference(*reference)?)?;
        }
        Some((at, *object, *field))
    }

    fn value(&self, path: &Path, row: &Row) -> Json {
        let found = self.paths.get(path).and_then(|steps| self.row_at(steps, row));
        found.map_or(Json::Null, |(row, object, field)| row.read(self.org.schema.object(object), field))
    }

    fn holds(&self, filter: &Filter, row: &Row) -> bool {
        match filter {
            Filter::All(parts) => parts.iter().all(|part| self.holds(part, row)),
            Filter::Any(parts) => parts.iter().any(|part| self.holds(part, row)),
            Filter::Not(inner) => !self.holds(inner, row),
            Filter::In(path, _) => {
                let key = self.key(path, &self.value(path, row));
                self.lists.get(&std::ptr::from_ref(filter)).is_some_and(|list| list.contains(&key))
            }
            Filter::Compare(path, comparison, literal) => {
                let (value, literal) = (self.value(path, row), self.literal(path, literal));
                if value.is_null() || literal.is_null() {
                    return match comparison {
                        Comparison::Equal => value.is_null() && literal.is_null(),
                        Comparison::NotEqual => value.is_null() != literal.is_null(),
                        _ => false,
                    };
                }
                let side = self.compare(path, &value, &literal);
                match comparison {
                    Comparison::Equal => side.is_some_and(|side| side.is_eq()),
                    Comparison::NotEqual => side.is_none_or(|side| side.is_ne()),
                    Comparison::Less => side.is_some_and(|side| side.is_lt()),
                    Comparison::LessOrEqual => side.is_some_and(|side| side.is_le()),
                    Comparison::Greater => side.is_some_and(|side| side.is_gt()),
                    Comparison::GreaterOrEqual => side.is_some_and(|side| side.is_ge()),
                }
            }
        }
    }

    /// The only rows that can match, where an index tells; in the order of their ids.
    fn candidates(&self, filter: &Filter, with_deleted: bool) -> Option<Vec<Id>> {
        let (path, texts) = match filter {
            Filter::All(parts) => return parts.iter().find_map(|part| self.candidates(part, with_deleted)),
            Filter::Compare(path, Comparison::Equal, Literal::Text(text)) => (path, vec![text]),
            Filter::In(path, list) => {
                let texts: Option<Vec<&String>> = list
                    .iter()
                    .map(|literal| match literal {
                        Literal::Text(text) => Some(text),
                        _ => None,
                    })
                    .collect();
                (path, texts?)
            }
            _ => return None,
        };
        let [(_, field)] = self.paths.get(path)?.as_slice() else { return None };
        let definition = self.org.schema.object(self.object).field(*field);
        let mut ids: Vec<Id> = if definition.kind == Kind::System(System::Id) {
            texts.into_iter().filter_map(|text| Id::parse(text)).collect()
        } else if definition.lookup_key && !with_deleted {
            texts.into_iter().flat_map(|text| self.org.table(self.object).by_key(*field, text)).collect()
        } else {
            return None; // deleted rows are in no index
        };
        ids.sort();
        ids.dedup();
        Some(ids)
    }

    /// Puts a selected value where it belongs; a parent that is not there is null.
    fn insert(&self, request: &Request, shown: &mut Map<String, Json>, path: &Path, row: &Row) {
        let Some(steps) = self.paths.get(path) else { return };
        let (mut shown, mut row) = (shown, row);
        for (place, (object, field)) in steps.iter().enumerate() {
            let definition = self.org.schema.object(*object);
            let field_definition = definition.field(*field);
            let Some((next, _)) = steps.get(place + 1) else {
                shown.insert(field_definition.name.clone(), row.read(definition, *field));
                return;
            };
            let Some(relationship) = field_definition.reference().and_then(|to| to.relationship.as_ref()) else {
                return;
            };
            let parent = row.reference(*field).and_then(|id| self.org.table(*next).live_row(&id));
            let Some(parent) = parent else {
                shown.insert(relationship.clone(), Json::Null);
                return;
            };
            let entry = shown.entry(relationship.clone());
            let inner = entry.or_insert_with(|| request.show(self.org.schema.object(*next), parent, &[]).into());
            let Some(inner) = inner.as_object_mut() else { return };
            (shown, row) = (inner, parent);
        }
    }
}
