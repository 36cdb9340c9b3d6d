//! Person accounts: an account and a contact that are one person (streaming-cometd.md section 13).
//!
//! Both rows keep what they have in common, and every write to one of them writes the other in the same transaction:
//! the account first, so that its events come first. Triggers, rules and flows of contacts do not run for the contact
//! of a person account; those of accounts do.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::SaveError;
use super::event::ChangeKind;
use super::save::{changed_fields, set};
use super::schema::{Field, FieldIndex, Kind, Object, ObjectIndex, Reference, Schema, System};
use super::table::Row;
use super::transaction::Unit;
use super::{Caller, Id, Org, Saved, Values};

/// The record type of person accounts, by its developer name.
pub const PERSON_TYPE: &str = "PersonAccount";
/// Contacts have their own; that of a person account is the account's.
const OWN: [&str; 3] = ["Phone", "Fax", "Description"];

/// Where a person account's two rows meet.
#[derive(Debug, Clone)]
pub struct PersonAccounts {
    accounts: ObjectIndex,
    contacts: ObjectIndex,
    record_type: Id,
    /// Of accounts.
    name: FieldIndex,
    first_name: Option<FieldIndex>,
    last_name: FieldIndex,
    contact_id: FieldIndex,
    /// Of contacts.
    account_id: FieldIndex,
    is_person: FieldIndex,
    pairs: Vec<Pair>,
}

/// One field in both rows.
#[derive(Debug, Clone, Copy)]
struct Pair {
    account: FieldIndex,
    contact: FieldIndex,
    /// A part of the name, which accounts have as their own.
    of_name: bool,
}

impl PersonAccounts {
    /// # Errors
    /// What the objects lack.
    pub fn find(schema: &Schema, record_type: Id) -> Result<Self, String> {
        let object = |name: &str| schema.find(name).ok_or_else(|| format!("person accounts need the object {name}"));
        let ((accounts, account), (contacts, contact)) = (object("Account")?, object("Contact")?);
        let field = |object: &Object, name: &str| {
            let found = object.find(name).map(|(index, _)| index);
            found.ok_or_else(|| format!("person accounts need the field {}.{name}", object.name))
        };
        let account_id = field(contact, "AccountId")?;
        if !contact.field(account_id).reference().is_some_and(|to| to.cascades) {
            return Err("person accounts need `on_parent_delete: delete` in Contact.AccountId".into());
        }
        Ok(Self {
            accounts,
            contacts,
            record_type,
            name: field(account, "Name")?,
            first_name: field(account, "FirstName").ok(),
            last_name: field(account, "LastName")?,
            contact_id: field(account, "PersonContactId")?,
            account_id,
            is_person: field(contact, "IsPersonAccount")?,
            pairs: pairs(account, contact),
        })
    }

    /// Whether a field of accounts is the contact's.
    pub fn is_of_contact(&self, object: ObjectIndex, field: FieldIndex) -> bool {
        object == self.accounts && self.pairs.iter().any(|pair| pair.account == field && !pair.of_name)
    }

    pub fn contacts(&self) -> ObjectIndex {
        self.contacts
    }

    /// The account of a person account's contact.
    fn account_of(&self, object: ObjectIndex, row: &Row) -> Option<Id> {
        let is_person = object == self.contacts && row.values.get(&self.is_person) == Some(&Json::Bool(true));
        row.reference(self.account_id).filter(|_| is_person)
    }

    /// The contact of a person account.
    fn contact_of(&self, object: ObjectIndex, row: &Row) -> Option<Id> {
        row.reference(self.contact_id).filter(|_| object == self.accounts)
    }
}

fn pairs(account: &Object, contact: &Object) -> Vec<Pair> {
    let pair = |(index, field): (FieldIndex, &Field)| {
        let of_account = account_field(field).filter(Field::stored)?;
        let of_name = of_account.name == field.name;
        Some(Pair { account: account.find(&of_account.name)?.0, contact: index, of_name })
    };
    contact.fields().filter_map(pair).collect()
}

