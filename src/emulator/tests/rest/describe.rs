//! What objects and fields there are.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::tests::World;

/// As the platform names them (rest.md section 3).
const FIELD_KEYS: &str = "aggregatable aiPredictionField autoNumber byteLength calculated calculatedFormula \
    cascadeDelete caseSensitive compoundFieldName controllerName createable custom defaultValue defaultValueFormula \
    defaultedOnCreate dependentPicklist deprecatedAndHidden digits displayLocationInDecimal encrypted externalId \
    extraTypeInfo filterable filteredLookupInfo formulaTreatNullNumberAsZero groupable highScaleNumber htmlFormatted \
    idLookup inlineHelpText label length mask maskType name nameField namePointing nillable permissionable \
    picklistValues polymorphicForeignKey precision queryByDistance referenceTargetField referenceTo relationshipName \
    relationshipOrder restrictedDelete restrictedPicklist scale searchPrefilterable soapType sortable type unique \
    updateable writeRequiresMasterRead";
const OBJECT_KEYS: &str = "name label labelPlural keyPrefix custom createable updateable deletable undeletable \
    queryable retrieveable replicateable triggerable searchable layoutable mergeable customSetting \
    deprecatedAndHidden feedEnabled hasSubtypes isSubtype mruEnabled activateable urls";
/// Besides, where an object is described for itself.
const DESCRIBE_KEYS: &str = "fields childRelationships recordTypeInfos actionOverrides compactLayoutable listviewable \
    lookupLayoutable namedLayoutInfos networkScopeFieldName searchLayoutable supportedScopes";
const URLS: &str =
    "approvalLayouts compactLayouts defaultValues describe layouts listviews quickActions rowTemplate sobject";

fn keys(json: &Json) -> BTreeSet<&str> {
    json.as_object().unwrap().keys().map(String::as_str).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

fn field<'a>(describe: &'a Json, name: &str) -> &'a Json {
    describe["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap()
}

#[tokio::test]
async fn a_describe_has_every_key_of_an_object_and_of_its_fields() {
    let world = World::new().await;
    let account = world.ok("GET", "sobjects/account/describe/", Json::Null).await;
    let mut wanted = words(OBJECT_KEYS);
    wanted.extend(words(DESCRIBE_KEYS));
    assert_eq!(keys(&account), wanted);
    for field in account["fields"].as_array().unwrap() {
        assert_eq!(keys(field), words(FIELD_KEYS), "{}", field["name"]);
    }
    // The platform's own example.
    let name = json!({"aggregatable":true,"aiPredictionField":false,"autoNumber":false,"byteLength":765,
        "calculated":false,"calculatedFormula":null,"cascadeDelete":false,"caseSensitive":false,
        "compoundFieldName":null,"controllerName":null,"createable":true,"custom":false,"defaultValue":null,
        "defaultValueFormula":null,"defaultedOnCreate":false,"dependentPicklist":false,"deprecatedAndHidden":false,
        "digits":0,"displayLocationInDecimal":false,"encrypted":false,"externalId":false,"extraTypeInfo":null,
        "filterable":true,"filteredLookupInfo":null,"formulaTreatNullNumberAsZero":false,"groupable":true,
        "highScaleNumber":false,"htmlFormatted":false,"idLookup":false,"inlineHelpText":null,"label":"Account Name",
        "length":255,"mask":null,"maskType":null,"name":"Name","nameField":true,"namePointing":false,
        "nillable":false});
    for (key, value) in name.as_object().unwrap() {
        assert_eq!(&field(&account, "Name")[key], value, "{key}");
    }
    assert_eq!(account["urls"]["rowTemplate"], "/services/data/v66.0/sobjects/Account/{ID}");
    let mut urls = words(URLS);
    urls.extend(["uiDetailTemplate", "uiEditTemplate", "uiNewRecord"]);
    assert_eq!(keys(&account["urls"]), urls);
    let edit = account["urls"]["uiNewRecord"].as_str().unwrap();
    assert!(edit.starts_with("http") && edit.ends_with("/001/e"), "{edit}");
}

