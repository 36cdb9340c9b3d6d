//! What people do with records in the browser and no save of one record can: merging duplicates, converting a lead.

use serde_json::{Map, Value as Json, json};

use super::error::SaveError;
use super::event::ChangeKind;
use super::save::{changed_fields, set};
use super::schema::ObjectIndex;
use super::table::Row;
use super::time::{self, SECOND};
use super::transaction::Unit;
use super::{Caller, Id, Org, Write};

/// What a lead became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    pub account: Id,
    pub contact: Id,
    pub opportunity: Option<Id>,
}

impl Org {
    /// Merges up to two records into a third: the winner is updated, what referred to the losers refers to it, the
    /// losers are deleted and know their winner (`MasterRecordId`).
    ///
    /// # Errors
    /// What is wrong with the records; then nothing was done.
    pub fn merge(
        &mut self,
        caller: &Caller,
        winner: &Id,
        losers: &[Id],
        fields: Map<String, Json>,
        now: i64,
    ) -> Result<(), SaveError> {
        let mut unit = self.begin(now);
        match self.merge_in(&mut unit, caller, winner, losers, fields) {
            Ok(()) => {
                self.commit(unit, caller);
                Ok(())
            }
            Err(error) => {
                self.roll_back(unit);
                Err(error)
            }
        }
    }

    fn merge_in(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        winner: &Id,
        losers: &[Id],
        fields: Map<String, Json>,
    ) -> Result<(), SaveError> {
        let (object, _) = self.share_row(winner).ok_or_else(SaveError::unknown_id)?;
        if !self.schema.object(object).mergeable {
            return Err(SaveError::new("INVALID_OPERATION", "records of this object cannot be merged"));
        }
        if losers.is_empty() || losers.len() > 2 || losers.contains(winner) {
            return Err(SaveError::new(
                "INVALID_OPERATION",
                "one or two other records are merged into the master record",
            ));
        }
        let all: Vec<&Id> = losers.iter().chain([winner]).collect();
        self.merges(object, &all)?;
        for loser in losers {
            self.merge_away(unit, caller, object, winner, loser)?;
        }
        let moved: Vec<_> =
            unit.touched.iter().map(|touch| (touch.object, touch.id.clone(), touch.before.clone())).collect();
        for (object, id, before) in moved {
            self.roll_up(unit, caller, object, before.as_deref(), &id)?;
        }
        let write = Write::Update { object, id: winner.clone(), fields };
        self.run_one(unit, caller, write).map(|_| ())
    }

    /// What referred to the loser refers to the winner, and the loser is gone. Of person accounts also the contact.
    fn merge_away(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        winner: &Id,
        loser: &Id,
    ) -> Result<(), SaveError> {
        let row = self.live(caller, object, loser)?;
        let (contact, into) = (self.contact_of_person(object, loser), self.contact_of_person(object, winner));
        for (child, id) in self.children_of(object, loser) {
            if contact.as_ref().is_some_and(|(_, own)| *own == id) {
                continue;
            }
            let Some(row) = self.table(child.object).share(&id) else { continue };
            let mut row = Row::clone(&row);
            set(&mut row, Some(child.field), winner.as_str().into());
            self.save(unit, caller, child.object, row, ChangeKind::Update, [child.field].into());
        }
        let mut gone = Row::clone(&row);
        let master = self.schema.object(object).find("MasterRecordId").map(|(index, _)| index);
        set(&mut gone, master, winner.as_str().into());
        gone.deleted_in = Some(unit.number);
        self.save(unit, caller, object, gone, ChangeKind::Delete, Default::default());
        match (contact, into) {
            (Some((contacts, loser)), Some((_, winner))) => self.merge_away(unit, caller, contacts, &winner, &loser),
            _ => Ok(()),
        }
    }

