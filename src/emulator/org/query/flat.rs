//! Queries whose answers are tables of single values: no groups, no children, nothing compound (bulk2.md section 5).
//!
//! The rows are found once and read later, in slices: what changes meanwhile may or may not be seen.

use serde_json::Value as Json;

use super::plan::{self, Column, Plan, Scope, Shape};
use super::route::Route;
use super::{Asked, QueryError, run};
use crate::org::compare::Domain;
use crate::org::{Id, Org};
use crate::soql::{Query, Selected};

/// A query that was found to be flat.
#[derive(Debug)]
pub struct Flat {
    plan: Plan,
}

impl Org {
    /// # Errors
    /// What makes it no query, and what only other queries may have.
    pub fn flat(&self, query: &Query, asked: Asked<'_>) -> Result<Flat, QueryError> {
        let refused = |message: &str| Err(QueryError::new("FEATURENOTENABLED", message));
        let aggregates = |selected: &Selected| matches!(selected, Selected::Value { what, .. } if what.is_aggregate());
        if query.select.iter().any(|selected| matches!(selected, Selected::Children(_))) {
            return refused("Aggregate Relationships not supported in Bulk V2 Query with CSV content type");
        }
        if !query.group.is_empty() || query.having.is_some() {
            return refused("GROUP BY not supported in Bulk V2 Query");
        }
        if query.is_count() || query.select.iter().any(aggregates) {
            return refused("Aggregate functions not supported in Bulk V2 Query");
        }
        if query.offset > 0 {
            return refused("OFFSET not supported in Bulk V2 Query");
        }
        let scope = Scope { org: self, asked };
        let flat = Flat { plan: plan::plan(scope, query)? };
        let compound = |route: &Route| scope.definition(route).is_some_and(|field| field.is_compound());
        if flat.routes().any(|(route, _)| compound(route)) {
            return refused("Selecting compound data not supported in Bulk Query");
        }
        Ok(flat)
    }
}

impl Flat {
    /// The names of the columns, in the order of the query: `Name`, `Owner.Name`.
    pub fn names(&self) -> Vec<String> {
        let name = |(route, alias): (&Route, Option<&String>)| match alias {
            Some(alias) => alias.clone(),
            None => {
                let hops = route.hops.iter().map(|hop| hop.name.as_str());
                hops.chain([route.name.as_str()]).collect::<Vec<_>>().join(".")
            }
        };
        self.routes().map(name).collect()
    }

    /// Which columns hold instants.
    pub fn instants(&self) -> Vec<bool> {
        self.routes().map(|(route, _)| route.domain == Domain::DateTime).collect()
    }

    pub fn is_sorted(&self) -> bool {
        !self.plan.order.is_empty()
    }

    /// The records that match now.
    pub fn ids(&self, org: &Org, asked: Asked<'_>) -> Vec<Id> {
        run::rows(Scope { org, asked }, &self.plan, None).into_iter().map(|row| row.id.clone()).collect()
    }

    /// Reads some of these records; what matches no longer is left out.
    pub fn read(&self, org: &Org, asked: Asked<'_>, ids: Vec<Id>, mut each: impl FnMut(&[Json])) {
        let scope = Scope { org, asked };
        let mut values = Vec::new();
        for row in run::rows(scope, &self.plan, Some(ids)) {
            values.extend(self.routes().map(|(route, _)| scope.read(route, self.plan.object, row)));
            each(&values);
            values.clear();
        }
    }

    fn routes(&self) -> impl Iterator<Item = (&Route, Option<&String>)> {
        let columns = match &self.plan.shape {
            Shape::Records(columns) => columns.as_slice(),
            Shape::Count | Shape::Groups { .. } => &[],
        };
        columns.iter().filter_map(|column| match column {
            Column::Field(route, alias) => Some((route, alias.as_ref())),
            Column::Children { .. } => None,
        })
    }
}
