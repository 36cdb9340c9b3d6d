//! What an admin asks before records flow: who may do what, what the org does by itself, which queue owns what.

use serde_json::{Value as Json, json};

use super::World;

const MINE: &str = "ParentId IN (SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = ";

impl World {
    async fn rows(&self, path: &str, soql: &str) -> Vec<Json> {
        let answer = self.request("GET", path).query(&[("q", soql)]).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Json>().await.unwrap());
        assert_eq!((status.as_u16(), &body["done"]), (200, &json!(true)), "{soql}: {body}");
        body["records"].as_array().unwrap().clone()
    }

    async fn user(&self, name: &str) -> String {
        let rows = self.rows("query", &format!("SELECT Id FROM User WHERE Username = '{name}@one.example.com'")).await;
        rows[0]["Id"].as_str().unwrap().to_owned()
    }
}

/// Values of a column.
fn column<'a>(rows: &'a [Json], name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[name].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_user_has_the_object_and_field_permissions_of_his_permission_sets() {
    let world = World::new().await;
    let limited = world.user("limited").await;
    let soql = format!(
        "SELECT SobjectType, PermissionsRead, PermissionsEdit, PermissionsCreate, PermissionsDelete, \
         PermissionsViewAllRecords, PermissionsModifyAllRecords FROM ObjectPermissions WHERE {MINE}'{limited}') \
         AND SobjectType IN ('Account', 'Vault__c', 'Lead')"
    );
    let rows = world.rows("query", &soql).await;
    assert_eq!(column(&rows, "SobjectType"), ["Account", "Vault__c"], "no row where there is no permission");
    let account = json!([true, true, false, false, false, false]);
    let given = ["Read", "Edit", "Create", "Delete", "ViewAllRecords", "ModifyAllRecords"];
    let of = |row: &Json| given.iter().map(|name| row[format!("Permissions{name}")].clone()).collect::<Json>();
    assert_eq!((of(&rows[0]), of(&rows[1])), (account, json!([true, true, true, true, false, false])));
    assert_eq!(rows[0]["attributes"]["type"], "ObjectPermissions");
    assert!(rows[0]["attributes"]["url"].as_str().unwrap().starts_with("/services/data/v66.0/sobjects/"));

    let soql = |who: &str| {
        format!(
            "SELECT Field, PermissionsRead, PermissionsEdit FROM FieldPermissions \
             WHERE {MINE}'{who}') AND SobjectType = 'Account'"
        )
    };
    let rows = world.rows("query", &soql(&limited)).await;
    let edit = |name: &str| rows.iter().find(|row| row["Field"] == name).map(|row| row["PermissionsEdit"] == true);
    assert_eq!((edit("Account.Phone"), edit("Account.Industry")), (Some(true), Some(false)));
    assert_eq!(edit("Account.Pipeline__c"), Some(false), "a roll-up can only be read");
    assert_eq!(edit("Account.AnnualRevenue"), None, "hidden");
    assert_eq!((edit("Account.Name"), edit("Account.Id")), (None, None), "these have no field-level security");
    let all = world.rows("query", &soql(&world.user("integration").await)).await;
    assert!(all.iter().any(|row| row["Field"] == "Account.AnnualRevenue" && row["PermissionsEdit"] == true));
}

#[tokio::test]
async fn the_caller_learns_what_he_may_do_in_the_org_as_a_whole() {
    let mut world = World::new().await;
    let soql = "SELECT PermissionsViewAllData, PermissionsModifyAllData, PermissionsApiEnabled, PermissionsViewSetup \
                FROM UserPermissionAccess";
    let of = |rows: Vec<Json>| {
        (rows.len(), rows[0]["PermissionsViewAllData"].clone(), rows[0]["PermissionsApiEnabled"].clone())
    };
    assert_eq!(of(world.rows("query", soql).await), (1, json!(true), json!(true)));
    world.log_in_as("limited").await;
    assert_eq!(of(world.rows("query", soql).await), (1, json!(false), json!(true)));
}