#[tokio::test]
async fn fields_say_what_they_hold_and_who_may_write_them() {
    let world = World::new().await;
    let invoice = world.ok("GET", "sobjects/Invoice__c/describe", Json::Null).await;
    for (name, key, value) in [
        ("Id", "idLookup", json!(true)),
        ("Id", "soapType", json!("tns:ID")),
        ("Id", "byteLength", json!(18)),
        ("CreatedDate", "createable", json!(false)),
        ("CreatedById", "referenceTo", json!(["User"])),
        ("CreatedById", "relationshipName", json!("CreatedBy")),
        ("Name", "autoNumber", json!(true)),
        ("Name", "createable", json!(false)),
        ("Name", "nameField", json!(true)),
        ("Ext__c", "externalId", json!(true)),
        ("Ext__c", "caseSensitive", json!(true)),
        ("Ext__c", "unique", json!(true)),
        ("Rich__c", "extraTypeInfo", json!("richtextarea")),
        ("Rich__c", "filterable", json!(false)),
        ("Secret__c", "type", json!("encryptedstring")),
        ("Paid__c", "defaultValue", json!(false)),
        ("Paid__c", "defaultedOnCreate", json!(true)),
        ("Weight__c", "precision", json!(18)),
        ("Weight__c", "scale", json!(6)),
        ("Birth_Mark__c", "createable", json!(true)),
        ("Birth_Mark__c", "updateable", json!(false)),
        ("Summary__c", "calculated", json!(true)),
        ("Summary__c", "calculatedFormula", json!("{Text__c} ({Status__c})")),
        ("Summary__c", "createable", json!(false)),
        ("Total__c", "calculated", json!(true)),
        ("Place__Latitude__s", "compoundFieldName", json!("Place__c")),
        ("Place__c", "createable", json!(false)),
        ("Status__c", "restrictedPicklist", json!(true)),
        (
            "Status__c",
            "picklistValues",
            json!([
                {"active": true, "defaultValue": true, "label": "Draft", "validFor": null, "value": "Draft"},
                {"active": true, "defaultValue": false, "label": "Sent", "validFor": null, "value": "Sent"},
                {"active": true, "defaultValue": false, "label": "Paid", "validFor": null, "value": "Paid"}]),
        ),
        ("OwnerId", "referenceTo", json!(["Group", "User"])),
        ("OwnerId", "polymorphicForeignKey", json!(true)),
        ("OwnerId", "defaultedOnCreate", json!(true)),
    ] {
        assert_eq!(field(&invoice, name)[key], value, "{name}.{key}");
    }
    let line = world.ok("GET", "sobjects/Invoice_Line__c/describe", Json::Null).await;
    let master = field(&line, "Invoice__c");
    assert_eq!((&master["relationshipOrder"], &master["updateable"]), (&json!(0), &json!(false)));
    assert_eq!((&master["nillable"], &master["permissionable"]), (&json!(false), &json!(false)));
    let lines = invoice["childRelationships"].as_array().unwrap().iter().find(|c| c["relationshipName"] == "Lines__r");
    assert_eq!(
        lines.unwrap(),
        &json!({"cascadeDelete": true, "childSObject": "Invoice_Line__c", "deprecatedAndHidden": false,
            "field": "Invoice__c", "junctionIdListNames": [], "junctionReferenceTo": [],
            "relationshipName": "Lines__r", "restrictedDelete": false})
    );
}

#[tokio::test]
async fn record_types_stand_beside_the_master() {
    let world = World::new().await;
    let account = world.ok("GET", "sobjects/Account/describe", Json::Null).await;
    let infos = account["recordTypeInfos"].as_array().unwrap();
    let names: Vec<_> =
        infos.iter().map(|info| (info["developerName"].as_str().unwrap(), info["master"] == true)).collect();
    assert_eq!(names, [("Business", false), ("Household", false), ("Master", true)]);
    assert_eq!(infos[0]["defaultRecordTypeMapping"], true);
    assert_eq!(infos[2]["recordTypeId"], "012000000000000AAA");
    assert_eq!(infos[2]["defaultRecordTypeMapping"], false);
    let made = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await;
    let path = format!("sobjects/Account/{}", made["id"].as_str().unwrap());
    assert_eq!(world.ok("GET", &path, Json::Null).await["RecordTypeId"], infos[0]["recordTypeId"]);
}

#[tokio::test]
async fn all_objects_are_listed_and_each_has_a_short_form() {
    let world = World::new().await;
    let all = world.ok("GET", "sobjects/", Json::Null).await;
    assert_eq!((&all["encoding"], &all["maxBatchSize"]), (&json!("UTF-8"), &json!(200)));
    let list = all["sobjects"].as_array().unwrap();
    for object in list {
        assert_eq!(keys(object), words(OBJECT_KEYS), "{}", object["name"]);
    }
    let event = list.iter().find(|object| object["name"] == "Order_Shipped__e").unwrap();
    for (key, value) in [("createable", true), ("updateable", false), ("queryable", false), ("replicateable", false)] {
        assert_eq!(event[key], value, "{key}");
    }
    let lead = list.iter().find(|object| object["name"] == "Lead").unwrap();
    let short = world.ok("GET", "sobjects/Lead", Json::Null).await;
    assert_eq!(short, json!({"objectDescribe": lead, "recentItems": []}));
    assert_eq!(keys(&lead["urls"]), words(URLS));
    assert_eq!(keys(&event["urls"]), words("describe eventSchema rowTemplate sobject"));
    assert_eq!((&lead["keyPrefix"], &lead["mergeable"]), (&json!("00Q"), &json!(true)));
}

#[tokio::test]
async fn a_describe_that_did_not_change_is_not_sent_again() {
    let world = World::new().await;
    for path in ["sobjects", "sobjects/Account", "sobjects/Account/describe"] {
        let first = world.raw("GET", path, Json::Null).await.unwrap();
        let date = first.headers()["last-modified"].to_str().unwrap().to_owned();
        let again = world.request("GET", path).header("if-modified-since", &date).send().await.unwrap();
        assert_eq!((again.status().as_u16(), again.text().await.unwrap().as_str()), (304, ""), "{path}");
        let early = "Mon, 30 Nov 2020 08:34:54 GMT";
        let again = world.request("GET", path).header("if-modified-since", early).send().await.unwrap();
        assert_eq!(again.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_describe_follows_a_change_of_permissions() {
    let world = World::new().await;
    let path = "sobjects/Account/describe";
    let first = world.raw("GET", path, Json::Null).await.unwrap();
    let date = first.headers()["last-modified"].to_str().unwrap().to_owned();
    let body = json!({"user": "integration@one.example.com", "object": "Account", "field": "Phone", "access": "none"});
    world.ok("POST", "/emulator/access", body).await;
    let again = world.request("GET", path).header("if-modified-since", &date).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let describe: Json = again.json().await.unwrap();
    assert!(describe["fields"].as_array().unwrap().iter().all(|field| field["name"] != "Phone"));
}