    /// Makes an account, a contact and (unless told otherwise) an opportunity of a lead, in one transaction.
    ///
    /// # Errors
    /// What is wrong with the lead or with the records that it would become; then nothing was done.
    pub fn convert_lead(
        &mut self,
        caller: &Caller,
        lead: &Id,
        opportunity: bool,
        now: i64,
    ) -> Result<Converted, SaveError> {
        let mut unit = self.begin(now);
        match self.convert_in(&mut unit, caller, lead, opportunity) {
            Ok(converted) => {
                self.commit(unit, caller);
                Ok(converted)
            }
            Err(error) => {
                self.roll_back(unit);
                Err(error)
            }
        }
    }

    fn convert_in(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        lead: &Id,
        opportunity: bool,
    ) -> Result<Converted, SaveError> {
        let index = |name: &str| {
            let found = self.schema.find(name).map(|(index, _)| index);
            found.ok_or_else(|| SaveError::new("INVALID_TYPE", format!("sObject type '{name}' is not supported.")))
        };
        let (leads, accounts, contacts, opportunities) =
            (index("Lead")?, index("Account")?, index("Contact")?, index("Opportunity")?);
        let row = self.live(caller, leads, lead)?;
        let value = |name: &str| {
            let found = self.schema.object(leads).find(name).and_then(|(index, _)| row.values.get(&index));
            found.cloned().unwrap_or(Json::Null)
        };
        if value("IsConverted") == true {
            return Err(SaveError::new("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"));
        }
        let fields = |json: Json| json.as_object().cloned().unwrap_or_default();
        let owner = value("OwnerId").as_str().filter(|id| id.starts_with("005")).map(str::to_owned);
        let owner = owner.unwrap_or_else(|| caller.user.as_str().to_owned());
        let account_fields = fields(json!({"Name": value("Company"), "Phone": value("Phone"), "OwnerId": owner}));
        let contact_fields = json!({"LastName": value("LastName"), "FirstName": value("FirstName"),
            "Salutation": value("Salutation"), "Email": value("Email"), "Phone": value("Phone"), "OwnerId": owner});
        let close = time::date(unit.now.div_euclid(SECOND) + 90 * 86_400);
        let opportunity_fields = json!({"Name": value("Company"), "StageName": "Prospecting", "CloseDate": close,
            "OwnerId": owner});
        let account = self.run_one(unit, caller, Write::Create { object: accounts, fields: account_fields })?;
        let with_account = |json: Json| {
            let mut fields = fields(json);
            fields.insert("AccountId".into(), account.as_str().into());
            fields
        };
        let contact_fields = with_account(contact_fields);
        let contact = self.run_one(unit, caller, Write::Create { object: contacts, fields: contact_fields })?;
        let opportunity = match opportunity {
            true => {
                let fields = with_account(opportunity_fields);
                Some(self.run_one(unit, caller, Write::Create { object: opportunities, fields })?)
            }
            false => None,
        };
        let mut converted = Row::clone(&row);
        let definition = self.schema.object(leads);
        for (name, value) in [
            ("IsConverted", json!(true)),
            ("Status", json!("Qualified")),
            ("ConvertedDate", json!(time::date(unit.now.div_euclid(SECOND)))),
            ("ConvertedAccountId", json!(account.as_str())),
            ("ConvertedContactId", json!(contact.as_str())),
            ("ConvertedOpportunityId", json!(opportunity.as_ref().map(Id::as_str))),
        ] {
            set(&mut converted, definition.find(name).map(|(index, _)| index), value);
        }
        let changed = changed_fields(&row, &converted);
        self.save(unit, caller, leads, converted, ChangeKind::Update, changed);
        Ok(Converted { account, contact, opportunity })
    }

    fn run_one(&mut self, unit: &mut Unit, caller: &Caller, write: Write) -> Result<Id, SaveError> {
        let mut results = self.run(unit, caller, vec![Ok(write)], &super::Options::default())?;
        results.pop().unwrap_or_else(|| Err(SaveError::unknown_id())).map(|saved| saved.id)
    }
}
