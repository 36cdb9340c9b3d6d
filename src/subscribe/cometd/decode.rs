//! The `data` of an event message becomes a [`Change`] (facts: streaming-cometd.md sections 12, 13 and 17).
//!
//! Over CometD a body holds what changed and what enrichment added; only `changedFields` tells them apart. Where that
//! is in doubt a field counts as changed, for a value written twice does less harm than a lost change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::event::{
    Change, ChangeKind, Channel, Decimal, Field, FieldPath, Fields, Happening, Header, RecordChange, ReplayId,
    TextDiff, Timestamp, Value,
};

/// An event that this release cannot read. Names where it is on the bus, and no value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {} of channel {channel} could not be read: {reason}", .replay_id.as_ref().map_or("without replay id".to_owned(), |id| format!("{id:?}")))]
pub struct DecodeError {
    pub channel: String,
    pub replay_id: Option<ReplayId>,
    pub reason: &'static str,
    pub evidence: Option<Box<Evidence>>,
}

/// What is kept of an event that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whom it speaks of, where the header is readable.
    pub header: Option<Header>,
    pub schema_id: Option<String>,
    /// Of its `data` as JSON, in bytes.
    pub length: u64,
    /// SHA-256 of the same, in hex.
    pub digest: String,
}

impl DecodeError {
    /// A channel's name is shortened: it came from outside and goes to the log.
    pub fn new(channel: &str, replay_id: Option<ReplayId>, reason: &'static str) -> Self {
        Self { channel: channel.chars().take(256).collect(), replay_id, reason, evidence: None }
    }

    /// Notes what else can be said of the message.
    pub fn look_at(&mut self, message: &Json) {
        let data = message.get("data").unwrap_or(message);
        let text = data.to_string();
        let header = data.get("payload").and_then(|payload| payload.get("ChangeEventHeader")?.as_object());
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        self.evidence = Some(Box::new(Evidence {
            header: header.and_then(|fields| self::header(fields).ok()),
            schema_id: data.get("schema").and_then(Json::as_str).map(str::to_owned),
            length: text.len() as u64,
            digest: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        }));
    }
}

/// From the `channel` and `data` of an event message.
pub fn change(channel: &str, data: Json) -> Result<Change, DecodeError> {
    let replay_id = data.get("event").and_then(|event| replay_id(event.get("replayId")?));
    let error = |reason| DecodeError::new(channel, replay_id.clone(), reason);
    let subscribed: Channel = channel.parse().map_err(|_| error("the channel has no name that can be subscribed"))?;
    let Some(replay_id) = replay_id.clone() else { return Err(error("it has no replay id")) };
    let happening = happening(channel, data).map_err(error)?;
    Ok(Change { channel: subscribed, replay_id, happening })
}

/// The decimal text of the integer, digit by digit as it came.
fn replay_id(json: &Json) -> Option<ReplayId> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    let id = ReplayId(text.into_bytes());
    super::message::is_replay_number(&id).then_some(id)
}

fn happening(channel: &str, data: Json) -> Result<Happening, &'static str> {
    let Json::Object(mut data) = data else { return Err("its data is no JSON object") };
    match data.get_mut("payload") {
        Some(Json::Object(payload)) if payload.contains_key("ChangeEventHeader") => {
            let Some(Json::Object(header)) = payload.remove("ChangeEventHeader") else {
                return Err("its ChangeEventHeader is no JSON object");
            };
            record(&header, std::mem::take(payload)).map(Happening::Record)
        }
        _ if channel.starts_with("/data/") => Err("it has no ChangeEventHeader"),
        Some(Json::Object(payload)) if channel.starts_with("/event/") => {
            // UNSURE whether empty fields are there as null or left out: they are left out, as over the Pub/Sub API.
            let present = std::mem::take(payload).into_iter().filter(|(_, value)| !value.is_null());
            let fields = present.map(|(name, value)| (name, value.into())).collect();
            let uuid = data.get("event").and_then(|event| event.get("EventUuid")?.as_str());
            Ok(Happening::Event { uuid: uuid.map(str::to_owned), fields })
        }
        _ if channel.starts_with("/event/") => Err("it has no payload"),
        _ => Ok(Happening::Notification { body: Json::Object(data).into() }),
    }
}

