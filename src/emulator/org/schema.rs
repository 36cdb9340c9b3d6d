//! The objects of an org and their fields.
//!
//! Names in requests are case-insensitive; answers use the canonical case. Fields are known by their index in
//! [`Object::fields`], so that a row is a small map of what is not null.

use std::collections::HashMap;

/// Index into [`Schema::objects`].
pub type ObjectIndex = usize;
/// Index into [`Object::fields`].
pub type FieldIndex = usize;

#[derive(Debug)]
pub struct Schema {
    objects: Vec<Object>,
}

#[derive(Debug)]
pub struct Object {
    pub name: String,
    /// The first three characters of its record ids.
    pub prefix: String,
    fields: Vec<Field>,
    by_name: HashMap<String, FieldIndex>,
    by_relationship: HashMap<String, FieldIndex>,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    /// Required on create and never null.
    pub required: bool,
    /// Usable as the key of an upsert and of a parent (`idLookup` of the describe).
    pub lookup_key: bool,
    pub unique: bool,
    /// The compound field and the part in it that change events use: `BillingCity` is `BillingAddress.City`.
    pub compound: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Up to so many characters.
    Text(usize),
    Email(usize),
    /// A whole number of up to so many digits.
    Int(usize),
    /// Digits before the point, digits behind it.
    Currency(usize, usize),
    Date,
    /// The object referred to, and the relationship's name.
    Reference(String, String),
    /// Kept by the org itself; never written by a request.
    System(System),
    /// An address, written by its parts; the part fields' common prefix.
    Address(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Id,
    IsDeleted,
    CreatedDate,
    CreatedById,
    LastModifiedDate,
    LastModifiedById,
    Modstamp,
    /// First and last name of a person.
    FullName,
}

pub const ADDRESS_PARTS: [&str; 5] = ["Street", "City", "State", "PostalCode", "Country"];

impl Schema {
    /// Account and Contact, as every org of the emulator has them.
    pub fn standard() -> Self {
        Self { objects: vec![account(), contact()] }
    }

    pub fn objects(&self) -> impl Iterator<Item = (ObjectIndex, &Object)> {
        self.objects.iter().enumerate()
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn find(&self, name: &str) -> Option<(ObjectIndex, &Object)> {
        self.objects().find(|(_, object)| object.name.eq_ignore_ascii_case(name))
    }

    /// The object that ids with this prefix belong to.
    pub fn of_id(&self, id: &super::Id) -> Option<(ObjectIndex, &Object)> {
        self.objects().find(|(_, object)| id.has_prefix(&object.prefix))
    }

    /// # Panics
    /// Never for an index that this schema gave out: objects are only ever added.
    pub fn object(&self, index: ObjectIndex) -> &Object {
        &self.objects[index]
    }
}

impl Object {
    fn new(name: &str, prefix: &str, fields: Vec<Field>) -> Self {
        let mut all = vec![
            system("Id", System::Id),
            system("IsDeleted", System::IsDeleted),
            system("CreatedDate", System::CreatedDate),
            system("CreatedById", System::CreatedById),
            system("LastModifiedDate", System::LastModifiedDate),
            system("LastModifiedById", System::LastModifiedById),
            system("SystemModstamp", System::Modstamp),
        ];
        all.extend(fields);
        let by_name = all.iter().enumerate().map(|(i, f)| (f.name.to_ascii_lowercase(), i)).collect();
        let by_relationship = all
            .iter()
            .enumerate()
            .filter_map(|(i, f)| match &f.kind {
                Kind::Reference(_, relationship) => Some((relationship.to_ascii_lowercase(), i)),
                _ => None,
            })
            .collect();
        Self { name: name.into(), prefix: prefix.into(), fields: all, by_name, by_relationship }
    }

    pub fn fields(&self) -> impl Iterator<Item = (FieldIndex, &Field)> {
        self.fields.iter().enumerate()
    }

    pub fn find(&self, name: &str) -> Option<(FieldIndex, &Field)> {
        let index = *self.by_name.get(&name.to_ascii_lowercase())?;
        Some((index, self.field(index)))
    }

