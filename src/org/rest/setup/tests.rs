//! What is asked of an org's set-up, and what becomes of refusals. The emulated org answers in `tests/it/setup.rs`.

use serde_json::{Value as Json, json};

use super::super::super::testing::{Reply, ScriptedOrg, Seen, USER_ID};
use super::*;
use crate::event::{FieldName, ObjectName, RecordId};

/// The query of a request, and whether it went to the Tooling API.
fn asked(seen: &Seen) -> (String, bool) {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let soql = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "q");
    (soql.map(|(_, soql)| soql.into_owned()).unwrap_or_default(), path.contains("/tooling/"))
}

fn rows(rows: Json) -> Reply {
    Reply::json(200, &json!({"totalSize": 0, "done": true, "records": rows}))
}

fn refused(status: u16, code: &str) -> Reply {
    Reply::json(status, &json!([{"errorCode": code, "message": "no"}]))
}

/// An org that answers a query by the first of these that it holds; nothing, to others.
async fn org(answers: Vec<(&'static str, Reply)>) -> ScriptedOrg {
    ScriptedOrg::start(move |seen: &Seen| {
        let (soql, _) = asked(seen);
        let known = answers.iter().find(|(part, _)| soql.contains(part));
        known.map_or_else(|| rows(json!([])), |(_, reply)| reply.clone())
    })
    .await
}

fn names<const N: usize>(names: [&str; N]) -> Vec<ObjectName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_question_that_the_user_may_not_ask_is_unknown_with_what_it_needs() {
    for (status, code) in [
        (400, "INVALID_TYPE"),
        (400, "INVALID_FIELD"),
        (403, "INSUFFICIENT_ACCESS"),
        (404, "NOT_FOUND"),
        (403, "FUNCTIONALITY_NOT_ENABLED"),
        (400, "MALFORMED_QUERY"),
    ] {
        let server = org(vec![("FROM", refused(status, code))]).await;
        let Asked::Unknown(reason) = server.org().capture().await.unwrap() else { panic!("{code}") };
        assert_eq!(
            reason.to_string(),
            format!(
                "the org does not tell ({code}): the bridge's user needs the permission View Setup and Configuration"
            )
        );
    }
}

#[tokio::test]
async fn a_limit_a_token_or_an_org_that_is_down_is_no_answer() {
    for reply in [
        refused(403, "REQUEST_LIMIT_EXCEEDED"),
        refused(403, "API_DISABLED_FOR_ORG"),
        refused(401, "INVALID_SESSION_ID"),
        Reply::text(503, "text/html", "<html>"),
        Reply::text(403, "text/html", "<html>"),
        Reply::Cut,
    ] {
        let server = org(vec![("FROM", reply.clone())]).await;
        let org = server.org();
        assert!(org.queues().await.is_err(), "{reply:?}");
        assert!(org.automation(&names(["Account"])).await.is_err(), "{reply:?}");
    }
}

#[tokio::test]
async fn permissions_of_all_permission_sets_are_one() {
    let row = |object: &str, read: bool, delete: bool| {
        json!({"SobjectType": object, "PermissionsRead": read, "PermissionsDelete": delete,
            "PermissionsCreate": false, "PermissionsEdit": false, "PermissionsViewAllRecords": delete,
            "PermissionsModifyAllRecords": false})
    };
    let objects = json!([row("Account", true, false), row("Account", false, true), row("Other", true, true)]);
    let fields = json!([
        {"Field": "Account.Industry", "PermissionsRead": true, "PermissionsEdit": false},
        {"Field": "Account.Industry", "PermissionsRead": true, "PermissionsEdit": true},
        {"Field": "Account.Phone", "PermissionsRead": true, "PermissionsEdit": false}]);
    let server = org(vec![("FROM ObjectPermissions", rows(objects)), ("FROM FieldPermissions", rows(fields))]).await;
    let org = server.org();
    let wanted = names(["account", "Contact"]);
    let found = org.object_permissions(&wanted).await.unwrap();
    let found = found.known().unwrap();
    let account = ObjectPermissions { read: true, delete: true, view_all: true, ..ObjectPermissions::default() };
    assert_eq!((found[&wanted[0]], found[&wanted[1]]), (account, ObjectPermissions::default()));
    let found = org.field_permissions(&"Account".parse().unwrap()).await.unwrap();
    let found = found.known().unwrap();
    let of = |name: &str| found[&name.parse::<FieldName>().unwrap()];
    assert_eq!(of("Industry"), FieldPermissions { read: true, edit: true });
    assert_eq!(of("Phone"), FieldPermissions { read: true, edit: false });
    let mine = format!("WHERE AssigneeId = '{USER_ID}')");
    assert!(server.calls().iter().all(|call| asked(call).0.contains(&mine)), "only the user's own");
}

#[test]
fn permissions_for_all_data_reach_every_object() {
    let own = ObjectPermissions { read: true, ..ObjectPermissions::default() };
    let with = |view_all_data, modify_all_data| {
        let system = SystemPermissions { view_all_data, modify_all_data, ..SystemPermissions::default() };
        let all = own.within(system);
        (all.view_all, all.modify_all)
    };
    assert_eq!(with(None, None), (false, false));
    assert_eq!(with(Some(true), Some(false)), (true, false));
    assert_eq!(with(Some(false), Some(true)), (true, true));
}

#[tokio::test]
async fn a_permission_that_an_org_does_not_have_hides_no_other() {
    let few = json!([{"PermissionsViewAllData": true, "PermissionsModifyAllData": false}]);
    let server = org(vec![("ViewAllUsers", refused(400, "INVALID_FIELD")), ("UserPermissionAccess", rows(few))]).await;
    let found = server.org().system_permissions().await.unwrap();
    let expected =
        SystemPermissions { view_all_data: Some(true), modify_all_data: Some(false), ..SystemPermissions::default() };
    assert_eq!(found, Asked::Known(expected));
}

#[tokio::test]
async fn users_are_found_by_what_they_are_known_by_and_it_is_not_printed() {
    let (one, two) = ("0055e000001AbCdAAK", "0055e000001AbCeAAK");
    let users = json!([
        {"Id": one, "IsActive": true, "Email": "Jane@Acme.example"},
        {"Id": two, "IsActive": false, "Email": "jane@acme.example"}]);
    let server = org(vec![("WHERE Email IN ('jane@acme.example')", rows(users))]).await;
    let org = server.org();
    let wanted = ["JANE@acme.example", "jane@acme.example", " "];
    let users = org.users(UserKey::Email, wanted).await.unwrap();
    let found = users.known().unwrap().get("jane@ACME.example");
    assert_eq!(
        found.iter().map(|user| (user.id.as_str(), user.active)).collect::<Vec<_>>(),
        [(one, true), (two, false)]
    );
    assert_eq!(users.known().unwrap().get("nobody@acme.example"), []);
    assert!(!format!("{users:?}").to_lowercase().contains("jane"));
    assert_eq!(server.calls().len(), 1);
    // What is no id would make the org refuse all.
    assert_eq!(org.users(UserKey::Id, ["Jane", &one[..15]]).await.unwrap().known().unwrap().get(one), []);
    assert!(asked(&server.calls()[1]).0.ends_with(&format!("WHERE Id IN ('{one}')")));
    org.users(UserKey::Username, []).await.unwrap();
    assert_eq!(server.calls().len(), 2, "nobody is asked for nobody");
}

#[tokio::test]
async fn a_trigger_of_a_custom_object_is_known_by_the_objects_id_of_either_length() {
    let id: RecordId = "01I5e000000AbCd".parse().unwrap();
    let entity =
        json!([{"QualifiedApiName": "Invoice__c", "DurableId": &id.as_str()[..15], "InternalSharingModel": "Private"}]);
    let trigger = json!([
        {"Name": "InvoiceTrigger", "TableEnumOrId": id.as_str(), "UsageBeforeInsert": true, "UsageAfterUpdate": true},
        {"Name": "AccountTrigger", "TableEnumOrId": "Account"},
        {"Name": "Foreign", "TableEnumOrId": "Lead"}]);
    let flow = |name: &str, object: Json| {
        json!({"ApiName": name, "TriggerType": "RecordAfterSave", "RecordTriggerType": "Update",
            "TriggerObjectOrEvent": object})
    };
    let flows = json!([
        flow("On_Invoice", json!({"QualifiedApiName": "Invoice__c"})),
        flow("On_Lead", json!({"QualifiedApiName": "Lead"})),
        flow("By_Hand", Json::Null)
    ]);
    let server = org(vec![
        ("EntityDefinition WHERE", rows(entity)),
        ("ApexTrigger", rows(trigger)),
        ("FlowDefinitionView", rows(flows)),
        ("ValidationRule", refused(400, "INVALID_TYPE")),
    ])
    .await;
    let found = server.org().automation(&names(["Account", "Invoice__c"])).await.unwrap();
    let of = |kind| {
        let listed = found[&kind].known().unwrap().iter();
        listed
            .map(|one| format!("{} {} {}", one.object, one.name, one.runs.as_deref().unwrap_or("-")))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(AutomationKind::Trigger),
        ["Invoice__c InvoiceTrigger before insert, after update", "Account AccountTrigger -"]
    );
    assert_eq!(of(AutomationKind::Flow), ["Invoice__c On_Invoice RecordAfterSave Update"]);
    assert!(found[&AutomationKind::ValidationRule].known().is_none() && of(AutomationKind::DuplicateRule).is_empty());
    let triggers = server.calls().into_iter().map(|call| asked(&call)).find(|(soql, _)| soql.contains("ApexTrigger"));
    let (soql, tooling) = triggers.unwrap();
    assert!(tooling && soql.ends_with(&format!("IN ('Account','Invoice__c','{}')", &id.as_str()[..15])), "{soql}");
}

#[tokio::test]
async fn channels_carry_their_members_and_enriched_fields_have_names() {
    let channels = json!([
        {"Id": "0YLRM000000004m4AA", "DeveloperName": "SalesEvents", "ChannelType": "data"},
        {"Id": "0YLRM000000004n4AA", "DeveloperName": "Orders__chn", "ChannelType": "event"}]);
    let member = |id: &str, channel: &str, entity: &str, filter: Json| json!({"Id": id, "EventChannel": channel, "SelectedEntity": entity, "FilterExpression": filter});
    let members = json!([
        member("0v8RM0000004VAKYA2", "0YLRM000000004m", "AccountChangeEvent", json!("Industry = 'Media'")),
        member("0v8RM0000004VALYA2", "ChangeEvents", "AccountChangeEvent", Json::Null),
        member("0v8RM0000004VAMYA2", "ChangeEvents", "Invoice__ChangeEvent", json!("")),
        member("0v8RM0000004VANYA2", "0YLRM000000004n4AA", "Order__e", Json::Null)
    ]);
    let custom: RecordId = "00N5e00000AbCdE".parse().unwrap();
    let enriched = json!([
        {"ChannelMemberId": "0v8RM0000004VAKYA2", "Field": custom.as_str()},
        {"ChannelMemberId": "0v8RM0000004VAKYA2", "Field": "Industry"}]);
    let fields = json!([{"Id": custom.as_str(), "DeveloperName": "Source_Id", "NamespacePrefix": "acme"}]);
    let server = org(vec![
        ("FROM PlatformEventChannelMember", rows(members)),
        ("FROM PlatformEventChannel", rows(channels)),
        ("FROM EnrichedField", rows(enriched)),
        ("FROM CustomField", rows(fields)),
    ])
    .await;
    let capture = server.org().capture().await.unwrap();
    let capture = capture.known().unwrap();
    let channels: Vec<&str> = capture.channels.iter().map(|channel| channel.channel.as_str()).collect();
    assert_eq!(channels, ["/data/ChangeEvents", "/data/SalesEvents__chn"]);
    assert_eq!(capture.objects().into_iter().map(ObjectName::as_str).collect::<Vec<_>>(), ["Account", "Invoice__c"]);
    let [account, invoice] = ["Account", "Invoice__c"].map(|name| name.parse::<ObjectName>().unwrap());
    let of = |channel: &str, object| capture.member(&channel.parse().unwrap(), object);
    let sales = of("/data/SalesEvents__chn", &account).unwrap();
    assert_eq!(sales.filter.as_deref(), Some("Industry = 'Media'"));
    assert_eq!(sales.enriched.iter().collect::<Vec<_>>(), ["Industry", "acme__Source_Id__c"]);
    assert_eq!(of("/data/SalesEvents__chn", &invoice), None);
    assert_eq!(of("/data/Invoice__ChangeEvent", &invoice).unwrap().filter, None);
    assert_eq!(of("/data/Nope__chn", &account), None);
    assert!(capture.channel(&"/data/salesevents__chn".parse().unwrap()).is_some());
}

#[tokio::test]
async fn an_org_counts_in_the_currency_that_it_tells_or_in_its_corporate_one() {
    let of = |objects: Json, answer: Reply| async move {
        let server = ScriptedOrg::start(move |seen: &Seen| match asked(seen).0.is_empty() {
            true => Reply::json(200, &json!({"sobjects": objects})),
            false => answer.clone(),
        })
        .await;
        server.org().default_currency().await.unwrap()
    };
    let one = |value: Json| rows(json!([{"DefaultCurrencyIsoCode": value}]));
    assert_eq!(of(json!([]), one(json!("EUR"))).await.as_deref(), Some("EUR"));
    assert_eq!(of(json!([]), one(Json::Null)).await, None);
    assert_eq!(of(json!([]), refused(400, "INVALID_FIELD")).await, None);
    let currencies = rows(json!([{"IsoCode": "USD", "IsActive": true, "IsCorporate": false},
        {"IsoCode": "CHF", "IsActive": true, "IsCorporate": true}]));
    assert_eq!(of(json!([{"name": "CurrencyType"}]), currencies).await.as_deref(), Some("CHF"));
}

#[tokio::test]
async fn a_record_type_has_its_own_values_of_picklists() {
    let asked = |reply: Reply| async move {
        let server = ScriptedOrg::start(move |_: &Seen| reply.clone()).await;
        let record_type = "012000000000001".parse().unwrap();
        let answer = server.org().picklist_values(&"Case".parse().unwrap(), &record_type).await;
        (answer, server.calls().first().map(|seen| seen.target.clone()))
    };
    let value = |value: Json| json!({"attributes": null, "label": "L", "validFor": [], "value": value});
    let picklist =
        |values: &[Json]| json!({"controllerValues": {}, "defaultValue": null, "url": "/", "values": values});
    let (answer, target) = asked(Reply::json(
        200,
        &json!({"eTag": "x", "picklistFieldValues": {
            "Priority": picklist(&[value(json!("Low")), value(json!("High")), value(Json::Null)]),
            "Tags__c": picklist(&[]), "no name": picklist(&[]), "Broken__c": {}}}),
    ))
    .await;
    assert!(target.unwrap().ends_with("/ui-api/object-info/Case/picklist-values/012000000000001AAA"));
    let Ok(Asked::Known(values)) = answer else { panic!("{answer:?}") };
    let values: Vec<_> =
        values.iter().map(|(name, values)| (name.as_str(), values.iter().collect::<Vec<_>>())).collect();
    let (low, high) = ("Low".to_owned(), "High".to_owned());
    assert_eq!(values, [("Priority", vec![&high, &low]), ("Tags__c", vec![])]);

    for (reply, code) in [
        (refused(403, "INSUFFICIENT_ACCESS"), "INSUFFICIENT_ACCESS"),
        (refused(403, "API_DISABLED_FOR_ORG"), "API_DISABLED_FOR_ORG"),
        (refused(404, "NOT_FOUND"), "NOT_FOUND"),
        (refused(400, "SOMETHING_NEW"), "SOMETHING_NEW"),
    ] {
        let (answer, _) = asked(reply).await;
        assert!(matches!(&answer, Ok(Asked::Unknown(reason)) if reason.code.as_str() == code), "{answer:?}");
    }
    for reply in [refused(403, "REQUEST_LIMIT_EXCEEDED"), refused(401, "INVALID_SESSION_ID"), Reply::Cut] {
        assert!(asked(reply.clone()).await.0.is_err(), "{reply:?}");
    }
}
