use proptest::prelude::*;

use super::*;
use crate::event::{ChangeKind, Header, RecordId, ReplayId, TextDiff, Timestamp, Undecodable};

const SECRET: &str = "a key of this test only";
/// Of `ada@acme.com`: printf ada@acme.com | openssl dgst -sha256 -hmac 'a key of this test only'
const HASHED: &str = "1e681ee7de06eeb46d3fcaa5dd35e2dc92016cd060e5742da40e7c2594af318a";

fn rule(object: &str, treatment: Treatment, field: &str) -> PrivacyRule {
    PrivacyRule { object: object.parse().unwrap(), field: field.parse().unwrap(), treatment }
}

fn privacy() -> Privacy {
    use Treatment::{Hash, LeaveOut, Mask};
    let rules = [
        ("Contact", LeaveOut, "SSN__c"),
        ("Contact", LeaveOut, "MailingAddress.Street"),
        ("Contact", LeaveOut, "OtherAddress"),
        ("Contact", Hash, "Email"),
        ("Contact", Hash, "LastName"),
        ("Contact", Mask, "Phone"),
        ("Contact", Mask, "Loc__c"),
        ("Order__e", LeaveOut, "Buyer__c"),
    ];
    let rules = rules.map(|(object, treatment, field)| rule(object, treatment, field));
    Privacy::new(Some(SecretString::from(SECRET)), rules.to_vec())
}

fn value(json: serde_json::Value) -> Value {
    json.into()
}

fn change(entity: &str, fields: Fields) -> RecordChange {
    let header = Header {
        entity_name: entity.parse().unwrap(),
        record_ids: vec!["003000000000001AAA".parse().unwrap()],
        wildcard: false,
        change_type: ChangeKind::Update,
        change_origin: String::new(),
        transaction_key: "t".to_owned(),
        sequence_number: 1,
        commit_timestamp: Timestamp(0),
        commit_number: 1,
        commit_user: String::new(),
    };
    RecordChange { header, fields }
}

fn message(channel: &str, happening: Happening) -> Change {
    Change { channel: channel.parse().unwrap(), replay_id: ReplayId(vec![1]), happening }
}

fn applied(name: &str, field: Field) -> Option<Field> {
    let mut change = change("Contact", [(name.to_owned(), field)].into());
    privacy().of(&"contact".parse().unwrap()).apply_change(&mut change);
    change.fields.remove(name)
}

#[test]
fn each_state_of_a_field_is_treated_as_its_rule_says() {
    use serde_json::json;
    let text = |text: &str| Value::text(text);
    let patch = || Field::Patch(TextDiff::new("--- \n+++ x\n@@ -1 +1 @@\n-a\n+b"));
    for (name, field, expected) in [
        // Left out: that it changed is told, so that absence never passes for 'empty'.
        ("SSN__c", Field::New(text("078-05-1120")), Some(Field::Diff)),
        ("SSN__c", Field::New(Value::Null), Some(Field::Diff)),
        ("ssn__C", Field::New(text("078-05-1120")), Some(Field::Diff)),
        ("SSN__c", Field::Same(text("078-05-1120")), None),
        ("SSN__c", Field::Diff, Some(Field::Diff)),
        ("SSN__c", patch(), Some(Field::Diff)),
        ("OtherAddress", Field::New(value(json!({"City": "Basel"}))), Some(Field::Diff)),
        ("OtherAddress", Field::Same(value(json!({"City": "Basel"}))), None),
        // A part of a compound.
        (
            "MailingAddress",
            Field::New(value(json!({"City": "Basel", "Street": "Gerbergasse 1"}))),
            Some(Field::New(value(json!({"City": "Basel"})))),
        ),
        ("MailingAddress", Field::New(value(json!({"street": "Gerbergasse 1"}))), None),
        ("MailingAddress", Field::New(Value::Null), Some(Field::New(Value::Null))),
        ("MailingAddress", patch(), Some(Field::Diff)),
        // Hashed; nothing stays nothing.
        ("Email", Field::New(text("ada@acme.com")), Some(Field::New(text(HASHED)))),
        ("Email", Field::Same(text("ada@acme.com")), Some(Field::Same(text(HASHED)))),
        ("Email", Field::New(Value::Null), Some(Field::New(Value::Null))),
        ("Email", Field::New(text("")), Some(Field::New(text("")))),
        ("Email", Field::Diff, Some(Field::Diff)),
        ("Email", patch(), Some(Field::Diff)),
        (
            "Name",
            Field::New(value(json!({"FirstName": "Ada", "LastName": "ada@acme.com"}))),
            Some(Field::New(value(json!({"FirstName": "Ada", "LastName": HASHED})))),
        ),
        // A name in one text holds the last name.
        ("Name", Field::New(text("ada@acme.com")), Some(Field::New(text(HASHED)))),
        // Masked.
        ("Phone", Field::New(text("+41 61 555")), Some(Field::New(text("+********5")))),
        ("Phone", patch(), Some(Field::Diff)),
        (
            "Loc__c",
            Field::New(value(json!({"Latitude": 47.55, "Longitude": null}))),
            Some(Field::New(value(json!({"Latitude": "4***5", "Longitude": null})))),
        ),
        // No rule.
        ("Title", Field::New(text("Countess")), Some(Field::New(text("Countess")))),
        ("Title", patch(), Some(patch())),
        ("MailingCity__c", Field::New(text("Basel")), Some(Field::New(text("Basel")))),
    ] {
        let shown = format!("{name} {field:?}");
        assert!(applied(name, field) == expected, "{shown}");
    }
}

