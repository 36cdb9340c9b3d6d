//! The part of the Tooling API that shows and changes what is set up for events.

use serde_json::{Value as Json, json};

use super::World;

impl World {
    async fn tooling(&self, soql: &str) -> Vec<Json> {
        let answer = self.request("GET", "tooling/query/").query(&[("q", soql)]).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Json>().await.unwrap());
        assert_eq!(status, 200, "{body}");
        assert_eq!((&body["done"], &body["totalSize"]), (&json!(true), &body["size"]));
        body["records"].as_array().unwrap().clone()
    }

    async fn selected(&self) -> Vec<String> {
        let soql = "SELECT SelectedEntity FROM PlatformEventChannelMember WHERE EventChannel = 'ChangeEvents'";
        let rows = self.tooling(soql).await;
        rows.iter().map(|row| row["SelectedEntity"].as_str().unwrap().to_owned()).collect()
    }
}

const MEMBER: &str = "tooling/sobjects/PlatformEventChannelMember";

#[tokio::test]
async fn objects_with_change_events_are_members_of_the_standard_channel() {
    let world = World::new().await;
    let selected = world.selected().await;
    assert!(selected.contains(&"AccountChangeEvent".into()) && selected.contains(&"Invoice__ChangeEvent".into()));
    assert!(!selected.contains(&"Vault__ChangeEvent".into()));
    let rows = world
        .tooling("SELECT Id, DeveloperName, FilterExpression FROM PlatformEventChannelMember WHERE SelectedEntity = 'AccountChangeEvent' AND EventChannel = 'ChangeEvents'")
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["DeveloperName"], &rows[0]["FilterExpression"]),
        (&json!("ChangeEvents_AccountChangeEvent"), &Json::Null)
    );
    let id = rows[0]["Id"].as_str().unwrap();
    assert_eq!(rows[0]["attributes"]["url"], format!("/services/data/v66.0/{MEMBER}/{id}"));
}

#[tokio::test]
async fn custom_channels_their_members_and_enriched_fields_are_rows() {
    let world = World::new().await;
    let channels = world.tooling("SELECT Id, DeveloperName, ChannelType, MasterLabel FROM PlatformEventChannel").await;
    assert_eq!(channels.len(), 1);
    assert_eq!((&channels[0]["ChannelType"], &channels[0]["MasterLabel"]), (&json!("data"), &json!("Sales events")));
    let channel = channels[0]["Id"].as_str().unwrap();
    let soql = format!("SELECT Id, SelectedEntity FROM PlatformEventChannelMember WHERE EventChannel = '{channel}'");
    let members = world.tooling(&soql).await;
    let entities: Vec<&Json> = members.iter().map(|member| &member["SelectedEntity"]).collect();
    assert_eq!(entities, [&json!("AccountChangeEvent"), &json!("OpportunityChangeEvent")]);
    let member = members[0]["Id"].as_str().unwrap();
    let soql = format!("SELECT ChannelMemberId, Field FROM EnrichedField WHERE ChannelMemberId = '{}'", &member[..15]);
    let fields = world.tooling(&soql).await;
    assert_eq!((fields.len(), &fields[1]["Field"]), (2, &json!("Industry")));
    let custom = fields[0]["Field"].as_str().unwrap();
    let soql = format!("SELECT DeveloperName, TableEnumOrId FROM CustomField WHERE Id = '{custom}'");
    let found = world.tooling(&soql).await;
    assert_eq!((&found[0]["DeveloperName"], &found[0]["TableEnumOrId"]), (&json!("Source_Id"), &json!("Account")));
}

