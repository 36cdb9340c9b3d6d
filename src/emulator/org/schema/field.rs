//! One field: what it holds, who may write it, and what the describe says of it.

use super::ObjectIndex;

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    /// Never null; without a default also required on create.
    pub required: bool,
    /// What a create without this field stores, in the form of a stored value.
    pub default: Option<serde_json::Value>,
    /// Usable as the key of an upsert and of a parent (`idLookup` of the describe).
    pub lookup_key: bool,
    /// A custom field marked External ID.
    pub external_id: bool,
    pub unique: bool,
    pub case_sensitive: bool,
    /// Written on create, never on update.
    pub create_only: bool,
    /// Shown and never written, though it is of a kind that could be.
    pub read_only: bool,
    /// The compound field and the part in it that change events use: `BillingCity` is `BillingAddress.City`.
    pub compound: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Up to so many characters.
    Text(usize),
    /// Text with line breaks; above 255 characters "long", then it can be neither filtered nor sorted.
    TextArea {
        length: usize,
        html: bool,
    },
    Email(usize),
    Phone(usize),
    Url(usize),
    /// Text that readers without a permission see masked.
    Encrypted(usize),
    Picklist(Picklist),
    MultiPicklist(Picklist),
    Boolean,
    /// A whole number of up to so many digits.
    Int(usize),
    /// Digits before the point, digits behind it.
    Number(NumberKind, usize, usize),
    Date,
    DateTime,
    Time,
    Reference(Reference),
    /// Text that the org makes: a prefix, and a number of at least so many digits.
    AutoNumber {
        prefix: String,
        digits: usize,
    },
    /// Computed at each read.
    Formula(Formula),
    /// Kept by the org from the record's children.
    RollUp(RollUp),
    /// An address, written by its parts; the part fields' common prefix.
    Address(String),
    /// A place, written by its parts `X__Latitude__s` and `X__Longitude__s`; the part fields' common prefix.
    Location(String),
    /// Kept by the org itself; never written by a request.
    System(System),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    Double,
    Currency,
    Percent,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picklist {
    pub values: Vec<String>,
    /// Other values are refused.
    pub restricted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reference {
    /// The names of the objects referred to; more than one: polymorphic.
    pub to: Vec<String>,
    /// The same as indexes, once the schema is whole.
    pub objects: Vec<ObjectIndex>,
    /// `Account` of `AccountId`; `None` cannot be set by external id.
    pub relationship: Option<String>,
    /// The name under which a parent knows these children: `Contacts`.
    pub children: Option<String>,
    /// Master-detail: required, and locks its parent.
    pub master: bool,
    /// A master-detail child may get another parent.
    pub reparentable: bool,
    /// Deleting the parent deletes the child; otherwise the reference is cleared.
    pub cascades: bool,
    /// Deleting a parent that has such a child is refused.
    pub restricts: bool,
    /// Saving the child locks the parent, as an account is locked by its contacts.
    pub locks: bool,
}

/// Text with field names in braces: `{FirstName} {LastName}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formula(pub String);

/// A figure of a record's children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollUp {
    /// The child object and its reference to this record, by name.
    pub child: String,
    pub by: String,
    pub summary: Summary,
    /// The child's field that is summed up; none for a count.
    pub field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    Count,
    Sum,
    Min,
    Max,
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
    /// Whether an account is a person.
    IsPersonAccount,
}

pub const ADDRESS_PARTS: [&str; 5] = ["Street", "City", "State", "PostalCode", "Country"];
pub const LOCATION_PARTS: [&str; 2] = ["Latitude", "Longitude"];

impl Field {
    pub fn new(name: &str, label: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            kind,
            required: false,
            default: None,
            lookup_key: false,
            external_id: false,
            unique: false,
            case_sensitive: false,
            create_only: false,
            read_only: false,
            compound: None,
        }
    }

    pub fn system(name: &str, label: &str, system: System) -> Self {
        Self::new(name, label, Kind::System(system))
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn part_of(mut self, compound: &str, part: &str) -> Self {
        self.compound = Some((compound.into(), part.into()));
        self
    }

    pub fn custom(&self) -> bool {
        ["__c", "__s", "__pc"].iter().any(|suffix| self.name.ends_with(suffix))
    }

    /// Whether requests may ever write it.
    pub fn writable(&self) -> bool {
        !self.read_only
            && !matches!(
                self.kind,
                Kind::System(_)
                    | Kind::Address(_)
                    | Kind::Location(_)
                    | Kind::AutoNumber { .. }
                    | Kind::Formula(_)
                    | Kind::RollUp(_)
            )
    }

    /// Whether requests may write it once the record is there.
    pub fn updateable(&self) -> bool {
        let fixed = self.create_only || matches!(&self.kind, Kind::Reference(to) if to.master && !to.reparentable);
        self.writable() && !fixed
    }

    pub fn reference(&self) -> Option<&Reference> {
        match &self.kind {
            Kind::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    pub(super) fn reference_mut(&mut self) -> Option<&mut Reference> {
        match &mut self.kind {
            Kind::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    /// Whether its values are record ids.
    pub fn is_id(&self) -> bool {
        matches!(
            self.kind,
            Kind::Reference(_) | Kind::System(System::Id | System::CreatedById | System::LastModifiedById)
        )
    }

    /// Shown as an object, written by its parts.
    pub fn is_compound(&self) -> bool {
        matches!(self.kind, Kind::Address(_) | Kind::Location(_))
    }

    /// Whether values are kept in the row, and so travel in change events.
    pub fn stored(&self) -> bool {
        !matches!(self.kind, Kind::System(_) | Kind::Address(_) | Kind::Location(_) | Kind::Formula(_))
    }

    /// Whether conditions of a query may use it (rest.md section 3, `filterable`).
    pub fn filterable(&self) -> bool {
        match &self.kind {
            Kind::TextArea { length, .. } => *length <= 255,
            Kind::Encrypted(_) | Kind::Address(_) | Kind::Location(_) => false,
            _ => true,
        }
    }

    /// The describe's `type`.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Text(_) | Kind::AutoNumber { .. } | Kind::Formula(_) | Kind::System(System::FullName) => "string",
            Kind::TextArea { .. } => "textarea",
            Kind::Email(_) => "email",
            Kind::Phone(_) => "phone",
            Kind::Url(_) => "url",
            Kind::Encrypted(_) => "encryptedstring",
            Kind::Picklist(_) => "picklist",
            Kind::MultiPicklist(_) => "multipicklist",
            Kind::Boolean | Kind::System(System::IsDeleted | System::IsPersonAccount) => "boolean",
            Kind::Int(_) => "int",
            Kind::Number(NumberKind::Double, ..) => "double",
            Kind::RollUp(RollUp { summary: Summary::Count, .. }) => "int",
            Kind::RollUp(_) => "double",
            Kind::Number(NumberKind::Currency, ..) => "currency",
            Kind::Number(NumberKind::Percent, ..) => "percent",
            Kind::Date => "date",
            Kind::DateTime | Kind::System(System::CreatedDate | System::LastModifiedDate | System::Modstamp) => {
                "datetime"
            }
            Kind::Time => "time",
            Kind::Reference(_) | Kind::System(System::CreatedById | System::LastModifiedById) => "reference",
            Kind::System(System::Id) => "id",
            Kind::Address(_) => "address",
            Kind::Location(_) => "location",
        }
    }
}