#[test]
fn a_value_hashes_alike_whatever_it_is_written_as_and_a_checkbox_is_masked_whole() {
    let of = |treatment, value| {
        let privacy = Privacy::new(Some(SecretString::from(SECRET)), vec![rule("Contact", treatment, "A__c")]);
        privacy.of(&"Contact".parse().unwrap()).value("A__c", value).kept()
    };
    let number = |text: &str| Value::Number(text.parse().unwrap());
    let hashes = [number("5.95"), number("5.950"), Value::text("5.95")].map(|value| of(Treatment::Hash, value));
    assert!(hashes.iter().all(|hash| *hash == hashes[0] && hash.as_ref().unwrap().as_text().unwrap().len() == 64));
    assert!(of(Treatment::Hash, Value::Bool(true)) != of(Treatment::Hash, Value::Bool(false)));
    assert!(of(Treatment::Mask, Value::Bool(true)) == of(Treatment::Mask, Value::Bool(false)));
    // Without a secret nothing can be hashed, and nothing passes.
    let keyless = Privacy::new(None, vec![rule("Contact", Treatment::Hash, "A__c")]);
    assert!(keyless.of(&"Contact".parse().unwrap()).value("A__c", Value::text("x")).kept().is_none());
}

#[test]
fn of_several_rules_for_a_value_the_strongest_holds() {
    let rules = [
        rule("Contact", Treatment::Mask, "MailingAddress"),
        rule("Contact", Treatment::Hash, "MailingCity"),
        rule("Contact", Treatment::LeaveOut, "MailingAddress.Street"),
    ];
    let privacy = Privacy::new(Some(SecretString::from(SECRET)), rules.to_vec()).of(&"Contact".parse().unwrap());
    for (path, expected) in [
        ("MailingAddress.Street", Some(Treatment::LeaveOut)),
        ("mailingstreet", Some(Treatment::LeaveOut)),
        ("MailingAddress.City", Some(Treatment::Hash)),
        ("MailingCity", Some(Treatment::Hash)),
        ("MailingAddress.Country", Some(Treatment::Mask)),
        ("MailingCountry", Some(Treatment::Mask)),
        // It holds the street.
        ("MailingAddress", Some(Treatment::LeaveOut)),
        ("Mailing__c", None),
        ("OtherAddress.City", None),
    ] {
        assert_eq!(privacy.treatment(&path.parse().unwrap()), expected, "{path}");
    }
}

#[test]
fn a_rule_for_the_name_of_a_person_is_none_for_where_they_live() {
    let privacy = Privacy::new(None, vec![rule("Lead", Treatment::LeaveOut, "Name")]).of(&"Lead".parse().unwrap());
    for (path, left_out) in
        [("Name.FirstName", true), ("LastName", true), ("Name", true), ("City", false), ("Address.City", false)]
    {
        assert_eq!(privacy.treatment(&path.parse().unwrap()).is_some(), left_out, "{path}");
    }
}