#[tokio::test]
async fn automation_of_an_object_is_listed() {
    let world = World::new().await;
    let triggers =
        world.rows("tooling/query", "SELECT Name, Status FROM ApexTrigger WHERE TableEnumOrId = 'Account'").await;
    assert_eq!(column(&triggers, "Name"), ["AccountTrigger", "PoisonTrigger"]);
    let soql = "SELECT ApiName, TriggerType, RecordTriggerType, TriggerObjectOrEvent.QualifiedApiName \
                FROM FlowDefinitionView WHERE IsActive = true";
    let flows = world.rows("query", soql).await;
    assert_eq!(column(&flows, "ApiName"), ["Account_Segment_Small", "Account_Segment_Large", "Ship_Order"]);
    assert_eq!(
        (&flows[0]["TriggerType"], &flows[0]["TriggerObjectOrEvent"]),
        (&json!("RecordAfterSave"), &json!({"QualifiedApiName": "Account"}))
    );
    assert_eq!(
        (&flows[2]["TriggerType"], &flows[2]["TriggerObjectOrEvent"]["QualifiedApiName"]),
        (&Json::Null, &Json::Null)
    );
    let soql = "SELECT ValidationName, Active, ErrorDisplayField FROM ValidationRule \
                WHERE EntityDefinition.QualifiedApiName = 'Account'";
    let rules = world.rows("tooling/query", soql).await;
    assert_eq!((column(&rules, "ValidationName"), &rules[0]["Active"]), (vec!["Customer_Needs_Phone"], &json!(true)));
    let none = world.rows("tooling/query", "SELECT Id, Name FROM WorkflowRule WHERE TableEnumOrId = 'Account'").await;
    assert_eq!(none.len(), 0);
    let rules = world.rows("query", "SELECT DeveloperName, SobjectType FROM DuplicateRule WHERE IsActive = true").await;
    assert_eq!(column(&rules, "SobjectType"), ["Contact"]);
    let rules = world.rows("query", "SELECT Name, SobjectType FROM AssignmentRule WHERE Active = true").await;
    assert_eq!(column(&rules, "SobjectType"), ["Lead", "Case"]);
    let custom =
        world.rows("tooling/query", "SELECT DurableId FROM EntityDefinition WHERE QualifiedApiName = 'Vault__c'").await;
    let id = custom[0]["DurableId"].as_str().unwrap();
    assert!(id.starts_with("01I"));
    let soql = format!("SELECT Name FROM ApexTrigger WHERE TableEnumOrId IN ('Vault__c', '{id}')");
    assert_eq!(world.rows("tooling/query", &soql).await.len(), 0);
}

#[tokio::test]
async fn sharing_of_an_object_is_told_to_everybody() {
    let mut world = World::new().await;
    world.log_in_as("limited").await;
    let soql = "SELECT QualifiedApiName, InternalSharingModel FROM EntityDefinition \
                WHERE QualifiedApiName IN ('Account', 'Vault__c', 'Invoice_Line__c')";
    let rows = world.rows("query", soql).await;
    assert_eq!(column(&rows, "InternalSharingModel"), ["ReadWrite", "ControlledByParent", "Private"]);
}

#[tokio::test]
async fn a_queue_owns_records_of_some_objects() {
    let world = World::of(
        "queues: [{ name: Repairs, developer_name: Repairs, objects: [Case] }]\nobjects: [{ name: Case, owner: user_or_queue }]",
    )
    .await;
    let soql = "SELECT SobjectType FROM QueueSobject WHERE Queue.DeveloperName = ";
    let of = async |name: &str| {
        let rows = world.rows("query", &format!("{soql}'{name}'")).await;
        column(&rows, "SobjectType").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("Repairs").await, ["Case"]);
    let mut all = of("Support").await;
    all.sort();
    assert_eq!(all, ["Case", "Invoice__c", "Lead", "Task"]);
    let wrong = "queues: [{ name: Repairs, developer_name: Repairs, objects: [Account] }]";
    let error = crate::Scenario::read("test", wrong).and_then(|scenario| scenario.build("one", "xx0").map(drop));
    assert!(error.unwrap_err().problem.contains("Repairs: it cannot own records of Account"));
}

#[tokio::test]
async fn a_user_without_the_permission_cannot_look_at_setup() {
    let scenario = r#"
users:
  - username: "blind@{org}.example.com"
    last_name: Blind
    password: emulator1
    security_token: TOKEN
    access: { view_all_data: false, modify_all_data: false, view_setup: false }
"#;
    let mut world = World::of(scenario).await;
    world.log_in_as("blind").await;
    for (path, soql) in [
        ("tooling/query", "SELECT Id FROM PlatformEventChannelMember"),
        ("tooling/query", "SELECT Id FROM ApexTrigger"),
        ("query", "SELECT Id FROM ObjectPermissions"),
        ("query", "SELECT ApiName FROM FlowDefinitionView"),
    ] {
        let answer = world.request("GET", path).query(&[("q", soql)]).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.json::<Json>().await.unwrap());
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_TYPE")), "{soql}");
    }
    let own = world.rows("query", "SELECT PermissionsViewSetup FROM UserPermissionAccess").await;
    assert_eq!(own[0]["PermissionsViewSetup"], false);
}