fn record(fields_of_header: &Map<String, Json>, body: Map<String, Json>) -> Result<RecordChange, &'static str> {
    let header = header(fields_of_header)?;
    let fields = fields(header.change_type, fields_of_header.get("changedFields"), body)?;
    Ok(RecordChange { header, fields })
}

fn header(header: &Map<String, Json>) -> Result<Header, &'static str> {
    let text = |name: &str| header.get(name).and_then(Json::as_str);
    let number = |name: &str| header.get(name).and_then(integer);
    let ids = header.get("recordIds").and_then(Json::as_array).ok_or("its header has no recordIds")?;
    // `001*` and the zero id speak of records that the event does not name, and so does a list without any.
    let record_ids: Vec<_> = ids
        .iter()
        .filter_map(|id| id.as_str()?.parse().ok())
        .filter(|id: &crate::event::RecordId| !id.is_zero())
        .collect();
    let wildcard = record_ids.len() < ids.len() || record_ids.is_empty();
    let change_type: ChangeKind = text("changeType")
        .ok_or("its header has no changeType")?
        .parse()
        .map_err(|_| "its changeType is not known to this release")?;
    Ok(Header {
        entity_name: text("entityName")
            .and_then(|name| name.parse().ok())
            .ok_or("its header has no entityName that is an object's name")?,
        record_ids,
        wildcard,
        change_type,
        change_origin: text("changeOrigin").unwrap_or_default().to_owned(),
        transaction_key: text("transactionKey").ok_or("its header has no transactionKey")?.to_owned(),
        sequence_number: number("sequenceNumber").ok_or("its header has no sequenceNumber")?,
        commit_timestamp: Timestamp(number("commitTimestamp").ok_or("its header has no commitTimestamp")?),
        // For people only.
        commit_number: number("commitNumber").unwrap_or_default(),
        commit_user: text("commitUser").unwrap_or_default().to_owned(),
    })
}

fn fields(kind: ChangeKind, changed: Option<&Json>, body: Map<String, Json>) -> Result<Fields, &'static str> {
    Ok(match (kind, changed) {
        (ChangeKind::Create | ChangeKind::Undelete, _) => all_new(body),
        // API 46 and older keep no list.
        (ChangeKind::Update, None | Some(Json::Null)) => all_new(body),
        (ChangeKind::Update, Some(Json::Array(listed))) => {
            let listed: Option<BTreeSet<&str>> = listed.iter().map(Json::as_str).collect();
            update(body, listed.ok_or("its changedFields are no names")?)
        }
        (ChangeKind::Update, Some(_)) => return Err("its changedFields are no list"),
        // What these carry is enrichment.
        (
            ChangeKind::Delete
            | ChangeKind::GapCreate
            | ChangeKind::GapUpdate
            | ChangeKind::GapDelete
            | ChangeKind::GapUndelete
            | ChangeKind::GapOverflow,
            _,
        ) => body.into_iter().map(|(name, value)| (name, Field::Same(value.into()))).collect(),
    })
}

fn integer(json: &Json) -> Option<i64> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    // Through a decimal, because `20` may arrive as `20.0` and a float would bend 19 digits.
    text.parse::<Decimal>().ok()?.as_str().parse().ok()
}

fn all_new(body: Map<String, Json>) -> Fields {
    body.into_iter().map(|(name, value)| (name, new(value))).collect()
}

fn new(value: Json) -> Field {
    match &value {
        // A long text as a difference: `{"diff": "--- \n+++ <hash of the new value>\n@@ ..."}`.
        Json::Object(parts) if parts.len() == 1 => match parts.get("diff") {
            Some(Json::String(diff)) if diff.starts_with("---") => Field::Patch(TextDiff::new(diff)),
            _ => Field::New(value.into()),
        },
        _ => Field::New(value.into()),
    }
}