/// A field of contacts as accounts have it: `PersonEmail`, `Level__pc`, parts of the name; none of what accounts have
/// anyway, and of what the org keeps by itself.
pub fn account_field(contact: &Field) -> Option<Field> {
    let own = OWN.contains(&contact.name.as_str()) || contact.name == "IsPersonAccount";
    let is_address = matches!(contact.kind, Kind::Address(_));
    let place = contact.name.ends_with("__s");
    if own || place || !(is_address || contact.writable()) || (contact.reference().is_some() && !contact.custom()) {
        return None;
    }
    let of_name = contact.compound.as_ref().is_some_and(|(compound, _)| compound == "Name");
    let name = |name: &str| match name.strip_suffix("__c") {
        _ if of_name => name.to_owned(),
        Some(custom) => format!("{custom}__pc"),
        None => format!("Person{name}"),
    };
    let kind = match &contact.kind {
        Kind::Address(prefix) => Kind::Address(format!("Person{prefix}")),
        Kind::Reference(to) => Kind::Reference(Reference {
            relationship: to.relationship.as_ref().map(|own| format!("{}__pr", own.trim_end_matches("__r"))),
            children: None,
            locks: false,
            restricts: false,
            cascades: false,
            objects: Vec::new(),
            ..to.clone()
        }),
        other => other.clone(),
    };
    let compound = contact.compound.as_ref();
    Some(Field {
        name: name(&contact.name),
        kind,
        compound: compound.map(|(compound, part)| match of_name {
            true => (compound.clone(), part.clone()),
            false => (format!("Person{compound}"), part.clone()),
        }),
        // The contact's row sees to these.
        required: false,
        default: None,
        unique: false,
        lookup_key: false,
        external_id: false,
        ..contact.clone()
    })
}

/// The fields that accounts have besides.
pub fn own_account_fields() -> Vec<Field> {
    let to = vec!["Contact".to_owned()];
    let reference = Reference { to, relationship: Some("PersonContact".into()), ..Reference::default() };
    vec![
        Field { read_only: true, ..Field::new("PersonContactId", "Contact ID", Kind::Reference(reference)) },
        Field::system("IsPersonAccount", "Is Person Account", System::IsPersonAccount),
    ]
}

/// `IsPersonAccount` of contacts, `IsPersonType` of record types: true or false, and written by nobody.
pub fn flag(name: &str, label: &str) -> Field {
    let field = Field::new(name, label, Kind::Boolean).required();
    Field { read_only: true, default: Some(false.into()), ..field }
}

impl Org {
    /// Whether a row is the contact of a person account: rules and automation of contacts pass it by.
    pub(super) fn is_person_contact(&self, object: ObjectIndex, row: &Row) -> bool {
        self.persons.as_ref().is_some_and(|persons| persons.account_of(object, row).is_some())
    }

    /// The account of a person account's contact, deleted or not.
    pub(super) fn account_of_person(&self, object: ObjectIndex, id: &Id) -> Option<(ObjectIndex, Id)> {
        let persons = self.persons.as_ref()?;
        Some((persons.accounts, persons.account_of(object, self.table(object).get(id)?)?))
    }

    /// The contact of a person account, deleted or not.
    pub(super) fn contact_of_person(&self, object: ObjectIndex, id: &Id) -> Option<(ObjectIndex, Id)> {
        let persons = self.persons.as_ref()?;
        Some((persons.contacts, persons.contact_of(object, self.table(object).get(id)?)?))
    }

    /// The accounts that have the fields of this object's records as well: those of contacts, if they are persons.
    pub(super) fn person_accounts_of(&self, object: ObjectIndex) -> Option<ObjectIndex> {
        self.persons.as_ref().filter(|persons| persons.contacts == object).map(|persons| persons.accounts)
    }

    /// What a contact shares with its account, once they have other fields; the accounts get the contacts' values.
    pub(super) fn pair_person_fields(&mut self) {
        let Some(persons) = self.persons.as_mut().map(Arc::make_mut) else { return };
        persons.pairs = pairs(self.schema.object(persons.accounts), self.schema.object(persons.contacts));
        let persons = persons.clone();
        let contacts: Vec<Arc<Row>> = {
            let table = self.table(persons.contacts);
            let own = table.rows().filter(|row| persons.account_of(persons.contacts, row).is_some());
            own.filter_map(|row| table.share(&row.id)).collect()
        };
        for contact in contacts {
            let account = persons.account_of(persons.contacts, &contact);
            let Some(account) = account.and_then(|id| self.table(persons.accounts).share(&id)) else { continue };
            let mut account = Row::clone(&account);
            for pair in &persons.pairs {
                let value = contact.values.get(&pair.contact).cloned().unwrap_or_default();
                set(&mut account, Some(pair.account), value);
            }
            self.put(persons.accounts, Arc::new(account));
        }
    }