#[tokio::test]
async fn what_setup_cannot_answer_is_refused() {
    let world = World::new().await;
    for (soql, code) in [
        ("SELECT Nope FROM ObjectPermissions", "INVALID_FIELD"),
        ("SELECT Id FROM ObjectPermissions WHERE ParentId IN (SELECT Id FROM Account)", "MALFORMED_QUERY"),
        (
            "SELECT Id FROM ObjectPermissions WHERE ParentId IN (SELECT Nope FROM PermissionSetAssignment)",
            "MALFORMED_QUERY",
        ),
        ("SELECT Id FROM ValidationRule", "INVALID_TYPE"),
    ] {
        let answer = world.request("GET", "query").query(&[("q", soql)]).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.json::<Json>().await.unwrap());
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)), "{soql}");
    }
}

#[tokio::test]
async fn a_record_type_has_its_own_values_of_picklists_and_restricted_ones_take_no_others() {
    let world = World::of(
        "objects:
  - name: Account
    record_types:
      - { developer_name: Business, default: true, picklists: { Rating: [Cold, Hot], Type: [Partner] } }
",
    )
    .await;
    let rows = world.rows("query", "SELECT Id, DeveloperName FROM RecordType WHERE SobjectType = 'Account'").await;
    assert_eq!(column(&rows, "DeveloperName"), ["Business", "Household"], "named again, and not made twice");
    let [business, household] = [0, 1].map(|row| rows[row]["Id"].as_str().unwrap());
    let path = |object: &str, id: &str| format!("ui-api/object-info/{object}/picklist-values/{id}");
    let of = async |id: &str, field: &str| {
        let answer = world.ok("GET", &path("account", id), Json::Null).await;
        column(answer["picklistFieldValues"][field]["values"].as_array().unwrap(), "value").join(" ")
    };
    assert_eq!((of(business, "Rating").await, of(business, "Type").await), ("Hot Cold".into(), "Partner".into()));
    for all in [household, "012000000000000AAA"] {
        assert_eq!(of(all, "Rating").await, "Hot Warm Cold");
    }
    let answer = world.ok("GET", &path("Account", business), Json::Null).await;
    assert_eq!(answer["picklistFieldValues"]["Name"], Json::Null);
    let value = |value: &str| json!({"attributes": null, "label": value, "validFor": [], "value": value});
    let rating = &answer["picklistFieldValues"]["Type"];
    let url = format!("/services/data/v66.0/{}/Type", path("Account", business));
    let wanted = json!({"controllerValues": {}, "defaultValue": null, "eTag": answer["eTag"], "url": url,
        "values": [value("Partner")]});
    assert_eq!(*rating, wanted);
    for (object, id) in [("Case", business), ("Account", "012000000000009AAA"), ("Nope", business), ("Account", "x")] {
        let (status, body) = world.call("GET", &path(object, id), Json::Null).await;
        assert_eq!((status, &body[0]["errorCode"]), (404, &json!("NOT_FOUND")), "{object} {id}");
    }

    let save = async |fields: Json| world.call("POST", "sobjects/Account", fields).await;
    let (status, body) = save(json!({"Name": "A", "Rating": "Warm"})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")));
    for fields in [
        json!({"Name": "A", "Rating": "Hot"}),
        json!({"Name": "A", "Rating": "Warm", "RecordTypeId": household}),
        json!({"Name": "A", "Type": "Other"}),
    ] {
        assert_eq!(save(fields.clone()).await.0, 201, "{fields}");
    }
}

#[test]
fn a_record_type_has_no_values_that_the_picklist_does_not_have() {
    for (picklists, wrong) in [
        ("{ Rating: [Tepid] }", "Rating has no value Tepid"),
        ("{ Name: [Hot] }", "Name is no picklist"),
        ("{ Ratin: [Hot] }", "Account has no field Ratin"),
    ] {
        let text =
            format!("objects: [{{ name: Account, record_types: [{{ developer_name: X, picklists: {picklists} }}] }}]");
        let error = crate::Scenario::read("test", &text).and_then(|scenario| scenario.build("one", "xx0").map(drop));
        let problem = error.unwrap_err().problem;
        assert!(problem.contains(wrong), "{problem}");
    }
}
