//! Events of person accounts, byte by byte.

use super::*;
use crate::org::event::cell::Cell;

const SCENARIO: &str = "
person_accounts: true
objects:
  - name: Contact
    fields: [{ name: Level__c, type: string, length: 20 }]
";

fn org() -> Org {
    let scenario = Scenario::read("persons.yaml", SCENARIO).unwrap();
    scenario.org("one", 7, Duration::ZERO..=Duration::ZERO, 0).unwrap()
}

fn vector() -> Json {
    serde_json::from_str(include_str!("../../../../../tests/vectors/schema_account_person.json")).unwrap()
}

/// The latest event of an entity, read.
fn latest(org: &Org, entity: &str) -> (Header, Vec<Cell<'static>>, Arc<EventSchema>) {
    let read = |event: Delivery| {
        let (header, cells) = event.schema.layout.decode(&event.payload).unwrap();
        (header.unwrap(), cells, event.schema)
    };
    org.everything(i64::MAX).into_iter().map(read).rfind(|(header, ..)| header.entity == entity).unwrap()
}

#[test]
fn the_schema_has_what_the_vector_has_of_persons_in_its_order() {
    let org = org();
    let schema = org.schema_of(object(&org, "Account")).unwrap();
    let fields = |schema: &Json| schema["fields"].as_array().unwrap().clone();
    let wanted = fields(&vector()["schema"]);
    let own = fields(&schema.json);
    let place = |all: &[Json], name: &str| all.iter().position(|field| field["name"] == name).unwrap();
    assert_eq!(place(&own, "Name"), 1);
    assert_eq!(own[1]["type"], wanted[1]["type"]);
    let names = [
        "PersonContactId",
        "PersonMailingAddress",
        "PersonMobilePhone",
        "PersonEmail",
        "PersonBirthdate",
        "PersonHasOptedOutOfEmail",
    ];
    for name in names {
        let (own, wanted) = (&own[place(&own, name)], &wanted[place(&wanted, name)]);
        assert_eq!((&own["type"], &own["doc"]), (&wanted["type"], &wanted["doc"]), "{name}");
    }
    let order = ["OwnerId", "LastModifiedById", "PersonContactId", "Source_Id__c", "Level__pc"];
    for all in [&own, &wanted] {
        let known = order.iter().filter_map(|name| all.iter().position(|field| field["name"] == *name));
        assert!(known.is_sorted());
    }
    for absent in ["FirstName", "LastName", "Salutation", "IsPersonAccount", "PersonMailingCity"] {
        assert!(own.iter().all(|field| field["name"] != absent), "{absent}");
    }
}

#[test]
fn the_name_of_a_person_is_a_record_and_its_parts_have_their_own_bitmap() {
    let mut org = org();
    let person = json!({"Salutation": "Ms.", "FirstName": "Märtha", "LastName": "Brown"});
    let writes = vec![create(&org, "Account", person), create(&org, "Account", json!({"Name": "Acme"}))];
    let id = run(&mut org, writes).remove(0);
    let text = |text: &str| Cell::Text(text.to_owned().into());
    let (header, cells, schema) = latest(&org, "Account");
    assert_eq!((header.sequence, &cells[0]), (3, &text("Acme")), "behind the person's account and contact");
    let write = update(&org, &id, json!({"Salutation": null, "FirstName": null, "LastName": "Brown-Li"}));
    run(&mut org, vec![write]);
    let (header, cells, _) = latest(&org, "Account");
    let modified = schema.layout.place("LastModifiedDate").unwrap();
    let search = schema.layout.place("Search_Name__c").unwrap();
    let parts = (0..3).map(|part| (1, Some(part)));
    assert_eq!(header.changed, bitmap::write(&parts.chain([modified, search]).collect()));
    assert_eq!(header.changed[1], "1-0x07");
    assert_eq!(header.nulled, ["1-0x03"]);
    assert_eq!(cells[0], Cell::Parts(vec![Cell::Null, Cell::Null, text("Brown-Li")]));
    let (header, cells, schema) = latest(&org, "Contact");
    let (name, _) = schema.layout.place("Name").unwrap();
    let parts = (0..3).map(|part| (name, Some(part)));
    let modified = schema.layout.place("LastModifiedDate").unwrap();
    assert_eq!(header.changed, bitmap::write(&parts.chain([modified]).collect()));
    assert_eq!(cells[name - 1], Cell::Parts(vec![Cell::Null, Cell::Null, text("Brown-Li")]));
}

#[test]
fn persons_that_changed_alike_share_an_event_of_each_object() {
    let mut org = org();
    let writes = (0..3).map(|n| create(&org, "Account", json!({"LastName": format!("L{n}")}))).collect();
    let ids = run(&mut org, writes);
    let writes = ids.iter().map(|id| update(&org, id, json!({"Level__pc": "Gold"}))).collect();
    run(&mut org, writes);
    for (entity, sequence) in [("Account", 1), ("Contact", 2)] {
        let (header, ..) = latest(&org, entity);
        assert_eq!((header.record_ids.len(), header.sequence), (3, sequence));
    }
}

#[test]
fn a_part_of_the_name_that_is_hidden_is_not_told() {
    let mut org = org();
    let user = org.ordinary_user();
    let account = object(&org, "Account");
    let field = org.schema.object(account).find("FirstName").unwrap().0;
    org.set_field_level(&user, account, field, crate::org::FieldLevel::Hidden);
    let write = create(&org, "Account", json!({"FirstName": "Martha", "LastName": "Brown"}));
    run(&mut org, vec![write]);
    assert_eq!(payloads(&org, "/data/AccountChangeEvent")[0]["Name"], json!({"LastName": "Brown"}));
}
