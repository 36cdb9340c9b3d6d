//! What is wrong with a record, alone and within a collection: status, code, text and fields.

mod others;
mod requests;
mod values;

use serde_json::{Value as Json, json};

use crate::org::Id;
use crate::tests::World;

/// The standard org, and what it has no case for.
const MORE: &str = r#"
objects:
  - name: Folder__c
    prefix: a20
    label: Folder
    owner: user
    fields:
      - { name: Name, type: string, length: 80, required: true }
  - name: Paper__c
    prefix: a21
    label: Paper
    owner: user
    fields:
      - { name: Name, type: string, length: 80, required: true }
      - { name: Folder__c, type: lookup, to: [Folder__c], relationship: Folder__r, children: Papers__r, on_parent_delete: refuse }
    validation_rules:
      - { name: No_Ink, when: Name = 'Blank', message: There is no ink on it. }
      - { name: No_Folder, when: Name = 'Blank' AND Folder__c = null, message: It lies about., field: Folder__c }
"#;

/// What a row wants done.
enum Do {
    Create(&'static str, Json),
    Update(&'static str, String, Json),
    Delete(&'static str, String),
}
use Do::{Create, Delete, Update};

/// How a collection answers it.
enum InCollection {
    /// The record fails, with the same code, text and fields.
    Same,
    /// The whole request fails, as the request for the record alone does.
    Whole,
    /// The record fails with another code and text.
    Other(&'static str, String),
    /// There is no such thing.
    Nothing,
}
use InCollection::{Nothing, Other, Same, Whole};

struct Row {
    what: Do,
    status: u16,
    code: &'static str,
    message: String,
    fields: &'static [&'static str],
    collection: InCollection,
}

fn row(what: Do, code: &'static str, message: impl Into<String>, fields: &'static [&'static str]) -> Row {
    Row { what, status: 400, code, message: message.into(), fields, collection: Same }
}

impl Row {
    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn collection(self, collection: InCollection) -> Self {
        Self { collection, ..self }
    }
}

/// Without the place in the request's text, which differs between the two forms.
fn unplaced(message: &Json) -> String {
    let text = message.as_str().unwrap_or_default();
    text.split(" at [line:").next().unwrap_or_default().to_owned()
}

impl World {
    async fn id_of(&self, object: &str, fields: Json) -> String {
        self.ok("POST", &format!("sobjects/{object}"), fields).await["id"].as_str().unwrap().to_owned()
    }

    async fn alone(&self, what: &Do) -> (u16, Json) {
        match what {
            Create(object, fields) => self.call("POST", &format!("sobjects/{object}"), fields.clone()).await,
            Update(object, id, fields) => self.call("PATCH", &format!("sobjects/{object}/{id}"), fields.clone()).await,
            Delete(object, id) => self.call("DELETE", &format!("sobjects/{object}/{id}"), Json::Null).await,
        }
    }

    async fn collected(&self, what: &Do) -> (u16, Json) {
        let records = |object: &str, fields: &Json| {
            let mut record = fields.clone();
            record["attributes"] = json!({"type": object});
            record
        };
        match what {
            Create(object, fields) => {
                self.call("POST", "composite/sobjects", json!({"records": [records(object, fields)]})).await
            }
            Update(object, id, fields) => {
                let mut record = records(object, fields);
                record["id"] = json!(id);
                self.call("PATCH", "composite/sobjects", json!({"records": [record]})).await
            }
            Delete(_, id) => self.call("DELETE", &format!("composite/sobjects?ids={id}"), Json::Null).await,
        }
    }

    async fn check(&self, rows: Vec<Row>) {
        for row in rows {
            let Row { what, status, code, message, fields, collection } = row;
            let mut error = json!({"errorCode": code, "message": message});
            if !fields.is_empty() {
                error["fields"] = json!(fields);
            }
            let (found, mut body) = self.alone(&what).await;
            if code == "JSON_PARSER_ERROR" {
                body[0]["message"] = unplaced(&body[0]["message"]).into();
            }
            assert_eq!((found, body), (status, json!([error])));
            let (found, mut body) = self.collected(&what).await;
            let item = |code: &str, message: &str, fields: &[&str]| json!([{"success": false, "errors": [{"statusCode": code, "message": message, "fields": fields}]}]);
            match collection {
                Same => assert_eq!((found, body), (200, item(code, &message, fields))),
                Other(code, message) => {
                    let fields = body[0]["errors"][0]["fields"].clone();
                    let fields: Vec<&str> = fields.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                    assert_eq!((found, body), (200, item(code, &message, &fields)));
                }
                Whole => {
                    body[0]["message"] = unplaced(&body[0]["message"]).into();
                    assert_eq!((found, body), (400, json!([error])));
                }
                Nothing => {}
            }
        }
    }
}

fn unwritable(field: &str) -> String {
    format!(
        "Unable to create/update fields: {field}. Please check the security settings of this field and verify that it is read/write for your profile or permission set."
    )
}

#[tokio::test]
async fn records_that_are_addressed_wrongly() {
    let world = World::new().await;
    let account = world.id_of("Account", json!({"Name": "A"})).await;
    let contact = world.id_of("Contact", json!({"LastName": "L"})).await;
    let gone = world.id_of("Account", json!({"Name": "G"})).await;
    world.ok("DELETE", &format!("sobjects/Account/{gone}"), Json::Null).await;
    let unknown = Id::new("001", "zz0", 7).as_str().to_owned();
    let not_there = format!("Provided external ID field does not exist or is not accessible: {unknown}");
    let invalid = || Other("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".into());
    let other_type = format!("Account ID: id value of incorrect type: {contact}");
    let malformed = "Account ID: id value of incorrect type: nonsense";
    world
        .check(vec![
            row(
                Create("Account", json!({"Id": account, "Name": "B"})),
                "INVALID_FIELD",
                "The Id field should not be specified in the sobject data.",
                &[],
            ),
            row(
                Create("Account", json!({"Name": "B", "Foo__c": 1})),
                "INVALID_FIELD",
                "No such column 'Foo__c' on sobject of type Account",
                &[],
            )
            .collection(Whole),
            row(
                Update("Account", account.clone(), json!({"Foo__c": 1})),
                "INVALID_FIELD",
                "No such column 'Foo__c' on sobject of type Account",
                &[],
            )
            .collection(Whole),
            row(Update("Account", contact.clone(), json!({"Phone": "1"})), "MALFORMED_ID", other_type, &["Id"]),
            row(Update("Account", "nonsense".into(), json!({"Phone": "1"})), "MALFORMED_ID", malformed, &["Id"])
                .collection(Other("MALFORMED_ID", "malformed id nonsense".into())),
            row(Update("Account", unknown.clone(), json!({"Phone": "1"})), "NOT_FOUND", &*not_there, &[])
                .status(404)
                .collection(invalid()),
            row(Delete("Account", unknown.clone()), "NOT_FOUND", &*not_there, &[]).status(404).collection(invalid()),
            row(Update("Account", gone.clone(), json!({"Phone": "1"})), "ENTITY_IS_DELETED", "entity is deleted", &[])
                .status(404),
            row(Delete("Account", gone.clone()), "ENTITY_IS_DELETED", "entity is deleted", &[]).status(404),
            row(Create("Nothing", json!({})), "NOT_FOUND", "The requested resource does not exist", &[])
                .status(404)
                .collection(Nothing),
        ])
        .await;
    let (status, body) = world.collected(&Create("Nothing", json!({}))).await;
    assert_eq!(
        (status, body),
        (400, json!([{"errorCode": "INVALID_TYPE", "message": "sObject type 'Nothing' is not supported."}]))
    );
    let (status, body) = world.collected(&Delete("Account", "nonsense".into())).await;
    assert_eq!((status, body), (400, json!([{"errorCode": "MALFORMED_ID", "message": "malformed id nonsense"}])));
    for id in [&unknown, &gone] {
        let missing = json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]);
        assert_eq!(world.call("GET", &format!("sobjects/Account/{id}"), Json::Null).await, (404, missing));
    }
}

#[tokio::test]
async fn values_that_a_field_does_not_take() {
    let world = World::new().await;
    let invoice = world.id_of("Invoice__c", json!({"Birth_Mark__c": "x"})).await;
    let line = world.id_of("Invoice_Line__c", json!({"Invoice__c": invoice})).await;
    let long = "x".repeat(41);
    let mut rows = vec![
        row(
            Create("Contact", json!({"FirstName": "F"})),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName]",
            &["LastName"],
        ),
        row(
            Create("Opportunity", json!({"Name": "O"})),
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [StageName, CloseDate]",
            &["StageName", "CloseDate"],
        ),
        row(
            Create("Account", json!({"Name": "A", "AccountNumber": long})),
            "STRING_TOO_LONG",
            format!("Account Number: data value too large: {long} (max length=40)"),
            &["AccountNumber"],
        ),
        row(
            Create("Invoice__c", json!({"Quantity__c": 1_234_567})),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Quantity: value outside of valid range on numeric field: 1234567",
            &["Quantity__c"],
        ),
        row(
            Create("Account", json!({"Name": "A", "Rating": "Icy"})),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Account Rating: bad value for restricted picklist field: Icy",
            &["Rating"],
        ),
        row(
            Create("Contact", json!({"LastName": "L", "Email": "nobody"})),
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: nobody",
            &["Email"],
        ),
        row(
            Update("Invoice__c", invoice.clone(), json!({"Birth_Mark__c": "y"})),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            unwritable("Birth_Mark__c"),
            &["Birth_Mark__c"],
        ),
        row(
            Update("Invoice_Line__c", line.clone(), json!({"Invoice__c": invoice})),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            unwritable("Invoice__c"),
            &["Invoice__c"],
        ),
    ];
    const READ_ONLY: [(&str, &[&str]); 6] = [
        ("Summary__c", &["Summary__c"]),
        ("Total__c", &["Total__c"]),
        ("Name", &["Name"]),
        ("CreatedDate", &["CreatedDate"]),
        ("SystemModstamp", &["SystemModstamp"]),
        ("Place__c", &["Place__c"]),
    ];
    for (field, fields) in READ_ONLY {
        let fields_of = || json!({field: "x"});
        rows.push(row(Create("Invoice__c", fields_of()), "INVALID_FIELD_FOR_INSERT_UPDATE", unwritable(field), fields));
        let update = Update("Invoice__c", invoice.clone(), fields_of());
        rows.push(row(update, "INVALID_FIELD_FOR_INSERT_UPDATE", unwritable(field), fields));
    }
    for (field, value, kind, token, shown) in [
        ("Text__c", json!(1), "string", "VALUE_NUMBER_INT", "1"),
        ("Text__c", json!(true), "string", "VALUE_TRUE", "true"),
        ("Text__c", json!(["a"]), "string", "START_ARRAY", "[\"a\"]"),
        ("Paid__c", json!("yes"), "boolean", "VALUE_STRING", "yes"),
        ("Quantity__c", json!("many"), "double", "VALUE_STRING", "many"),
        ("Amount__c", json!(false), "double", "VALUE_FALSE", "false"),
        ("Due__c", json!("2017-05-30T-06:00:00X"), "date", "VALUE_STRING", "2017-05-30T-06:00:00X"),
        ("Due__c", json!("2026-02-30"), "date", "VALUE_STRING", "2026-02-30"),
        ("Sent__c", json!("2026-03-01T12:00:00"), "datetime", "VALUE_STRING", "2026-03-01T12:00:00"),
        ("Opens__c", json!("25:00:00Z"), "time", "VALUE_STRING", "25:00:00Z"),
    ] {
        let message = format!(
            "Cannot deserialize instance of {kind} from {token} value {shown} or request may be missing a required field"
        );
        let create = Create("Invoice__c", json!({field: value}));
        rows.push(row(create, "JSON_PARSER_ERROR", message, &[]).collection(Whole));
    }
    world.check(rows).await;
    world.ok("POST", "/emulator/switches", json!({"unchanged_master_refused": false})).await;
    let other = world.id_of("Invoice__c", json!({})).await;
    let same = Update("Invoice_Line__c", line.clone(), json!({"Invoice__c": invoice}));
    assert_eq!(world.alone(&same).await.0, 204);
    let moved = Update("Invoice_Line__c", line, json!({"Invoice__c": other}));
    assert_eq!(world.alone(&moved).await.1[0]["errorCode"], "INVALID_FIELD_FOR_INSERT_UPDATE");
}

#[tokio::test]
async fn records_that_a_rule_or_another_record_stands_against() {
    let world = World::of(MORE).await;
    let taken = world.id_of("Account", json!({"Name": "A", "Source_Id__c": "s"})).await;
    let folder = world.id_of("Folder__c", json!({"Name": "F"})).await;
    let paper = world.id_of("Paper__c", json!({"Name": "P", "Folder__c": folder})).await;
    let lead = world.id_of("Lead", json!({"LastName": "L", "Company": "C"})).await;
    let nils = {
        let host = &world.org().host;
        let (now, mut org) = (host.now(), host.org());
        let caller = crate::org::Caller::system(org.ordinary_user(), "");
        org.convert_lead(&caller, &Id::parse(&lead).unwrap(), false, now).unwrap();
        org.user_by_name("nils@one.example.com").unwrap().id.clone()
    };
    let rows = vec![
        row(
            Create("Account", json!({"Name": "B", "Source_Id__c": "S"})),
            "DUPLICATE_VALUE",
            format!("duplicate value found: Source_Id__c duplicates value on record with id: {}", &taken[..15]),
            &["Source_Id__c"],
        ),
        row(
            Create("Account", json!({"Name": "B", "Type": "Customer"})),
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "A customer needs a phone number.",
            &["Phone"],
        ),
        row(
            Create("Account", json!({"Name": "POISON"})),
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "PoisonTrigger: execution of BeforeInsert caused by: System.NullPointerException: Attempt to de-reference a null object",
            &[],
        ),
        row(
            Update("Account", taken.clone(), json!({"Name": "POISON"})),
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "PoisonTrigger: execution of BeforeUpdate caused by: System.NullPointerException: Attempt to de-reference a null object",
            &[],
        ),
        row(
            Update("Lead", lead.clone(), json!({"Phone": "1"})),
            "CANNOT_UPDATE_CONVERTED_LEAD",
            "cannot reference converted lead",
            &[],
        ),
        row(
            Update("Account", taken.clone(), json!({"OwnerId": nils.as_str()})),
            "INACTIVE_OWNER_OR_USER",
            format!("operation performed with inactive user [{}] as owner of account", nils.short()),
            &["OwnerId"],
        ),
        row(
            Delete("Folder__c", folder.clone()),
            "DELETE_FAILED",
            format!(
                "Your attempt to delete {} could not be completed because it is associated with the following Papers: {}",
                &folder[..15],
                &paper[..15]
            ),
            &[],
        ),
    ];
    world.check(rows).await;

    // Each rule that is broken has an element of its own.
    let (status, body) = world.alone(&Create("Paper__c", json!({"Name": "Blank"}))).await;
    let code = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
    assert_eq!(
        (status, body),
        (
            400,
            json!([{"errorCode": code, "message": "There is no ink on it."},
                {"errorCode": code, "message": "It lies about.", "fields": ["Folder__c"]}])
        )
    );
    let (_, body) = world.collected(&Create("Paper__c", json!({"Name": "Blank"}))).await;
    assert_eq!(
        body[0]["errors"],
        json!([{"statusCode": code, "message": "There is no ink on it.", "fields": []},
            {"statusCode": code, "message": "It lies about.", "fields": ["Folder__c"]}])
    );
}