#[tokio::test]
async fn entities_and_fields_are_rows() {
    let world = World::new().await;
    let soql = "SELECT QualifiedApiName, KeyPrefix, Label, DurableId FROM EntityDefinition WHERE QualifiedApiName IN ('account', 'Invoice__c')";
    let rows = world.tooling(soql).await;
    assert_eq!((&rows[0]["KeyPrefix"], &rows[0]["DurableId"]), (&json!("001"), &json!("Account")));
    let id = rows[1]["DurableId"].as_str().unwrap();
    assert!(id.starts_with("01I"));
    let rows = world.tooling(&format!("SELECT DeveloperName FROM CustomField WHERE TableEnumOrId = '{id}'")).await;
    assert!(rows.iter().any(|row| row["DeveloperName"] == "Ext"));
    let soql =
        "SELECT QualifiedApiName FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Vault__c' LIMIT 3";
    assert_eq!(world.tooling(soql).await.len(), 3);
    let count = world.tooling("SELECT COUNT_DISTINCT(EventChannel) FROM PlatformEventChannelMember").await;
    assert_eq!(count, [json!({"attributes": {"type": "AggregateResult"}, "expr0": 2})]);
    let count = world.ok("GET", "tooling/query?q=SELECT+COUNT()+FROM+PlatformEventChannel", Json::Null).await;
    assert_eq!((&count["totalSize"], &count["records"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn what_is_no_query_here_is_refused() {
    let world = World::new().await;
    for (soql, code) in [
        ("SELECT Nope FROM PlatformEventChannel", "INVALID_FIELD"),
        ("SELECT Id FROM PlatformEventChannel WHERE Nope = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Account", "INVALID_TYPE"),
        ("SELECT Id", "MALFORMED_QUERY"),
    ] {
        let answer = world.request("GET", "tooling/query").query(&[("q", soql)]).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Json>().await.unwrap());
        assert_eq!((status.as_u16(), &body[0]["errorCode"]), (400, &json!(code)), "{soql}");
    }
}

#[tokio::test]
async fn a_member_of_the_standard_channel_makes_its_object_send_events() {
    let world = World::new().await;
    let body = json!({"FullName": "ChangeEvents_Vault__ChangeEvent",
        "Metadata": {"eventChannel": "ChangeEvents", "selectedEntity": "Vault__ChangeEvent"}});
    world.ok("POST", "sobjects/Vault__c", json!({"Name": "before"})).await;
    assert_eq!(world.events().len(), 0);
    let (status, made) = world.call("POST", MEMBER, body.clone()).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made, json!({"id": id, "success": true, "errors": [], "warnings": [], "infos": []}));
    assert!(id.starts_with("0v8"));
    assert!(world.selected().await.contains(&"Vault__ChangeEvent".into()));
    world.ok("POST", "sobjects/Vault__c", json!({"Name": "now"})).await;
    assert_eq!(world.events().len(), 1);
    let (status, again) = world.call("POST", MEMBER, body).await;
    assert_eq!((status, &again[0]["errorCode"]), (400, &json!("DUPLICATE_VALUE")));
    assert_eq!(world.call("DELETE", &format!("{MEMBER}/{id}"), Json::Null).await, (204, Json::Null));
    world.ok("POST", "sobjects/Vault__c", json!({"Name": "after"})).await;
    assert_eq!(world.events().len(), 1);
    assert_eq!(world.call("DELETE", &format!("{MEMBER}/{id}"), Json::Null).await.0, 404);
}

#[tokio::test]
async fn enrichment_and_filter_of_a_member_can_be_changed_and_nothing_else() {
    let world = World::new().await;
    let member = |entity: &str, fields: &[&str], filter: &str| {
        let fields: Vec<Json> = fields.iter().map(|name| json!({"name": name})).collect();
        json!({"FullName": format!("SalesEvents_chn_{entity}"), "Metadata": {"eventChannel": "SalesEvents__chn",
            "selectedEntity": entity, "enrichedFields": fields, "filterExpression": filter}})
    };
    let made = world.ok("POST", MEMBER, member("ContactChangeEvent", &["Email"], "")).await;
    let path = format!("{MEMBER}/{}", made["id"].as_str().unwrap());
    let change = member("ContactChangeEvent", &["Title", "Source_Id__c"], "Title = 'Boss'");
    assert_eq!(world.call("PATCH", &path, change).await, (204, Json::Null));
    let row = world.ok("GET", &path, Json::Null).await;
    assert_eq!(row["FilterExpression"], "Title = 'Boss'");
    assert_eq!(row["Metadata"]["enrichedFields"], json!([{"name": "Title"}, {"name": "Source_Id__c"}]));
    for wrong in [
        member("LeadChangeEvent", &[], ""),
        member("ContactChangeEvent", &["Nope"], ""),
        member("ContactChangeEvent", &["Description"], ""),
        member("ContactChangeEvent", &[], "Title = "),
    ] {
        let (status, body) = world.call("PATCH", &path, wrong.clone()).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("FIELD_INTEGRITY_EXCEPTION")), "{wrong}");
    }
    let unknown = json!({"Metadata": {"eventChannel": "Nope__chn", "selectedEntity": "AccountChangeEvent"}});
    assert_eq!(world.call("POST", MEMBER, unknown).await.0, 400);
    let channel = json!({"FullName": "Orders__chn", "Metadata": {"channelType": "event", "label": "Orders"}});
    world.ok("POST", "tooling/sobjects/PlatformEventChannel", channel).await;
    let event = |entity: &str| json!({"Metadata": {"eventChannel": "Orders__chn", "selectedEntity": entity}});
    world.ok("POST", MEMBER, event("Order_Shipped__e")).await;
    assert_eq!(world.call("POST", MEMBER, event("AccountChangeEvent")).await.0, 400);
}