    /// Makes the values of a new account those of a person account, if they have a last name or its record type.
    pub(super) fn start_person(&mut self, object: ObjectIndex, values: &mut Values) -> Result<(), SaveError> {
        let Some(persons) = self.persons.clone().filter(|persons| persons.accounts == object) else { return Ok(()) };
        let definition = self.schema.object(object);
        let given = |field: FieldIndex| values.get(&field).filter(|value| !value.is_null());
        let record_type = definition.record_type().and_then(given).and_then(Json::as_str).and_then(Id::parse);
        let is_person = match record_type {
            Some(own) => own == persons.record_type,
            None => given(persons.last_name).is_some(),
        };
        self.fits_person(&persons, is_person, values)?;
        if !is_person {
            return Ok(());
        }
        if let Some(field) = definition.record_type() {
            values.insert(field, persons.record_type.as_str().into());
        }
        let contact = self.schema.object(persons.contacts);
        for pair in &persons.pairs {
            let place = values.entry(pair.account).or_default();
            if let (Json::Null, Some(default)) = (&place, &contact.field(pair.contact).default) {
                *place = default.clone();
            }
        }
        values.remove(&persons.name);
        let contact = self.new_id(persons.contacts);
        values.insert(persons.contact_id, contact.as_str().into());
        Ok(())
    }

    /// Whether an update fits what the account is: it stays a person, or none.
    pub(super) fn stays_person(&self, object: ObjectIndex, old: &Row, values: &Values) -> Result<(), SaveError> {
        let Some(persons) = self.persons.as_ref().filter(|persons| persons.accounts == object) else { return Ok(()) };
        let is_person = persons.contact_of(object, old).is_some();
        let wanted = self.schema.object(object).record_type().and_then(|field| values.get(&field));
        if wanted.is_some_and(|wanted| (wanted.as_str() == Some(persons.record_type.as_str())) != is_person) {
            return Err(not_for_persons("an account stays a person account, or none").on("RecordTypeId"));
        }
        self.fits_person(persons, is_person, values)
    }