/// Each message and row in which a value of a Contact can come, all with these values in the fields that have rules.
fn ways_in(secret: &str, email: &str) -> Vec<Arrival> {
    let json = |secret: &str, email: &str| {
        value(serde_json::json!({
            "Id": "003000000000001AAA", "SSN__c": secret, "MailingStreet": secret, "Email": email, "Title": "kept",
            "MailingAddress": { "street": secret, "city": "kept" },
        }))
    };
    let fields = || -> Fields {
        [
            ("SSN__c", Field::New(Value::text(secret))),
            ("OtherAddress", Field::Same(value(serde_json::json!({"Street": secret, "City": secret})))),
            ("MailingAddress", Field::New(value(serde_json::json!({"Street": secret, "City": "kept"})))),
            ("Email", Field::New(Value::text(email))),
            ("Phone", Field::Patch(TextDiff::new(secret))),
            ("Title", Field::New(Value::text("kept"))),
        ]
        .map(|(name, field)| (name.to_owned(), field))
        .into()
    };
    let record = || Happening::Record(change("Contact", fields()));
    let event = |name: &str| Happening::Event {
        uuid: Some("u".to_owned()),
        fields: [(name.to_owned(), Value::text(secret)), ("Title".to_owned(), Value::text("kept"))].into(),
    };
    let topic = Value::Compound([("sobject".to_owned(), json(secret, email))].into());
    vec![
        Arrival::Change(message("/data/ContactChangeEvent", record())),
        Arrival::Change(message("/data/ChangeEvents", record())),
        Arrival::Found { change: message("/poll/Contact", record()), missed: true },
        Arrival::Undecodable(Undecodable {
            replay_id: None,
            change: Some(message("/data/ContactChangeEvent", record())),
            object: None,
            schema_id: None,
            length: 1,
            digest: "d".to_owned(),
            reason: "r".to_owned(),
        }),
        Arrival::Change(message("/event/Order__e", event("Buyer__c"))),
        Arrival::Change(message("/event/All__chn", event("Buyer__c"))),
        Arrival::Change(message("/event/All__chn", event("SSN__c"))),
        Arrival::Change(message("/topic/Contacts", Happening::Notification { body: topic })),
    ]
}

fn message_of(arrival: &Arrival) -> Option<&Change> {
    match arrival {
        Arrival::Change(change) | Arrival::Found { change, .. } => Some(change),
        Arrival::Undecodable(event) => event.change.as_ref(),
        _ => None,
    }
}

#[test]
fn what_has_no_rule_comes_through_by_every_way_in() {
    for mut arrival in ways_in("secret", "ada@acme.com") {
        privacy().apply_arrival(&mut arrival);
        let told = serde_json::to_string(&message_of(&arrival).unwrap().happening).unwrap();
        assert!(told.contains("kept"), "{told}");
    }
}

#[test]
fn the_event_of_one_name_is_not_treated_by_the_rules_of_another() {
    let event = Happening::Event { uuid: None, fields: [("SSN__c".to_owned(), Value::text("x"))].into() };
    let mut change = message("/event/Order__e", event.clone());
    privacy().apply_change(&mut change);
    assert_eq!(change.happening, event);
}

proptest! {
    #[test]
    fn a_value_that_is_left_out_is_in_no_message_that_is_stored_or_shown(
        secret in "[#-~]{12,40}",
        email in "[a-z]{6,12}@[a-z]{6,12}\\.org",
    ) {
        for mut arrival in ways_in(&secret, &email) {
            privacy().apply_arrival(&mut arrival);
            let stored = serde_json::to_string(&message_of(&arrival).unwrap().happening).unwrap();
            let quoted = serde_json::to_string(&secret).unwrap();
            for text in [stored, format!("{arrival:?}")] {
                prop_assert!(!text.contains(quoted.trim_matches('"')) && !text.contains(&email), "{}", text);
            }
        }
    }

    #[test]
    fn a_value_that_is_left_out_is_in_no_record_that_is_read(secret in "[#-~]{12,40}") {
        let json = serde_json::json!({
            "SSN__c": secret, "MailingStreet": secret, "MailingCity": "kept", "OtherCity": secret, "Email": secret,
            "MailingAddress": {"street": secret}, "Name": secret, "LastName": secret,
        });
        let serde_json::Value::Object(row) = json else { unreachable!() };
        let paths = [
            "SSN__c", "MailingAddress.Street", "MailingStreet", "MailingAddress.City", "OtherAddress.City", "OtherCity",
            "Email", "MailingAddress", "Name", "Name.LastName",
        ];
        let paths = paths.map(|path| path.parse().unwrap());
        let id: RecordId = "003000000000001AAA".parse().unwrap();
        let rules = privacy().of(&"Contact".parse().unwrap());
        let record = crate::hydrate::record(id, &paths, &rules, row);
        let values: Vec<(String, serde_json::Value)> =
            record.values.into_iter().map(|(path, value)| (path.to_string(), value.into())).collect();
        let text = format!("{values:?}");
        prop_assert!(text.contains("kept"));
        prop_assert!(!values.iter().any(|(_, value)| value.to_string().contains(secret.as_str())), "{}", text);
    }
}
