//! What queries find, and how they are refused.

mod equal;
mod naive;

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Asked, Found};
use crate::org::time::SECOND;
use crate::org::{Caller, FieldLevel, Id, Options, Org, Write};
use crate::scenario::Scenario;
use crate::soql;

/// 2023-11-14T22:13:20Z, a Tuesday.
const NOW: i64 = 1_700_000_000 * SECOND;

struct World {
    org: Org,
    viewer: Id,
}

impl World {
    fn new() -> Self {
        let org = Scenario::standard().org("one", 1, Duration::ZERO..=Duration::ZERO, NOW).unwrap();
        let viewer = org.integration_user();
        Self { org, viewer }
    }

    fn user(&self, name: &str) -> Id {
        self.org.users().iter().find(|user| user.username.starts_with(name)).unwrap().id.clone()
    }

    fn write(&mut self, write: Write) -> Id {
        let caller = Caller::system(self.viewer.clone(), "test");
        let mut saved = self.org.transact(&caller, vec![Ok(write)], &Options::default(), NOW).unwrap();
        saved.remove(0).unwrap().id
    }

    fn make(&mut self, object: &str, fields: Json) -> Id {
        let object = self.org.schema.find(object).unwrap().0;
        self.write(Write::Create { object, fields: fields.as_object().unwrap().clone() })
    }

    fn delete(&mut self, id: &Id) {
        self.write(Write::Delete { id: id.clone() });
    }

    fn ask(&self, text: &str, with_deleted: bool) -> Result<Found, (String, String)> {
        let query = soql::parse(text).map_err(|error| ("MALFORMED_QUERY".into(), error.shown(text)))?;
        let asked = Asked { viewer: &self.viewer, with_deleted, now: NOW, base: "/s" };
        self.org.query(&query, asked).map_err(|error| (error.code.to_owned(), error.shown(text)))
    }

    fn found(&self, text: &str) -> Vec<Json> {
        self.ask(text, false).unwrap_or_else(|error| panic!("{text}: {error:?}")).records
    }

    /// The values of one field.
    fn all(&self, name: &str, text: &str) -> Vec<Json> {
        self.found(text).into_iter().map(|record| record[name].clone()).collect()
    }

    fn refused(&self, text: &str) -> (String, String) {
        self.ask(text, false).expect_err(text)
    }

    /// Three accounts; the first has two contacts, one of which is without an e-mail address.
    fn filled() -> (Self, [Id; 3]) {
        let mut world = Self::new();
        let a = world.make("Account", json!({"Name": "Zeta", "NumberOfEmployees": 5, "Industry": "Media", "AnnualRevenue": 0.1, "Source_Id__c": "a"}));
        let b = world.make("Account", json!({"Name": "alpha", "NumberOfEmployees": 50, "Industry": "Media", "AnnualRevenue": 0.2, "ParentId": a.as_str(), "Source_Id__c": "b"}));
        let c = world.make("Account", json!({"Name": "Beta", "Source_Id__c": "c"}));
        world.make("Contact", json!({"LastName": "Roe", "FirstName": "Jo", "Email": "jo@x.org", "AccountId": a.as_str(), "Birthdate": "2023-11-14"}));
        world.make("Contact", json!({"LastName": "Doe", "AccountId": a.as_str(), "Birthdate": "2023-10-31"}));
        world.make("Contact", json!({"LastName": "Lone"}));
        (world, [a, b, c])
    }
}

#[test]
fn records_have_their_attributes_and_parents_within() {
    let (world, [a, b, _]) = World::filled();
    let records =
        world.found("SELECT name, Parent.Parent.Name, Parent.Id, Owner.LastName FROM Account x WHERE x.Name = 'ALPHA'");
    let user = world.viewer.as_str();
    assert_eq!(
        records,
        [json!({
            "attributes": {"type": "Account", "url": format!("/s/Account/{b}")},
            "Name": "alpha",
            "Parent": {"attributes": {"type": "Account", "url": format!("/s/Account/{a}")}, "Parent": null, "Id": a.as_str()},
            "Owner": {"attributes": {"type": "User", "url": format!("/s/User/{user}")}, "LastName": "Integration"},
        })]
    );
    let names: Vec<&String> = records[0].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 4);
    assert_eq!(world.all("Parent", "SELECT Parent.Name FROM Account WHERE Account.Name = 'Zeta'"), [Json::Null]);
    assert_eq!(world.found("SELECT CreatedBy.Name FROM Account LIMIT 1")[0]["CreatedBy"]["Name"], "Integration");
}