    /// The reference field behind a relationship name: `Account` is `AccountId`.
    pub fn relationship(&self, name: &str) -> Option<(FieldIndex, &Field)> {
        let index = *self.by_relationship.get(&name.to_ascii_lowercase())?;
        Some((index, self.field(index)))
    }

    /// # Panics
    /// Never for an index that this object gave out: fields are only ever added.
    pub fn field(&self, index: FieldIndex) -> &Field {
        &self.fields[index]
    }
}

impl Field {
    fn new(name: &str, label: &str, kind: Kind) -> Self {
        let (name, label) = (name.into(), label.into());
        Self { name, label, kind, required: false, lookup_key: false, unique: false, compound: None }
    }

    fn required(mut self) -> Self {
        self.required = true;
        self
    }

    fn lookup_key(mut self) -> Self {
        self.lookup_key = true;
        self
    }

    fn part_of(mut self, compound: &str, part: &str) -> Self {
        self.compound = Some((compound.into(), part.into()));
        self
    }

    /// Whether requests may write it.
    pub fn writable(&self) -> bool {
        !matches!(self.kind, Kind::System(_) | Kind::Address(_))
    }
}

fn system(name: &str, system: System) -> Field {
    Field::new(name, name, Kind::System(system))
}

fn text(name: &str, label: &str, length: usize) -> Field {
    Field::new(name, label, Kind::Text(length))
}

fn reference(name: &str, label: &str, to: &str, relationship: &str) -> Field {
    Field::new(name, label, Kind::Reference(to.into(), relationship.into()))
}

fn external_id(name: &str) -> Field {
    let mut field = text(name, name, 18).lookup_key();
    field.unique = true;
    field
}

fn address(prefix: &str) -> Vec<Field> {
    let compound = format!("{prefix}Address");
    let mut fields: Vec<Field> = ADDRESS_PARTS
        .into_iter()
        .map(|part| {
            let length = match part {
                "Street" => 255,
                "City" => 40,
                "PostalCode" => 20,
                _ => 80,
            };
            text(&format!("{prefix}{part}"), &format!("{prefix} {part}"), length).part_of(&compound, part)
        })
        .collect();
    fields.push(Field::new(&compound, &compound, Kind::Address(prefix.into())));
    fields
}

fn account() -> Object {
    let mut fields = vec![
        text("Name", "Account Name", 255).required(),
        reference("ParentId", "Parent Account ID", "Account", "Parent"),
        text("Phone", "Account Phone", 40),
        text("Website", "Website", 255),
        text("Industry", "Industry", 255),
        Field::new("NumberOfEmployees", "Employees", Kind::Int(8)),
        Field::new("AnnualRevenue", "Annual Revenue", Kind::Currency(16, 2)),
        text("Description", "Account Description", 32_000),
        reference("OwnerId", "Owner ID", "User", "Owner").required(),
        external_id("Source_Id__c"),
        external_id("Emea_Id__c"),
        text("Region__c", "Region", 255),
    ];
    fields.extend(address("Billing"));
    Object::new("Account", "001", fields)
}

fn contact() -> Object {
    let mut fields = vec![
        text("LastName", "Last Name", 80).required().part_of("Name", "LastName"),
        text("FirstName", "First Name", 40).part_of("Name", "FirstName"),
        text("Salutation", "Salutation", 40).part_of("Name", "Salutation"),
        system("Name", System::FullName),
        reference("AccountId", "Account ID", "Account", "Account"),
        Field::new("Email", "Email", Kind::Email(80)).lookup_key(),
        text("Phone", "Business Phone", 40),
        text("Title", "Title", 128),
        Field::new("Birthdate", "Birthdate", Kind::Date),
        reference("OwnerId", "Owner ID", "User", "Owner").required(),
        external_id("Source_Id__c"),
        external_id("Emea_Id__c"),
    ];
    fields.extend(address("Mailing"));
    Object::new("Contact", "003", fields)
}
