//! From a path to the fields behind it.

use serde_json::{Value as Json, json};

use super::QueryError;
use super::plan::Scope;
use crate::org::compare::Domain;
use crate::org::schema::{Field, Kind, System};
use crate::org::{FieldIndex, Id, ObjectIndex, ObjectKind, Row};
use crate::soql::Path;

/// References to follow from a row, then a field. Behind a polymorphic reference each object has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub hops: Vec<Hop>,
    pub ends: Vec<(ObjectIndex, End)>,
    /// The field's name in its canonical case.
    pub name: String,
    pub domain: Domain,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    pub fields: Vec<(ObjectIndex, FieldIndex)>,
    /// The relationship's name.
    pub name: String,
    /// Leads to rows of more than one object.
    pub polymorphic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Field(FieldIndex),
    /// `Owner.Type`: the name of the object, or `Queue`.
    Type,
}

impl Route {
    /// Of an object's own field.
    pub fn own(object: ObjectIndex, field: FieldIndex, definition: &Field) -> Self {
        let ends = vec![(object, End::Field(field))];
        Self { hops: Vec::new(), ends, name: definition.name.clone(), domain: Domain::of(definition) }
    }
}

/// Relationships on the way to a field.
const HOPS: usize = 5;
const SEE_DESCRIBE: &str = "Please reference your WSDL or the describe call for the appropriate names.";

/// Fields that may be read through a polymorphic reference, where an object has them.
const COMMON: [&str; 12] = [
    "Id",
    "Name",
    "FirstName",
    "LastName",
    "Email",
    "Phone",
    "Title",
    "Username",
    "Alias",
    "IsActive",
    "Type",
    "UserRoleId",
];

impl<'a> Scope<'a> {
    /// The route of a path from rows of an object; `alias` may stand before it.
    pub fn route(self, object: ObjectIndex, alias: Option<&str>, path: &Path) -> Result<Route, QueryError> {
        let own = self.org.schema.object(object);
        let mut names: &[String] = &path.names;
        if let [first, rest @ ..] = names
            && !rest.is_empty()
            && (alias.is_some_and(|alias| alias.eq_ignore_ascii_case(first))
                || (own.name.eq_ignore_ascii_case(first) && own.relationship(first).is_none()))
        {
            names = rest;
        }
        let Some((last, relationships)) = names.split_last() else {
            return Err(QueryError::malformed("a field is missing").at(path.at)); // no parser makes such a path
        };
        if relationships.len() > HOPS {
            let message = format!("SOQL relationships cannot be more than {HOPS} levels deep");
            return Err(QueryError::malformed(message).at(path.at));
        }
        let mut objects = vec![object];
        let mut hops = Vec::new();
        for name in relationships {
            let hop = self.hop(&objects, name).ok_or_else(|| unknown_relationship(name, path))?;
            objects = self.targets(&hop);
            hops.push(hop);
        }
        self.end(hops, &objects, last).ok_or_else(|| {
            let entity = match objects.as_slice() {
                [object] => self.org.schema.object(*object).name.as_str(),
                _ => "Name",
            };
            no_such_column(last, entity, path)
        })
    }

    fn sees(self, object: ObjectIndex, field: FieldIndex) -> bool {
        self.org.can_see_field(self.asked.viewer, object, field)
    }

    fn hop(self, objects: &[ObjectIndex], name: &str) -> Option<Hop> {
        let found = objects.iter().filter_map(|object| {
            let (field, definition) = self.org.schema.object(*object).relationship(name)?;
            self.sees(*object, field).then_some((*object, field, definition))
        });
        let found: Vec<(ObjectIndex, FieldIndex, &Field)> = found.collect();
        let name = match &found.first()?.2.kind {
            Kind::Reference(reference) => reference.relationship.clone()?,
            Kind::System(System::CreatedById) => "CreatedBy".into(),
            _ => "LastModifiedBy".into(),
        };
        let fields = found.into_iter().map(|(object, field, _)| (object, field)).collect();
        let mut hop = Hop { fields, name, polymorphic: false };
        let targets = self.targets(&hop).len();
        hop.polymorphic = targets > 1;
        (targets > 0).then_some(hop)
    }

    /// The objects that a hop may lead to, as far as the viewer sees them.
    fn targets(self, hop: &Hop) -> Vec<ObjectIndex> {
        let mut targets = Vec::new();
        for (object, field) in &hop.fields {
            match self.org.schema.object(*object).field(*field).reference() {
                Some(reference) => targets.extend(reference.objects.iter().copied()),
                None => targets.extend(self.org.schema.find("User").map(|(index, _)| index)),
            }
        }
        targets.sort_unstable();
        targets.dedup();
        targets.retain(|object| self.org.can_see_object(self.asked.viewer, *object));
        targets
    }