#[test]
fn children_come_as_answers_within_the_answer() {
    let (mut world, [a, b, _]) = World::filled();
    let text = "SELECT Id, (SELECT LastName, Account.Name FROM Contacts WHERE Birthdate != null ORDER BY LastName LIMIT 1) FROM Account ORDER BY Name DESC";
    let records = world.found(text);
    let children = &records[0]["Contacts"];
    assert_eq!((&children["totalSize"], &children["done"]), (&json!(1), &json!(true)));
    assert_eq!(
        (&children["records"][0]["LastName"], &children["records"][0]["Account"]["Name"]),
        (&json!("Doe"), &json!("Zeta"))
    );
    assert_eq!((&records[1]["Contacts"], &records[2]["Id"]), (&Json::Null, &json!(b.as_str())));
    let doe =
        world.found("SELECT Id FROM Contact WHERE LastName = 'Doe'")[0]["Id"].as_str().and_then(Id::parse).unwrap();
    world.delete(&doe);
    let count = |with_deleted| {
        let found = world.ask(&format!("SELECT (SELECT Id FROM Contacts) FROM Account WHERE Id = '{a}'"), with_deleted);
        found.unwrap().records[0]["Contacts"]["totalSize"].clone()
    };
    assert_eq!((count(false), count(true)), (json!(1), json!(2)));
}

#[test]
fn a_polymorphic_reference_leads_to_what_its_id_says() {
    let (mut world, [a, ..]) = World::filled();
    let lead = world.make("Lead", json!({"LastName": "Lee", "Company": "C"}));
    world.make("Task", json!({"Subject": "1", "WhoId": lead.as_str(), "WhatId": a.as_str()}));
    world.make("Task", json!({"Subject": "2"}));
    let records = world.found("SELECT Who.Name, Who.Type, What.Name, Owner.Name FROM Task ORDER BY Subject");
    assert_eq!(records[0]["Who"]["Name"], "Lee");
    assert_eq!(records[0]["Who"]["Type"], "Lead");
    assert_eq!(records[0]["Who"]["attributes"], json!({"type": "Name", "url": format!("/s/Lead/{lead}")}));
    assert_eq!((&records[0]["What"]["Name"], &records[1]["Who"]), (&json!("Zeta"), &Json::Null));
    assert_eq!(world.all("Subject", "SELECT Subject FROM Task WHERE What.Type = 'Account'"), ["1"]);
    assert_eq!(world.refused("SELECT What.Amount FROM Task").0, "INVALID_FIELD");
}

#[test]
fn conditions_choose_rows() {
    let (world, [a, b, c]) = World::filled();
    for (condition, names) in [
        ("NumberOfEmployees > 5", vec!["alpha"]),
        ("NumberOfEmployees != 5", vec!["alpha", "Beta"]),
        ("NOT NumberOfEmployees = 5", vec!["alpha", "Beta"]),
        ("NumberOfEmployees < 5.5", vec!["Zeta"]),
        ("NumberOfEmployees IN (5, null)", vec!["Beta", "Zeta"]),
        ("NumberOfEmployees NOT IN (5)", vec!["alpha", "Beta"]),
        ("Name LIKE '%ETA'", vec!["Beta", "Zeta"]),
        ("Name LIKE '_eta' AND (NOT Name LIKE 'b%')", vec!["Zeta"]),
        ("Parent.Name = 'zeta'", vec!["alpha"]),
        ("Parent.Name = null", vec!["Beta", "Zeta"]),
        ("Source_Id__c IN ('A', 'c', 'x')", vec!["Beta", "Zeta"]),
        ("Source_Id__c = 'a' OR Source_Id__c = 'B'", vec!["alpha", "Zeta"]),
        ("CreatedDate = TODAY", vec!["alpha", "Beta", "Zeta"]),
        ("CreatedDate < LAST_N_DAYS:3", vec![]),
        ("SystemModstamp >= 2023-11-14T22:13:20Z AND IsDeleted = false", vec!["alpha", "Beta", "Zeta"]),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName LIKE '%oe')", vec!["Zeta"]),
        ("Id NOT IN (SELECT AccountId FROM Contact)", vec!["alpha", "Beta"]),
        ("Id IN (SELECT ParentId FROM Account)", vec!["Zeta"]),
        ("CALENDAR_YEAR(CreatedDate) = 2023 AND Name > 'b'", vec!["Beta", "Zeta"]),
        ("Industry = ''", vec!["Beta"]),
    ] {
        let text = format!("SELECT Name FROM Account WHERE {condition} ORDER BY Name");
        assert_eq!(world.all("Name", &text), names, "{condition}");
    }
    let by_id = |text: String| world.all("Id", &text);
    assert_eq!(by_id(format!("SELECT Id FROM Account WHERE Id > '{a}' ORDER BY Id")), [b.as_str(), c.as_str()]);
    assert_eq!(by_id(format!("SELECT Id FROM Account WHERE Id = '{}'", a.short())), [a.as_str()]);
    assert_eq!(by_id(format!("SELECT Id FROM Account WHERE ParentId IN ('{}')", a.short())), [b.as_str()]);
}

