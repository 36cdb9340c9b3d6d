//! Finds the rows of a plan and shows them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use super::plan::{Column, Order, Plan, Scope, Shape};
use super::route::Route;
use super::value::Operand;
use crate::org::compare::Key;
use crate::org::schema::Kind;
use crate::org::{FieldIndex, Id, ObjectIndex, Row};

/// What a plan answers; for a `COUNT()` only the number of records has a meaning.
pub fn records(scope: Scope<'_>, plan: &Plan) -> Vec<Json> {
    match &plan.shape {
        Shape::Count => vec![Json::Null; rows(scope, plan, None).len()],
        Shape::Records(columns) => show_all(scope, plan, columns, rows(scope, plan, None)),
        Shape::Groups { by, columns } => groups(scope, plan, by, columns),
    }
}

/// The rows of a plan without groups, sorted and cut; `only` these, if given.
pub fn rows<'a>(scope: Scope<'a>, plan: &Plan, only: Option<Vec<Id>>) -> Vec<&'a Row> {
    let rows = matching(scope, plan, only);
    if plan.order.is_empty() {
        return rows.skip(plan.offset).take(plan.limit).collect();
    }
    let keyed = rows.map(|row| (keys(scope, plan, &[row]), row)).collect();
    sorted(plan, keyed)
}

/// The rows that match and that the viewer sees, in the order of their ids.
fn matching<'a, 'p>(scope: Scope<'a>, plan: &'p Plan, only: Option<Vec<Id>>) -> Box<dyn Iterator<Item = &'a Row> + 'p>
where
    'a: 'p,
{
    let table = scope.org.table(plan.object);
    let matches = move |row: &&Row| {
        (scope.asked.with_deleted || row.deleted_in.is_none())
            && plan.filter.as_ref().is_none_or(|filter| filter.holds(scope, plan.object, &[row]))
            && scope.org.can_see_row(scope.asked.viewer, plan.object, row)
    };
    match only.or_else(|| plan.filter.as_ref()?.candidates()) {
        Some(ids) => Box::new(ids.into_iter().filter_map(move |id| table.get(&id)).filter(matches)),
        None => Box::new(table.rows().filter(matches)),
    }
}

fn keys(scope: Scope<'_>, plan: &Plan, rows: &[&Row]) -> Vec<Option<Key>> {
    plan.order.iter().map(|order| scope.key(&order.by, plan.object, rows)).collect()
}

/// Sorted by their keys; where these are equal, in the order in which they came.
fn sorted<T>(plan: &Plan, mut keyed: Vec<(Vec<Option<Key>>, T)>) -> Vec<T> {
    keyed.sort_by(|(a, _), (b, _)| {
        let mut sides =
            plan.order.iter().zip(a.iter().zip(b)).map(|(order, (a, b))| side(order, a.as_ref(), b.as_ref()));
        sides.find(|side| side.is_ne()).unwrap_or(Ordering::Equal)
    });
    keyed.into_iter().map(|(_, item)| item).skip(plan.offset).take(plan.limit).collect()
}

/// Nulls come first, whatever the direction, unless the query says otherwise.
fn side(order: &Order, a: Option<&Key>, b: Option<&Key>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if order.descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) if order.nulls_last => a.is_none().cmp(&b.is_none()),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn groups(scope: Scope<'_>, plan: &Plan, by: &[Operand], columns: &[(String, Operand)]) -> Vec<Json> {
    let mut groups: BTreeMap<Vec<Option<Key>>, Vec<&Row>> = BTreeMap::new();
    if by.is_empty() {
        groups.insert(Vec::new(), Vec::new()); // also without a row there is an answer
    }
    for row in matching(scope, plan, None) {
        let key = by.iter().map(|operand| scope.key(operand, plan.object, &[row])).collect();
        groups.entry(key).or_default().push(row);
    }
    let having = |rows: &Vec<&Row>| plan.having.as_ref().is_none_or(|having| having.holds(scope, plan.object, rows));
    let keyed = groups.into_values().filter(having).map(|rows| (keys(scope, plan, &rows), rows)).collect();
    let show = |rows: Vec<&Row>| {
        let mut shown = Map::new();
        shown.insert("attributes".into(), json!({"type": "AggregateResult"}));
        for (name, operand) in columns {
            shown.insert(name.clone(), scope.value(operand, plan.object, &rows));
        }
        Json::Object(shown)
    };
    sorted(plan, keyed).into_iter().map(show).collect()
}