/// What is listed changed, what is only in the body is enriched, and what is only listed must be read.
fn update(body: Map<String, Json>, listed: BTreeSet<&str>) -> Fields {
    // An update always changes something, so an empty list says that the list is not kept.
    if listed.is_empty() {
        return all_new(body);
    }
    let mut not_carried = listed.clone();
    let mut fields = Fields::new();
    for (name, value) in body {
        let whole = not_carried.remove(name.as_str()) || listed.contains(name.as_str());
        let field = match value {
            value if whole => {
                not_carried.retain(|path| path.split_once('.').is_none_or(|(top, _)| top != name));
                new(value)
            }
            Json::Object(parts) => compound(&name, parts, &listed, &mut not_carried),
            value => {
                // A compound that was emptied as a whole: its parts are listed, and null stands for all of them.
                let before = not_carried.len();
                not_carried.retain(|path| path.split_once('.').is_none_or(|(top, _)| top != name));
                if not_carried.len() < before { new(value) } else { Field::Same(value.into()) }
            }
        };
        fields.insert(name, field);
    }
    for path in not_carried {
        let top = path.split('.').next().unwrap_or(path);
        fields.insert(top.to_owned(), Field::Diff);
    }
    fields
}

/// Only the listed parts of a compound are new; one without any listed part is enriched.
fn compound(name: &str, parts: Map<String, Json>, listed: &BTreeSet<&str>, not_carried: &mut BTreeSet<&str>) -> Field {
    let mut changed: BTreeMap<String, Value> = BTreeMap::new();
    let mut unchanged: BTreeMap<String, Value> = BTreeMap::new();
    for (part, value) in parts {
        let path = format!("{name}.{part}");
        // UNSURE whether a part is ever listed by the object's own field (`Loc__Latitude__s`): both count.
        let object_field = path.parse::<FieldPath>().map(|path| path.object_field());
        let is_listed = [Some(path.as_str()), object_field.as_ref().ok().map(|field| field.as_str())]
            .into_iter()
            .flatten()
            .fold(false, |found, spelling| {
                not_carried.remove(spelling);
                found || listed.contains(spelling)
            });
        if is_listed { &mut changed } else { &mut unchanged }.insert(part, value.into());
    }
    if changed.is_empty() { Field::Same(Value::Compound(unchanged)) } else { Field::New(Value::Compound(changed)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::RecordId;

    fn vector(name: &str) -> Change {
        let text = include_str!("../../../tests/vectors/cometd_messages.json");
        let json: Json = serde_json::from_str(text).unwrap();
        let exchange = json["exchanges"].as_array().unwrap().iter().find(|vector| vector["name"] == name).unwrap();
        let message = &exchange["response"][0];
        change(message["channel"].as_str().unwrap(), message["data"].clone()).unwrap()
    }

    fn record_of(change: &Change) -> &RecordChange {
        match &change.happening {
            Happening::Record(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn fields_of(name: &str) -> Fields {
        record_of(&vector(name)).fields.clone()
    }

    fn updated(changed_fields: Json, body: Json) -> Fields {
        fields(ChangeKind::Update, Some(&changed_fields), body.as_object().unwrap().clone()).unwrap()
    }

    fn value(json: Json) -> Value {
        json.into()
    }

    #[test]
    fn a_create_is_all_new_and_keeps_its_header_exactly() {
        let change = vector("create");
        let record = record_of(&change);
        assert_eq!((change.channel.as_str(), &change.replay_id.0[..]), ("/data/AccountChangeEvent", &b"1398411"[..]));
        assert_eq!(
            record.header,
            Header {
                entity_name: "Account".parse().unwrap(),
                record_ids: vec!["001000000000001AAA".parse().unwrap()],
                wildcard: false,
                change_type: ChangeKind::Create,
                change_origin: "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/".into(),
                transaction_key: "00001a2b-3c4d-5e6f-7081-92a3b4c5d6e7".into(),
                sequence_number: 1,
                commit_timestamp: Timestamp(1_714_156_703_000),
                // Above 2^53: a float would end in 0.
                commit_number: 1_725_000_000_000_000_001,
                commit_user: "005000000000001AAA".into(),
            }
        );
        assert_eq!(record.fields.len(), 8);
        assert_eq!(record.fields["Name"], Field::New(value(json!("Acme"))));
        assert_eq!(record.fields["NumberOfEmployees"], Field::New(value(json!(42))));
        assert!(matches!(&record.fields["BillingAddress"], Field::New(Value::Compound(parts)) if parts.len() == 5));
        assert!(record.fields.values().all(|field| matches!(field, Field::New(_))));
    }

    #[test]
    fn an_update_has_what_is_listed_as_new_nulls_included() {
        let fields = fields_of("update");
        assert_eq!(fields["Phone"], Field::New(Value::Null));
        assert_eq!(fields["BillingAddress"], Field::New(value(json!({"Street": "1 Main St, Suite B"}))));
        assert_eq!(fields.len(), 3);
        assert!(fields.values().all(|field| matches!(field, Field::New(_))));
    }

    #[test]
    fn what_is_not_listed_is_enriched() {
        for (name, key) in [("update_enriched_a", "K-1"), ("update_enriched_b", "K-2")] {
            let fields = fields_of(name);
            assert_eq!(fields["Bridge_Key__c"], Field::Same(value(json!(key))));
            assert!(matches!((&fields["Fax"], &fields["LastModifiedDate"]), (Field::New(_), Field::New(_))));
        }
        assert_ne!(vector("update_enriched_a").event_key(), vector("update_enriched_b").event_key());
    }

    #[test]
    fn a_compound_keeps_its_listed_parts_and_one_without_any_is_enriched() {
        let body = json!({"BillingAddress": {"Street": "1", "City": "2"}, "ShippingAddress": {"City": "3"}});
        let fields = updated(json!(["BillingAddress.Street"]), body.clone());
        assert_eq!(fields["BillingAddress"], Field::New(value(json!({"Street": "1"}))));
        assert_eq!(fields["ShippingAddress"], Field::Same(value(json!({"City": "3"}))));
        let whole = updated(json!(["BillingAddress", "ShippingCity"]), body);
        assert_eq!(whole["BillingAddress"], Field::New(value(json!({"Street": "1", "City": "2"}))));
        assert_eq!(whole["ShippingAddress"], Field::New(value(json!({"City": "3"}))));
    }

    #[test]
    fn a_compound_that_was_emptied_is_null_and_new() {
        let fields = updated(json!(["BillingAddress.Street", "BillingAddress.City"]), json!({"BillingAddress": null}));
        assert_eq!(fields, Fields::from([("BillingAddress".into(), Field::New(Value::Null))]));
    }

    #[test]
    fn what_is_listed_but_not_carried_must_be_read() {
        let fields = updated(json!(["Fax", "Loc__c.Latitude"]), json!({"Fax": "1"}));
        assert_eq!(fields["Loc__c"], Field::Diff);
        let part =
            updated(json!(["BillingAddress.Street", "BillingAddress.City"]), json!({"BillingAddress": {"City": "1"}}));
        assert_eq!(part["BillingAddress"], Field::Diff);
    }

    #[test]
    fn without_a_list_everything_counts_as_changed() {
        let body = json!({"Fax": "1", "Name": {"FirstName": "M"}});
        for changed in [None, Some(&json!([])), Some(&Json::Null)] {
            let fields = fields(ChangeKind::Update, changed, body.as_object().unwrap().clone()).unwrap();
            assert!(fields.len() == 2 && fields.values().all(|field| matches!(field, Field::New(_))));
        }
    }

    #[test]
    fn a_difference_of_texts_is_no_value() {
        assert!(matches!(fields_of("update_diff")["Description"], Field::Patch(_)));
        let harmless = updated(json!(["Loc__c"]), json!({"Loc__c": {"diff": 1}}));
        assert_eq!(harmless["Loc__c"], Field::New(value(json!({"diff": 1}))));
    }

    #[test]
    fn merged_records_keep_their_order_and_records_without_a_name_are_a_wildcard() {
        let ids = |name: &str| {
            let change = vector(name);
            let header = &record_of(&change).header;
            (header.record_ids.iter().map(RecordId::to_string).collect::<Vec<_>>(), header.wildcard)
        };
        let three = ["001000000000001AAA", "001000000000002AAA", "001000000000003AAA"].map(str::to_owned).to_vec();
        assert_eq!(ids("update_merged"), (three, false));
        assert_eq!(ids("update_wildcard"), (vec![], true));
        assert_eq!(ids("gap_overflow"), (vec![], true));
        assert_eq!(ids("gap_update_many").0.len(), 2);
    }

    #[test]
    fn every_change_type_of_the_vectors_is_known() {
        for (name, kind, fields) in [
            ("update_own_origin", ChangeKind::Update, 2),
            ("update_split_1", ChangeKind::Update, 1),
            ("update_split_2", ChangeKind::Update, 1),
            ("delete", ChangeKind::Delete, 0),
            ("undelete", ChangeKind::Undelete, 7),
            ("gap_create", ChangeKind::GapCreate, 0),
            ("gap_update", ChangeKind::GapUpdate, 0),
            ("gap_delete", ChangeKind::GapDelete, 0),
            ("gap_undelete", ChangeKind::GapUndelete, 0),
            ("gap_overflow", ChangeKind::GapOverflow, 0),
            ("person_create_account", ChangeKind::Create, 9),
            ("person_create_contact", ChangeKind::Create, 9),
            ("custom_object_update_old_date_form", ChangeKind::Update, 3),
        ] {
            let change = vector(name);
            let record = record_of(&change);
            assert_eq!((record.header.change_type, record.fields.len()), (kind, fields), "{name}");
        }
        let name = &fields_of("person_create_account")["Name"];
        assert!(matches!(name, Field::New(Value::Compound(parts)) if parts["FirstName"] == value(json!("Martha"))));
    }

    #[test]
    fn what_is_no_change_event_is_kept_as_it_came() {
        let Happening::Event { uuid, fields } = vector("platform_event").happening else { panic!() };
        assert_eq!(uuid.as_deref(), Some("aaaaaaaa-0000-4000-8000-000000000001"));
        assert_eq!((fields.len(), &fields["Amount__c"]), (4, &value(json!(35))));
        let Happening::Notification { body: Value::Compound(body) } = vector("push_topic").happening else { panic!() };
        assert!(matches!(&body["sobject"], Value::Compound(sobject) if sobject["Name"] == value(json!("INV-0002"))));
        let Happening::Notification { body: Value::Compound(body) } = vector("generic").happening else { panic!() };
        assert_eq!(body["payload"], value(json!("any text")));
    }

    #[test]
    fn what_misses_something_that_order_or_identity_needs_is_an_error() {
        let text = include_str!("../../../tests/vectors/cometd_messages.json");
        let json: Json = serde_json::from_str(text).unwrap();
        let exchanges = json["exchanges"].as_array().unwrap();
        let create = exchanges.iter().find(|vector| vector["name"] == "create").unwrap()["response"][0]["data"].clone();
        for needed in ["entityName", "recordIds", "changeType", "transactionKey", "sequenceNumber", "commitTimestamp"] {
            let mut data = create.clone();
            data["payload"]["ChangeEventHeader"][needed] = json!({"not": "this"});
            let error = change("/data/AccountChangeEvent", data).unwrap_err();
            assert_eq!(error.replay_id, Some(ReplayId(b"1398411".to_vec())), "{needed}");
            let shown = error.to_string();
            assert!(shown.contains("1398411") && shown.contains("/data/AccountChangeEvent") && !shown.contains("Acme"));
        }
        let mut unnumbered = create;
        unnumbered["event"]["replayId"] = json!(1.5);
        assert!(change("/data/AccountChangeEvent", unnumbered).is_err());
    }
}