#[test]
fn multi_select_values_are_sets() {
    let mut world = World::new();
    for (ext, tags) in [("1", json!("Red;Blue")), ("2", json!("Green")), ("3", Json::Null)] {
        world.make("Invoice__c", json!({"Ext__c": ext, "Tags__c": tags}));
    }
    let of = |condition: &str| world.all("Ext__c", &format!("SELECT Ext__c FROM Invoice__c WHERE {condition}"));
    assert_eq!(of("Tags__c INCLUDES ('red;blue', 'Green')"), ["1", "2"]);
    assert_eq!(of("Tags__c INCLUDES ('Red;Green')"), Vec::<Json>::new());
    assert_eq!(of("Tags__c EXCLUDES ('Red')"), ["2", "3"]);
    assert_eq!(of("Tags__c = 'Blue;Red'"), ["1"]);
    assert_eq!(
        world.refused("SELECT Id FROM Invoice__c WHERE Text__c INCLUDES ('a')").0,
        "INVALID_QUERY_FILTER_OPERATOR"
    );
}

#[test]
fn order_puts_nulls_first_unless_told_otherwise() {
    let (world, _) = World::filled();
    let names = |order: &str| world.all("Name", &format!("SELECT Name FROM Account ORDER BY {order}"));
    assert_eq!(names("NumberOfEmployees"), ["Beta", "Zeta", "alpha"]);
    assert_eq!(names("NumberOfEmployees DESC"), ["Beta", "alpha", "Zeta"]);
    assert_eq!(names("NumberOfEmployees DESC NULLS LAST, Id"), ["alpha", "Zeta", "Beta"]);
    assert_eq!(names("Name LIMIT 1 OFFSET 1"), ["Beta"]);
    assert_eq!(names("Industry NULLS LAST, Name DESC"), ["Zeta", "alpha", "Beta"]);
    assert!(world.found("SELECT Id FROM Account LIMIT 0").is_empty());
}

#[test]
fn groups_are_counted_and_summed_up() {
    let (world, _) = World::filled();
    assert_eq!(
        world.found("SELECT Industry, COUNT(Id) n, SUM(AnnualRevenue), AVG(NumberOfEmployees), MAX(Name) FROM Account GROUP BY Industry ORDER BY COUNT(Id) DESC"),
        [
            json!({"attributes": {"type": "AggregateResult"}, "Industry": "Media", "n": 2, "expr0": 0.3, "expr1": 27.5, "expr2": "Zeta"}),
            json!({"attributes": {"type": "AggregateResult"}, "Industry": null, "n": 1, "expr0": null, "expr1": null, "expr2": "Beta"}),
        ]
    );
    assert_eq!(world.all("Industry", "SELECT Industry FROM Account GROUP BY Industry HAVING COUNT(Id) > 1"), ["Media"]);
    assert_eq!(
        world.all("Name", "SELECT Parent.Name FROM Account GROUP BY Parent.Name HAVING Parent.Name != null"),
        ["Zeta"]
    );
    let months = "SELECT CALENDAR_MONTH(Birthdate) m, COUNT_DISTINCT(AccountId) FROM Contact GROUP BY CALENDAR_MONTH(Birthdate) ORDER BY CALENDAR_MONTH(Birthdate) NULLS LAST";
    assert_eq!(world.all("m", months), [json!(10), json!(11), Json::Null]);
    assert_eq!(world.all("expr0", months), [1, 1, 0]);
    let none = world.found("SELECT COUNT(Id), SUM(NumberOfEmployees) FROM Account WHERE Name = 'x'");
    assert_eq!((&none[0]["expr0"], &none[0]["expr1"]), (&json!(0), &Json::Null));
    let count = world.ask("SELECT COUNT() FROM Account WHERE Industry = 'Media'", false).unwrap();
    assert_eq!(count, Found { records: Vec::new(), total: 2 });
}