/// The children of each parent, where no index has them.
type Families = HashMap<Id, Vec<Id>>;

fn show_all(scope: Scope<'_>, plan: &Plan, columns: &[Column], rows: Vec<&Row>) -> Vec<Json> {
    let families: Vec<Option<Families>> = columns
        .iter()
        .map(|column| match column {
            Column::Children { field, plan, .. } if !rows.is_empty() => families(scope, plan.object, *field),
            _ => None,
        })
        .collect();
    let show = |row: &Row| {
        let mut shown = head(scope, plan.object, row, None);
        for (column, families) in columns.iter().zip(&families) {
            match column {
                Column::Field(route, Some(name)) => {
                    shown.insert(name.clone(), scope.read(route, plan.object, row));
                }
                Column::Field(route, None) => insert(scope, &mut shown, route, plan.object, row),
                Column::Children { name, field, plan } => {
                    let ids = match families {
                        Some(families) => families.get(&row.id).cloned().unwrap_or_default(),
                        None => scope.org.table(plan.object).children(*field, &row.id).cloned().collect(),
                    };
                    shown.insert(name.clone(), children(scope, plan, ids));
                }
            }
        }
        Json::Object(shown)
    };
    rows.into_iter().map(show).collect()
}

fn families(scope: Scope<'_>, object: ObjectIndex, field: FieldIndex) -> Option<Families> {
    let definition = scope.org.schema.object(object).field(field);
    let unindexed = definition.name == "OwnerId" || definition.lookup_key || definition.unique;
    if !scope.asked.with_deleted && !unindexed && matches!(definition.kind, Kind::Reference(_)) {
        return None;
    }
    let mut families = Families::new();
    for row in scope.org.table(object).rows() {
        if let Some(parent) = row.reference(field) {
            families.entry(parent).or_default().push(row.id.clone());
        }
    }
    Some(families)
}

fn children(scope: Scope<'_>, plan: &Plan, ids: Vec<Id>) -> Json {
    let Shape::Records(columns) = &plan.shape else { return Json::Null };
    let records = show_all(scope, plan, columns, rows(scope, plan, Some(ids)));
    match records.len() {
        0 => Json::Null,
        total => json!({"totalSize": total, "done": true, "records": records}),
    }
}

fn head(scope: Scope<'_>, object: ObjectIndex, row: &Row, shown_as: Option<&str>) -> Map<String, Json> {
    let name = &scope.org.schema.object(object).name;
    let url = format!("{}/{name}/{}", scope.asked.base, row.id);
    let mut shown = Map::new();
    shown.insert("attributes".into(), json!({"type": shown_as.unwrap_or(name), "url": url}));
    shown
}

/// Puts a selected value where it belongs; a parent that is not there is null.
fn insert(scope: Scope<'_>, shown: &mut Map<String, Json>, route: &Route, object: ObjectIndex, row: &Row) {
    let (mut shown, mut object, mut row) = (shown, object, row);
    for hop in &route.hops {
        let Some((next, parent)) = scope.follow(hop, object, row) else {
            shown.insert(hop.name.clone(), Json::Null);
            return;
        };
        let entry = shown.entry(hop.name.clone());
        let shown_as = hop.polymorphic.then_some("Name");
        let inner = entry.or_insert_with(|| head(scope, next, parent, shown_as).into());
        let Some(inner) = inner.as_object_mut() else { return };
        (shown, object, row) = (inner, next, parent);
    }
    shown.insert(route.name.clone(), scope.read_end(route, object, row));
}
