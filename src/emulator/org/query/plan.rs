//! From a query to what there is to do, with all names found and all rules of the platform kept.

use super::filter::{self, Node};
use super::route::{Route, no_such_children, no_such_object};
use super::value::Operand;
use super::{Asked, QueryError};
use crate::org::{FieldIndex, ObjectIndex, Org};
use crate::soql::{Expression, FieldGroup, Name, Place, Query, Selected};

/// What a query is asked of.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub org: &'a Org,
    pub asked: Asked<'a>,
}

#[derive(Debug)]
pub struct Plan {
    pub object: ObjectIndex,
    pub shape: Shape,
    pub filter: Option<Node>,
    pub having: Option<Node>,
    pub order: Vec<Order>,
    pub limit: usize,
    pub offset: usize,
}

#[derive(Debug)]
pub enum Shape {
    /// `COUNT()`
    Count,
    Records(Vec<Column>),
    /// One answer for each group of rows; without `by` all rows are one group.
    Groups {
        by: Vec<Operand>,
        columns: Vec<(String, Operand)>,
    },
}

#[derive(Debug)]
pub enum Column {
    /// Shown in its place, or under a name of its own.
    Field(Route, Option<String>),
    Children {
        name: String,
        field: FieldIndex,
        plan: Box<Plan>,
    },
}

#[derive(Debug)]
pub struct Order {
    pub by: Operand,
    pub descending: bool,
    pub nulls_last: bool,
}

/// The most rows that may be skipped.
const OFFSET: usize = 2_000;
/// The most rows of a query for all fields.
const ALL_FIELDS: usize = 200;

pub fn plan(scope: Scope<'_>, query: &Query) -> Result<Plan, QueryError> {
    let object = scope.object(&query.from.text).ok_or_else(|| no_such_object(&query.from.text).at(query.from.at))?;
    plan_of(scope, object, query, false)
}

fn plan_of(scope: Scope<'_>, object: ObjectIndex, query: &Query, nested: bool) -> Result<Plan, QueryError> {
    let alias = query.alias.as_ref().map(|alias| alias.text.as_str());
    if query.offset > OFFSET {
        let message = format!("Maximum SOQL offset allowed is {OFFSET}");
        return Err(QueryError::new("NUMBER_OUTSIDE_VALID_RANGE", message));
    }
    let aggregates = |selected: &Selected| matches!(selected, Selected::Value { what, .. } if what.is_aggregate());
    let grouped = !query.group.is_empty() || (!query.is_count() && query.select.iter().any(aggregates));
    if nested && (grouped || query.is_count()) {
        let message = "Only root queries support aggregate expressions";
        return Err(QueryError::malformed(message).at(query.from.at));
    }
    let by = query.group.iter().map(|by| grouping(scope, object, alias, by)).collect::<Result<Vec<_>, _>>()?;
    let shape = if query.is_count() {
        Shape::Count
    } else if grouped {
        let columns = group_columns(scope, object, query, &by)?;
        Shape::Groups { by, columns }
    } else {
        Shape::Records(columns(scope, object, query)?)
    };
    let by = match &shape {
        Shape::Groups { by, .. } => Some(by.as_slice()),
        _ => None,
    };
    let filter = query.filter.as_ref().map(|filter| filter::node(scope, object, alias, filter, None)).transpose()?;
    let having = match (&query.having, by) {
        (None, _) => None,
        (Some(having), Some(by)) => Some(filter::node(scope, object, alias, having, Some(by))?),
        (Some(_), None) => return Err(QueryError::malformed("unexpected token: 'HAVING'").at(query.from.at)),
    };
    let mut order = Vec::new();
    for sorting in &query.order {
        let operand = scope.operand(object, alias, &sorting.by)?;
        match by {
            Some(by) => check_grouped(&operand, by, sorting.by.at())?,
            None if operand.is_aggregate() => {
                return Err(must_be_grouped(&operand.route().name, sorting.by.at()));
            }
            None => {}
        }
        check_usable(scope, &operand, "sorted", sorting.by.at())?;
        order.push(Order { by: operand, descending: sorting.descending, nulls_last: sorting.nulls_last });
    }
    Ok(Plan { object, shape, filter, having, order, limit: query.limit.unwrap_or(usize::MAX), offset: query.offset })
}

/// Fields whose values are not compared can neither be filtered, sorted nor grouped.
pub fn check_usable(scope: Scope<'_>, operand: &Operand, verb: &str, at: Place) -> Result<(), QueryError> {
    let route = operand.route();
    if operand.is_aggregate() || scope.definition(route).is_none_or(|field| field.filterable()) {
        return Ok(());
    }
    let message = format!("field '{}' can not be {verb} in a query call", route.name);
    Err(QueryError::new("INVALID_FIELD", message).at(at))
}

pub fn check_grouped(operand: &Operand, by: &[Operand], at: Place) -> Result<(), QueryError> {
    if operand.is_aggregate() || by.contains(operand) {
        return Ok(());
    }
    Err(must_be_grouped(&operand.route().name, at))
}

fn must_be_grouped(name: &str, at: Place) -> QueryError {
    QueryError::malformed(format!("Field must be grouped or aggregated: {name}")).at(at)
}