#[test]
fn display_functions_pass_values_through() {
    let (world, _) = World::filled();
    let record =
        &world.found("SELECT toLabel(Industry), FORMAT(convertCurrency(AnnualRevenue)) r FROM Account LIMIT 1")[0];
    assert_eq!((&record["Industry"], &record["r"]), (&json!("Media"), &json!(0.1)));
}

#[test]
fn all_fields_come_by_their_groups() {
    let (world, _) = World::filled();
    let keys = |group: &str| -> Vec<String> {
        let record = world.found(&format!("SELECT FIELDS({group}) FROM Account LIMIT 1")).remove(0);
        record.as_object().unwrap().keys().cloned().collect()
    };
    let (all, custom, standard) = (keys("ALL"), keys("CUSTOM"), keys("STANDARD"));
    assert!(custom.iter().all(|name| name == "attributes" || name.ends_with("__c")));
    assert!(standard.contains(&"BillingAddress".to_owned()) && !standard.iter().any(|name| name.ends_with("__c")));
    assert_eq!(all.len(), custom.len() + standard.len() - 1);
    let refused = world.refused("SELECT FIELDS(ALL) FROM Account LIMIT 201");
    assert_eq!(refused.0, "MALFORMED_QUERY");
    assert!(refused.1.ends_with("The SOQL FIELDS function must have a LIMIT of at most 200"));
    assert_eq!(world.refused("SELECT FIELDS(CUSTOM) FROM Account").0, "MALFORMED_QUERY");
    assert_eq!(world.found("SELECT FIELDS(STANDARD) FROM Account").len(), 3);
}

