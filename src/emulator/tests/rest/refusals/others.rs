//! Records that fail because of others: parents that are not there, locks, duplicates.

use serde_json::{Value as Json, json};

use super::{Create, Update, Whole, row};
use crate::org::Id;
use crate::tests::World;

#[tokio::test]
async fn parents_that_are_not_there() {
    let world = World::new().await;
    let gone = world.id_of("Account", json!({"Name": "G"})).await;
    world.ok("DELETE", &format!("sobjects/Account/{gone}"), Json::Null).await;
    let account = world.id_of("Account", json!({"Name": "A", "Source_Id__c": "a"})).await;
    for last in ["M", "N"] {
        world.id_of("Contact", json!({"LastName": last, "Email": "twice@b.example"})).await;
    }
    let unknown = Id::new("001", "zz0", 7).as_str().to_owned();
    let contact = Id::new("003", "zz0", 7).as_str().to_owned();
    let with = |parent: Json| {
        let mut fields = json!({"LastName": "L"});
        fields.as_object_mut().unwrap().extend(parent.as_object().unwrap().clone());
        Create("Contact", fields)
    };
    let rows = vec![
        row(
            with(json!({"Account": {"Source_Id__c": "nope"}})),
            "INVALID_FIELD",
            "Foreign key external ID: nope not found for field Source_Id__c in entity Account",
            &[],
        ),
        row(
            with(json!({"ReportsTo": {"Email": "twice@b.example"}})),
            "INVALID_FIELD",
            "More than 1 record found for external id twice@b.example",
            &[],
        ),
        row(
            with(json!({"AccountId": unknown})),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            &["AccountId"],
        ),
        row(with(json!({"AccountId": gone})), "ENTITY_IS_DELETED", "entity is deleted", &["AccountId"]),
        row(
            with(json!({"AccountId": contact})),
            "MALFORMED_ID",
            format!("Account ID: id value of incorrect type: {contact}"),
            &["AccountId"],
        ),
        row(
            with(json!({"AccountId": "x"})),
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: x",
            &["AccountId"],
        ),
        row(
            with(json!({"Account": {"Id": unknown}})),
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
            &["AccountId"],
        ),
        row(
            with(json!({"Account": {"Id": "x"}})),
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: x",
            &["AccountId"],
        ),
        row(
            with(json!({"AccountId": account, "Account": {"Source_Id__c": "a"}})),
            "INVALID_FIELD",
            "Cannot specify both an external ID reference Account and a salesforce id, AccountId",
            &[],
        ),
        row(
            with(json!({"Account": {"Phone": "1"}})),
            "INVALID_FIELD",
            "No such column 'Phone' on sobject of type Account",
            &[],
        )
        .collection(Whole),
    ];
    world.check(rows).await;
}

#[tokio::test]
async fn a_locked_row_is_told_with_its_id() {
    let world = World::new().await;
    let account = world.id_of("Account", json!({"Name": "A"})).await;
    let lock = |times| world.org().host.org().locks.refuse_times(&Id::parse(&account).unwrap(), times);
    let message = format!("unable to obtain exclusive access to this record or 1 records: {account}");
    lock(2);
    let update = Update("Account", account.clone(), json!({"Phone": "1"}));
    world.check(vec![row(update, "UNABLE_TO_LOCK_ROW", &*message, &[])]).await;
    // A contact locks its account.
    lock(2);
    let create = Create("Contact", json!({"LastName": "L", "AccountId": account}));
    world.check(vec![row(create, "UNABLE_TO_LOCK_ROW", &*message, &[])]).await;
    assert_eq!(world.alone(&Update("Account", account.clone(), json!({"Phone": "1"}))).await.0, 204);
}

#[tokio::test]
async fn duplicates_are_told_with_what_was_found() {
    let world = World::new().await;
    let first = world.id_of("Contact", json!({"LastName": "Roe", "Email": "r@b.example"})).await;
    let fields = json!({"LastName": "roe", "Email": "R@b.example"});
    let (status, body) = world.alone(&Create("Contact", fields.clone())).await;
    let url = format!("/services/data/v66.0/sobjects/Contact/{first}");
    let result = json!({"allowSave": true, "duplicateRule": "Standard_Contact_Duplicate_Rule",
        "duplicateRuleEntityType": "Contact", "errorMessage": "Use one of these records?",
        "matchResults": [{"entityType": "Contact", "errors": [], "matchEngine": "ExactMatchEngine",
            "matchRecords": [{"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
                "record": {"attributes": {"type": "Contact", "url": url}, "Id": first}}],
            "rule": "Standard_Contact_Duplicate_Rule_Match", "size": 1, "success": true}]});
    assert_eq!(
        (status, body),
        (
            400,
            json!([{"duplicateResut": result, "errorCode": "DUPLICATES_DETECTED",
                "message": "Use one of these records?"}])
        )
    );
    let (status, body) = world.collected(&Create("Contact", fields.clone())).await;
    let error = &body[0]["errors"][0];
    assert_eq!(
        (status, &error["statusCode"], &error["duplicateResult"]),
        (200, &json!("DUPLICATES_DETECTED"), &result)
    );
    let allowed = world.request("POST", "sobjects/Contact").header("sforce-duplicate-rule-header", "allowSave=true");
    assert_eq!(allowed.json(&fields).send().await.unwrap().status(), 201);
}