fn grouping(
    scope: Scope<'_>,
    object: ObjectIndex,
    alias: Option<&str>,
    by: &Expression,
) -> Result<Operand, QueryError> {
    let operand = scope.operand(object, alias, by)?;
    if operand.is_aggregate() {
        return Err(QueryError::malformed("unexpected token: '('").at(by.at()));
    }
    check_usable(scope, &operand, "grouped", by.at())?;
    Ok(operand)
}

fn group_columns(
    scope: Scope<'_>,
    object: ObjectIndex,
    query: &Query,
    by: &[Operand],
) -> Result<Vec<(String, Operand)>, QueryError> {
    let alias = query.alias.as_ref().map(|alias| alias.text.as_str());
    let mut columns: Vec<(String, Operand)> = Vec::new();
    let mut unnamed = 0;
    for selected in &query.select {
        let (what, name) = match selected {
            Selected::Value { what, alias } => (what, alias),
            Selected::Fields(_, at) => {
                return Err(QueryError::malformed("The SOQL FIELDS function is not supported with GROUP BY").at(*at));
            }
            Selected::Children(children) => {
                let message = "Subqueries are not supported with aggregate expressions";
                return Err(QueryError::malformed(message).at(children.from.at));
            }
        };
        let operand = scope.operand(object, alias, what)?;
        check_grouped(&operand, by, what.at())?;
        let name = match (name, &operand) {
            (Some(Name { text, .. }), _) => text.clone(),
            (None, Operand::Field(route)) => route.name.clone(),
            (None, _) => {
                unnamed += 1;
                format!("expr{}", unnamed - 1)
            }
        };
        if columns.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(QueryError::malformed(format!("duplicate alias: {name}")).at(what.at()));
        }
        columns.push((name, operand));
    }
    Ok(columns)
}

fn columns(scope: Scope<'_>, object: ObjectIndex, query: &Query) -> Result<Vec<Column>, QueryError> {
    let alias = query.alias.as_ref().map(|alias| alias.text.as_str());
    let mut columns: Vec<Column> = Vec::new();
    for selected in &query.select {
        match selected {
            Selected::Value { what, alias: name } => {
                let operand = scope.operand(object, alias, what)?;
                let Operand::Field(route) = operand else {
                    return Err(must_be_grouped(&operand.route().name, what.at()));
                };
                if let (Some(name), Expression::Path(_)) = (name, what) {
                    return Err(QueryError::malformed("Only aggregate expressions use field aliasing").at(name.at));
                }
                add(&mut columns, route, name.as_ref().map(|name| name.text.clone()), what.at())?;
            }
            Selected::Fields(group, at) => {
                if *group != FieldGroup::Standard && query.limit.is_none_or(|limit| limit > ALL_FIELDS) {
                    let message = format!("The SOQL FIELDS function must have a LIMIT of at most {ALL_FIELDS}");
                    return Err(QueryError::malformed(message).at(*at));
                }
                for route in all_fields(scope, object, *group) {
                    add(&mut columns, route, None, *at)?;
                }
            }
            Selected::Children(children) => columns.push(child_column(scope, object, children)?),
        }
    }
    Ok(columns)
}

fn add(columns: &mut Vec<Column>, route: Route, name: Option<String>, at: Place) -> Result<(), QueryError> {
    let twice = columns.iter().any(|column| match column {
        Column::Field(other, other_name) => *other == route && *other_name == name,
        Column::Children { .. } => false,
    });
    if twice {
        return Err(QueryError::malformed(format!("duplicate field selected: {}", route.name)).at(at));
    }
    columns.push(Column::Field(route, name));
    Ok(())
}

fn all_fields(scope: Scope<'_>, object: ObjectIndex, group: FieldGroup) -> Vec<Route> {
    let wanted = scope.org.schema.object(object).fields().filter(|(index, field)| {
        let fits = match group {
            FieldGroup::All => true,
            FieldGroup::Custom => field.custom(),
            FieldGroup::Standard => !field.custom(),
        };
        fits && scope.org.can_see_field(scope.asked.viewer, object, *index)
    });
    wanted.map(|(index, field)| Route::own(object, index, field)).collect()
}

fn child_column(scope: Scope<'_>, object: ObjectIndex, query: &Query) -> Result<Column, QueryError> {
    let name = &query.from.text;
    let unknown = || no_such_children(name).at(query.from.at);
    let child = scope.org.schema.object(object).child(name).ok_or_else(unknown)?;
    let seen = scope.org.can_see_object(scope.asked.viewer, child.object)
        && scope.org.can_see_field(scope.asked.viewer, child.object, child.field);
    let name = child.relationship.clone().filter(|_| seen).ok_or_else(unknown)?;
    Ok(Column::Children { name, field: child.field, plan: Box::new(plan_of(scope, child.object, query, true)?) })
}

/// The query within an `IN`: one field, of ids.
pub fn semi_join(scope: Scope<'_>, query: &Query) -> Result<(Plan, Route), QueryError> {
    let plan = plan(scope, query)?;
    let message = "a semi join sub-select must select one id field";
    let route = match &plan.shape {
        Shape::Records(columns) => match columns.as_slice() {
            [Column::Field(route, None)] if route.domain == crate::org::compare::Domain::Id => route.clone(),
            _ => return Err(QueryError::malformed(message).at(query.from.at)),
        },
        _ => return Err(QueryError::malformed(message).at(query.from.at)),
    };
    Ok((plan, route))
}