#[test]
fn what_the_platform_refuses_is_refused_in_its_words() {
    let world = World::new();
    let text = "SELECT Id, Foo FROM Account";
    let see = "Please reference your WSDL or the describe call for the appropriate names.";
    let message = format!(
        "\n{text}\n           ^\nERROR at Row:1:Column:12\nNo such column 'Foo' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. {see}"
    );
    assert_eq!(world.refused(text), ("INVALID_FIELD".into(), message));
    for (text, code, part) in [
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported."),
        ("SELECT Id FROM Order_Shipped__e", "INVALID_TYPE", "sObject type 'Order_Shipped__e' is not supported."),
        ("SELECT Foo.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Foo' in field path."),
        (
            "SELECT (SELECT Id FROM Foos) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Foos' in FROM part of query call.",
        ),
        (
            "SELECT Id FROM Account WHERE Description = 'a'",
            "INVALID_FIELD",
            "field 'Description' can not be filtered in a query call",
        ),
        (
            "SELECT Id FROM Account WHERE BillingAddress = null",
            "INVALID_FIELD",
            "field 'BillingAddress' can not be filtered in a query call",
        ),
        (
            "SELECT Id FROM Invoice__c WHERE Secret__c = 'a'",
            "INVALID_FIELD",
            "field 'Secret__c' can not be filtered in a query call",
        ),
        (
            "SELECT Id FROM Account ORDER BY Description",
            "INVALID_FIELD",
            "field 'Description' can not be sorted in a query call",
        ),
        (
            "SELECT COUNT(Id) FROM Account GROUP BY Description",
            "INVALID_FIELD",
            "field 'Description' can not be grouped in a query call",
        ),
        (
            "SELECT Id FROM Account WHERE AnnualRevenue = '5'",
            "INVALID_FIELD",
            "value of filter criterion for field 'AnnualRevenue' must be of type double and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE Name = 5",
            "INVALID_FIELD",
            "must be of type string and should be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE CreatedDate > 2026-01-01",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid operator",
        ),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Name FROM Account GROUP BY Industry", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT COUNT(Id) FROM Account ORDER BY Name", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Id, id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Name n FROM Account", "MALFORMED_QUERY", "Only aggregate expressions use field aliasing"),
        ("SELECT SUM(Name) FROM Account", "INVALID_FIELD", "SUM"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "HAVING"),
        ("SELECT Id FROM Account HAVING Id = null", "MALFORMED_QUERY", "HAVING"),
        ("SELECT Id FROM Account WHERE Name IN (SELECT Id FROM Contact)", "MALFORMED_QUERY", "semi join"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT Name FROM Contact)", "MALFORMED_QUERY", "semi join"),
        (
            "SELECT (SELECT COUNT() FROM Contacts) FROM Account",
            "MALFORMED_QUERY",
            "Only root queries support aggregate expressions",
        ),
        ("SELECT Parent.Parent.Parent.Parent.Parent.Parent.Name FROM Account", "MALFORMED_QUERY", "5 levels"),
    ] {
        let (refused, message) = world.refused(text);
        assert_eq!(refused, code, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn what_a_user_may_not_see_is_not_there() {
    let (mut world, _) = World::filled();
    let limited = world.user("limited");
    let mine = world.make("Vault__c", json!({"Name": "mine", "OwnerId": limited.as_str()}));
    world.make("Vault__c", json!({"Name": "other"}));
    world.viewer = limited.clone();
    assert_eq!(world.all("Id", "SELECT Id FROM Vault__c"), [mine.as_str()]);
    assert_eq!(world.ask("SELECT COUNT() FROM Vault__c", false).unwrap().total, 1);
    assert_eq!(world.refused("SELECT AnnualRevenue FROM Account").0, "INVALID_FIELD");
    assert_eq!(world.refused("SELECT Id FROM Account WHERE AnnualRevenue > 1").0, "INVALID_FIELD");
    assert_eq!(world.refused("SELECT Id FROM Case").0, "INVALID_TYPE");
    assert_eq!(world.refused("SELECT (SELECT Id FROM Cases) FROM Account").0, "INVALID_TYPE");
    assert!(world.found("SELECT FIELDS(ALL) FROM Account LIMIT 1")[0].get("AnnualRevenue").is_none());
    let (object, definition) = world.org.schema.find("Contact").unwrap();
    let account = definition.find("AccountId").unwrap().0;
    world.org.set_field_level(&limited, object, account, FieldLevel::Hidden);
    assert_eq!(world.refused("SELECT Account.Name FROM Contact").0, "INVALID_FIELD");
    assert_eq!(world.refused("SELECT (SELECT Id FROM Contacts) FROM Account").0, "INVALID_TYPE");
}

#[test]
fn deleted_rows_show_only_where_asked_for() {
    let (mut world, [a, b, _]) = World::filled();
    world.delete(&b);
    assert_eq!(world.found("SELECT Id FROM Account").len(), 2);
    let text = format!("SELECT IsDeleted, Source_Id__c FROM Account WHERE ParentId = '{a}' AND Source_Id__c = 'b'");
    assert_eq!(world.ask(&text, false).unwrap().total, 0);
    assert_eq!(world.ask(&text, true).unwrap().records[0]["IsDeleted"], true);
    let by_id = format!("SELECT Id FROM Account WHERE Id = '{b}' AND IsDeleted = true");
    assert_eq!((world.ask(&by_id, false).unwrap().total, world.ask(&by_id, true).unwrap().total), (0, 1));
}

#[test]
fn a_lookup_key_spares_reading_all_rows() {
    let (world, _) = World::filled();
    let candidates = |condition: &str| {
        let query = soql::parse(&format!("SELECT Id FROM Account WHERE {condition}")).unwrap();
        let asked = Asked { viewer: &world.viewer, with_deleted: false, now: NOW, base: "" };
        let plan = super::plan::plan(super::plan::Scope { org: &world.org, asked }, &query).unwrap();
        plan.filter.unwrap().candidates().map(|ids| ids.len())
    };
    for (condition, count) in [
        ("Source_Id__c IN ('A', 'b', 'x')", Some(2)),
        ("Name != 'a' AND Source_Id__c = 'c'", Some(1)),
        ("Source_Id__c = 'a' OR Emea_Id__c = 'a'", Some(1)),
        ("Id IN (SELECT AccountId FROM Contact)", Some(1)),
        ("ParentId IN (SELECT Id FROM Account WHERE Name = 'Zeta')", Some(1)),
        ("Source_Id__c = 'a' OR Name = 'a'", None),
        ("Source_Id__c IN ('a', null)", None),
        ("Source_Id__c NOT IN ('a')", None),
        ("Source_Id__c != 'a'", None),
    ] {
        assert_eq!(candidates(condition), count, "{condition}");
    }
}