    fn end(self, hops: Vec<Hop>, objects: &[ObjectIndex], name: &str) -> Option<Route> {
        let polymorphic = objects.len() > 1;
        if polymorphic && !COMMON.iter().any(|common| common.eq_ignore_ascii_case(name)) {
            return None;
        }
        if polymorphic && name.eq_ignore_ascii_case("Type") {
            let ends = objects.iter().map(|object| (*object, End::Type)).collect();
            return Some(Route { hops, ends, name: "Type".into(), domain: Domain::Text });
        }
        let found = objects.iter().filter_map(|object| {
            let (field, definition) = self.org.schema.object(*object).find(name)?;
            self.sees(*object, field).then_some((*object, field, definition))
        });
        let found: Vec<(ObjectIndex, FieldIndex, &Field)> = found.collect();
        let (_, _, first) = found.first()?;
        let (name, domain) = (first.name.clone(), Domain::of(first));
        let ends = found.iter().map(|(object, field, _)| (*object, End::Field(*field))).collect();
        Some(Route { hops, ends, name, domain })
    }

    /// Follows one hop; `None` where the reference is empty or the viewer does not see the record.
    pub fn follow(self, hop: &Hop, object: ObjectIndex, row: &Row) -> Option<(ObjectIndex, &'a Row)> {
        let (_, field) = hop.fields.iter().find(|(from, _)| *from == object)?;
        let id = match &self.org.schema.object(object).field(*field).kind {
            Kind::System(System::CreatedById) => row.created_by.clone(),
            Kind::System(_) => row.modified_by.clone(),
            _ => row.reference(*field)?,
        };
        let (next, _) = self.org.schema.of_id(&id)?;
        Some((next, self.visible(next, &id)?))
    }

    fn visible(self, object: ObjectIndex, id: &Id) -> Option<&'a Row> {
        let row = self.org.table(object).get(id)?;
        let shown = (self.asked.with_deleted || row.deleted_in.is_none())
            && self.org.can_see_object(self.asked.viewer, object)
            && self.org.can_see_row(self.asked.viewer, object, row);
        shown.then_some(row)
    }

    pub fn read(self, route: &Route, object: ObjectIndex, row: &Row) -> Json {
        let mut place = (object, row);
        for hop in &route.hops {
            match self.follow(hop, place.0, place.1) {
                Some(next) => place = next,
                None => return Json::Null,
            }
        }
        self.read_end(route, place.0, place.1)
    }

    pub fn read_end(self, route: &Route, object: ObjectIndex, row: &Row) -> Json {
        match route.ends.iter().find(|(end, _)| *end == object) {
            Some((_, End::Field(field))) => row.read(self.org.schema.object(object), *field),
            Some((_, End::Type)) => {
                let definition = self.org.schema.object(object);
                // A group says what kind of group it is: `Queue`.
                let own = definition.find("Type").filter(|_| definition.name == "Group");
                own.map_or_else(|| json!(definition.name), |(field, _)| row.read(definition, field))
            }
            None => Json::Null,
        }
    }

    /// The field definition at the end, where there is one.
    pub fn definition(self, route: &Route) -> Option<&'a Field> {
        match route.ends.first()? {
            (object, End::Field(field)) => Some(self.org.schema.object(*object).field(*field)),
            (_, End::Type) => None,
        }
    }

    /// An object that may be asked for.
    pub fn object(self, name: &str) -> Option<ObjectIndex> {
        let (index, object) = self.org.schema.find(name)?;
        (object.kind != ObjectKind::Event && self.org.can_see_object(self.asked.viewer, index)).then_some(index)
    }
}

fn no_such_column(name: &str, entity: &str, path: &Path) -> QueryError {
    let message = format!(
        "No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append \
         the '__c' after the custom field name. {SEE_DESCRIBE}"
    );
    QueryError::new("INVALID_FIELD", message).at(path.at)
}

fn unknown_relationship(name: &str, path: &Path) -> QueryError {
    let message = format!(
        "Didn't understand relationship '{name}' in field path. If you are attempting to use a custom relationship, be \
         sure to append the '__r' after the custom relationship name. {SEE_DESCRIBE}"
    );
    QueryError::new("INVALID_FIELD", message).at(path.at)
}

pub fn no_such_object(name: &str) -> QueryError {
    let message = format!(
        "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the \
         '__c' after the entity name. {SEE_DESCRIBE}"
    );
    QueryError::new("INVALID_TYPE", message)
}

pub fn no_such_children(name: &str) -> QueryError {
    let message = format!(
        "Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a custom \
         relationship, be sure to append the '__r' after the custom relationship name. {SEE_DESCRIBE}"
    );
    QueryError::new("INVALID_TYPE", message)
}