    /// Persons have no name of their own making, and other accounts nothing that persons have.
    fn fits_person(&self, persons: &PersonAccounts, is_person: bool, values: &Values) -> Result<(), SaveError> {
        let of_persons = |field: FieldIndex| persons.pairs.iter().any(|pair| pair.account == field);
        let bad = |field: FieldIndex| if is_person { field == persons.name } else { of_persons(field) };
        let account = self.schema.object(persons.accounts);
        let given = values.iter().filter(|(field, value)| bad(**field) && !value.is_null());
        let names: Vec<String> = given.map(|(field, _)| account.field(*field).name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("{}: bad field names on insert/update call: {}", account.name, names.join(", "));
        Err(SaveError { fields: names, ..SaveError::new("INVALID_FIELD_FOR_INSERT_UPDATE", message) })
    }

    /// Puts the name of a person account together.
    pub(super) fn name_person(&self, object: ObjectIndex, row: &mut Row) -> Result<(), SaveError> {
        let Some(persons) = &self.persons else { return Ok(()) };
        if persons.contact_of(object, row).is_none() {
            return Ok(());
        }
        let text = |field: FieldIndex| row.values.get(&field).and_then(Json::as_str);
        let Some(last) = text(persons.last_name) else {
            return Err(SaveError::missing(vec!["LastName".into()]));
        };
        let name = persons.first_name.and_then(text).map_or_else(|| last.to_owned(), |first| format!("{first} {last}"));
        set(row, Some(persons.name), name.into());
        Ok(())
    }

    /// Makes the contact of a new person account.
    pub(super) fn create_person_contact(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        account: &Id,
    ) -> Result<(), SaveError> {
        let Some((persons, id, account)) = self.person(object, account) else { return Ok(()) };
        let mut values = self.shared_values(&persons, &account);
        values.insert(persons.is_person, true.into());
        values.insert(persons.account_id, account.id.as_str().into());
        let values = self.with_defaults(caller, persons.contacts, values);
        let row = Row { id: id.clone(), values, ..Row::clone(&account) };
        let fields: BTreeSet<FieldIndex> = row.values.keys().copied().collect();
        self.check(unit, caller, persons.contacts, &row, None, &fields)?;
        self.save(unit, caller, persons.contacts, row, ChangeKind::Create, BTreeSet::new());
        self.roll_up(unit, caller, persons.contacts, None, &id)
    }

    /// Brings the contact of a person account up to date. It is always saved: both have the same last change.
    pub(super) fn update_person_contact(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        account: &Id,
    ) -> Result<(), SaveError> {
        let Some((persons, id, account)) = self.person(object, account) else { return Ok(()) };
        let values = self.shared_values(&persons, &account);
        self.save_person_contact(unit, caller, persons.contacts, &id, values).map(|_| ())
    }

    /// A person account with the id of its contact.
    fn person(&self, object: ObjectIndex, account: &Id) -> Option<(Arc<PersonAccounts>, Id, Arc<Row>)> {
        let persons = self.persons.clone()?;
        let row = self.table(object).share(account)?;
        let contact = persons.contact_of(object, &row)?;
        Some((persons, contact, row))
    }

    /// What the contact has from its account.
    fn shared_values(&self, persons: &PersonAccounts, account: &Row) -> Values {
        let value = |field: FieldIndex| account.values.get(&field).cloned().unwrap_or_default();
        let mut values: Values = persons.pairs.iter().map(|pair| (pair.contact, value(pair.account))).collect();
        let (accounts, contacts) = (self.schema.object(persons.accounts), self.schema.object(persons.contacts));
        if let (Some(owner), Some(own)) = (accounts.owner(), contacts.owner()) {
            values.insert(own, value(owner));
        }
        values
    }

    /// Writes to the contact of a person account: what it shares goes by way of the account.
    pub(super) fn update_as_person(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        contact: &Id,
        (accounts, account): (ObjectIndex, &Id),
        values: Values,
    ) -> Result<Saved, SaveError> {
        let Some(persons) = self.persons.clone() else { return Err(SaveError::unknown_id()) };
        let old = self.live(caller, persons.contacts, contact)?;
        if !caller.system && !self.can_edit_row(&caller.user, persons.contacts, &old) {
            return Err(SaveError::no_access());
        }
        let (owner, own_owner) = (self.schema.object(accounts).owner(), self.schema.object(persons.contacts).owner());
        let (mut shared, mut own) = (Values::new(), Values::new());
        for (field, value) in values {
            if field == persons.account_id {
                if value.as_str() != Some(account.as_str()) {
                    return Err(not_for_persons("the contact of a person account keeps its account").on("AccountId"));
                }
            } else if let Some(pair) = persons.pairs.iter().find(|pair| pair.contact == field) {
                shared.insert(pair.account, value);
            } else if let (Some(owner), true) = (owner, own_owner == Some(field)) {
                shared.insert(owner, value);
            } else {
                own.insert(field, value);
            }
        }
        let shared_changed = self.update_row(unit, caller, accounts, account, shared)?;
        let own_changed = self.save_person_contact(unit, caller, persons.contacts, contact, own)?;
        if !shared_changed && !own_changed {
            Self::note_duplicate(unit);
        }
        Ok(Saved { id: contact.clone(), created: false })
    }

    fn save_person_contact(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        contacts: ObjectIndex,
        id: &Id,
        values: Values,
    ) -> Result<bool, SaveError> {
        let Some(old) = self.table(contacts).share(id) else { return Err(SaveError::unknown_id()) };
        self.lock(unit, id)?;
        let mut row = Row::clone(&old);
        for (field, value) in values {
            set(&mut row, Some(field), value);
        }
        let changed = changed_fields(&old, &row);
        let any = !changed.is_empty();
        self.check(unit, caller, contacts, &row, Some(&old), &changed)?;
        self.save(unit, caller, contacts, row, ChangeKind::Update, changed);
        self.roll_up(unit, caller, contacts, Some(&old), id)?;
        Ok(any)
    }

    /// Whether a contact may have this account: a person account has its own contact and no other.
    pub(super) fn check_account(&self, object: ObjectIndex, row: &Row, field: FieldIndex) -> Result<(), SaveError> {
        let Some(persons) = &self.persons else { return Ok(()) };
        if object != persons.contacts || field != persons.account_id || self.is_person_contact(object, row) {
            return Ok(());
        }
        let account = row.reference(field).and_then(|id| self.contact_of_person(persons.accounts, &id));
        match account {
            Some(_) => Err(not_for_persons("a person account has no other contacts").on("AccountId")),
            None => Ok(()),
        }
    }

    /// Whether a record may be deleted for itself.
    pub(super) fn deleted_alone(&self, object: ObjectIndex, row: &Row) -> Result<(), SaveError> {
        match self.is_person_contact(object, row) {
            true => Err(not_for_persons("the contact of a person account is deleted with its account")),
            false => Ok(()),
        }
    }

    /// Whether records may be merged: persons with persons only, and by their accounts.
    pub(super) fn merges(&self, object: ObjectIndex, ids: &[&Id]) -> Result<(), SaveError> {
        let persons = ids.iter().filter(|id| self.contact_of_person(object, id).is_some()).count();
        if ids.iter().any(|id| self.account_of_person(object, id).is_some()) {
            return Err(not_for_persons("the contacts of person accounts are merged with their accounts"));
        }
        if persons > 0 && persons < ids.len() {
            return Err(not_for_persons("person accounts are merged with one another only"));
        }
        Ok(())
    }
}

fn not_for_persons(text: &str) -> SaveError {
    SaveError::new("INVALID_PERSON_ACCOUNT_OPERATION", text)
}
