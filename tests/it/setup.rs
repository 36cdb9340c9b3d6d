//! What a bridge learns of an org before records flow, asked of the emulated org.

use std::collections::BTreeSet;

use orgbridge::config::{Login, OrgConfig};
use orgbridge::event::{FieldName, ObjectName};
use orgbridge::org::Org;
use orgbridge::org::describe::{Computed, FieldKind};
use orgbridge::org::setup::{Asked, AutomationKind, Sharing, UserKey};
use secrecy::SecretString;
use serde_json::json;

use crate::support::World;

fn object(name: &str) -> ObjectName {
    name.parse().unwrap()
}

fn field(name: &str) -> FieldName {
    name.parse().unwrap()
}

fn source(world: &World) -> Org {
    world.orgs[&"source".parse().unwrap()].clone()
}

fn known<T>(asked: Asked<T>) -> T {
    match asked {
        Asked::Known(answer) => answer,
        Asked::Unknown(reason) => panic!("{reason}"),
    }
}

#[tokio::test]
async fn the_describe_of_an_org_tells_kinds_keys_compounds_and_what_is_required() {
    let world = World::new().await;
    let org = source(&world);
    let invoice = org.describe(&object("Invoice__c")).await.unwrap();
    let kind = |name: &str| invoice.named(name).unwrap().kind.clone();
    assert_eq!(kind("Amount__c"), FieldKind::Currency { precision: 18, scale: 2 });
    assert_eq!(kind("Weight__c"), FieldKind::Number { precision: 18, scale: 6 });
    assert_eq!((kind("Rich__c"), kind("Long__c")), (FieldKind::RichText, FieldKind::TextArea));
    assert_eq!((kind("Name"), kind("Secret__c")), (FieldKind::AutoNumber, FieldKind::Encrypted));
    let status = kind("Status__c").picklist().cloned().unwrap();
    assert!(status.restricted && status.takes("Paid") && !status.takes("Lost"));
    let computed = |name: &str| invoice.named(name).unwrap().computed;
    assert_eq!((computed("Summary__c"), computed("Total__c")), (Some(Computed::Formula), Some(Computed::RollUp)));
    let place: Vec<_> = invoice.components_of(&field("Place__c")).iter().map(|part| part.name.as_str()).collect();
    assert_eq!(place, ["Place__Latitude__s", "Place__Longitude__s"]);
    let key = invoice.named("ext__C").unwrap();
    assert!(key.is_unique_key() && key.external_id && key.case_sensitive && key.length == Some(40));
    let mark = invoice.named("Birth_Mark__c").unwrap();
    assert!(mark.createable && !mark.updateable);
    assert_eq!(invoice.closest("Amout__c"), Some(&field("Amount__c")));

    let line = org.describe(&object("Invoice_Line__c")).await.unwrap();
    assert!(line.named("Invoice__c").unwrap().is_master_detail());
    assert!(invoice.children.iter().any(|child| child.field == field("Invoice__c") && child.cascade_delete));
    let contact = org.describe(&object("Contact")).await.unwrap();
    assert_eq!(contact.named("Name").unwrap().kind, FieldKind::PersonName);
    let required: Vec<_> = contact.required_on_create().map(|field| field.name.as_str()).collect();
    assert_eq!(required, ["LastName"]);
    assert_eq!(contact.relationship("account").unwrap().name, field("AccountId"));
    let case = org.describe(&object("Case")).await.unwrap();
    let owner = case.named("OwnerId").unwrap().kind.reference().cloned().unwrap();
    assert!(owner.polymorphic && owner.leads_to("Group") && owner.leads_to("User"));
    let account = org.describe(&object("Account")).await.unwrap();
    assert!(account.record_type("Business").unwrap().default && !account.is_person_account_enabled());

    let all = org.describe_global().await.unwrap();
    assert_eq!(all.closest("Acount"), Some(&object("Account")));
    assert_eq!(all.object("invoice__c").unwrap().key_prefix.as_deref(), Some("a00"));
}

#[tokio::test]
async fn a_describe_that_is_known_follows_the_org_when_it_is_asked_again() {
    let world = World::new().await;
    let org = source(&world);
    let account = object("Account");
    let access = |access: &str| json!({"user": "integration@source.example.com", "object": "Account", "field": "Industry", "access": access});
    let before = org.describe(&account).await.unwrap();
    world.control(world.source(), "access", access("none")).await;
    assert!(org.describe(&account).await.unwrap().has("Industry"), "from memory");
    assert!(!org.refresh_describe(&account).await.unwrap().has("Industry"));
    world.control(world.source(), "access", access("edit")).await;
    org.forget_describe(&account);
    let after = org.describe(&account).await.unwrap();
    assert_eq!(before, after);
    assert!(org.describe(&object("Nope__c")).await.is_err());
}

#[tokio::test]
async fn channels_are_told_with_members_filters_and_enriched_fields() {
    let world = World::new().await;
    let capture = known(source(&world).capture().await.unwrap());
    let sales = "/data/SalesEvents__chn".parse().unwrap();
    let member = capture.member(&sales, &object("Account")).unwrap();
    assert_eq!(member.enriched, BTreeSet::from(["Industry".to_owned(), "Source_Id__c".to_owned()]));
    assert!(capture.member(&sales, &object("Contact")).is_none());
    let alone = "/data/ContactChangeEvent".parse().unwrap();
    assert!(capture.member(&alone, &object("Contact")).is_some());
    assert!(capture.objects().contains(&object("Invoice__c")) && !capture.objects().contains(&object("Vault__c")));
}

#[tokio::test]
async fn people_queues_record_types_and_the_org_itself_are_told() {
    let world = World::new().await;
    let org = source(&world);
    let users = known(org.users(UserKey::FederationId, ["olga", "nobody"]).await.unwrap());
    assert!(matches!(users.get("Olga"), [user] if user.active) && users.get("nobody").is_empty());
    let olga = users.get("olga")[0].id;
    let users = known(org.users(UserKey::Username, ["nils@source.example.com"]).await.unwrap());
    assert!(matches!(users.get("NILS@source.example.com"), [user] if !user.active));
    let users = known(org.users(UserKey::Id, [olga.as_str()]).await.unwrap());
    assert_eq!(users.get(&olga.as_str()[..15]).len(), 1);

    let queues = known(org.queues().await.unwrap());
    let support = queues.iter().find(|queue| queue.developer_name == "Support").unwrap();
    assert!(support.may_own(&object("Case")) && !support.may_own(&object("Account")));

    let types = known(org.record_types(&object("Account")).await.unwrap());
    let types: Vec<_> = types.iter().map(|one| (one.developer_name.as_str(), one.active)).collect();
    assert_eq!(types, [("Business", true), ("Household", true)]);

    let organization = known(org.organization().await.unwrap());
    assert_eq!(organization.id, world.source().org_id);
    assert_eq!(organization.edition.as_deref(), Some("Enterprise Edition"));
    assert_eq!((organization.multi_currency, organization.person_accounts), (false, Some(false)));
    assert_eq!(known(org.currencies().await.unwrap()), []);
    assert_eq!(org.default_currency().await.unwrap().as_deref(), Some("EUR"));
}

#[tokio::test]
async fn permissions_of_the_bridges_own_user_are_told() {
    let world = World::new().await;
    let (running, of_the_bridge) = (world.source(), &world.config.orgs[&"source".parse().unwrap()]);
    let apps = json!([
        {"consumer_key": running.client_id, "consumer_secret": running.client_secret},
        {"consumer_key": "limited", "consumer_secret": "limited-secret",
            "client_credentials_user": "limited@source.example.com"}]);
    world.control(running, "apps", apps).await;
    let login = Login::ClientCredentials { key: "limited".to_owned(), secret: SecretString::from("limited-secret") };
    let limited = Org::new(OrgConfig { login, ..of_the_bridge.clone() }).unwrap();
    let (account, vault, lead) = (object("Account"), object("Vault__c"), object("Lead"));
    for (org, all) in [(source(&world), true), (limited, false)] {
        let system = known(org.system_permissions().await.unwrap());
        assert_eq!((system.view_all_data, system.modify_all_data), (Some(all), Some(all)));
        assert_eq!((system.api_enabled, system.view_setup), (Some(true), Some(true)));
        let objects = known(org.object_permissions(&[account.clone(), vault.clone(), lead.clone()]).await.unwrap());
        assert!(objects[&account].read && objects[&account].edit && objects[&vault].delete);
        assert_eq!((objects[&account].create, objects[&lead].read), (all, all));
        assert_eq!((objects[&vault].view_all, objects[&vault].modify_all), (all, all));
        let fields = known(org.field_permissions(&account).await.unwrap());
        assert_eq!(fields[&field("Industry")].edit, all);
        assert_eq!(fields.contains_key(&field("AnnualRevenue")), all);
        assert!(fields[&field("Phone")].edit);
        // It does not exist, or it is hidden: Setup tells which.
        let custom = known(org.custom_fields(&account).await.unwrap());
        assert!(custom.contains(&field("Source_Id__c")) && !custom.contains(&field("Nope__c")));
    }
    let org = source(&world);
    let entities = known(org.entities(&[account, vault, object("Invoice_Line__c")]).await.unwrap());
    let sharing = |name: &str| entities.iter().find(|one| one.name == object(name)).unwrap().sharing.clone();
    assert_eq!(sharing("Account"), Some(Sharing::ReadWrite));
    assert_eq!(sharing("Vault__c"), Some(Sharing::Private));
    assert_eq!(sharing("Invoice_Line__c"), Some(Sharing::ControlledByParent));
}

#[tokio::test]
async fn automation_on_the_objects_that_are_written_is_listed() {
    let world = World::new().await;
    let found = source(&world).automation(&["Account", "Contact", "Case"].map(object)).await.unwrap();
    let of = |kind| {
        let listed = known(found[&kind].clone()).into_iter();
        listed.map(|one| format!("{} {}", one.object, one.name)).collect::<Vec<_>>()
    };
    assert_eq!(
        of(AutomationKind::Trigger),
        ["Account AccountTrigger", "Account WebsiteTrigger", "Account PoisonTrigger", "Contact ContactTrigger"]
    );
    assert_eq!(
        of(AutomationKind::Flow),
        ["Account Account_Segment_Small", "Account Account_Segment_Large", "Account Account_Review"]
    );
    assert_eq!(of(AutomationKind::ValidationRule), ["Account Customer_Needs_Phone"]);
    assert_eq!(of(AutomationKind::DuplicateRule), ["Contact Standard_Contact_Duplicate_Rule"]);
    assert_eq!(of(AutomationKind::AssignmentRule), ["Case Case Assignment"]);
    assert!(of(AutomationKind::WorkflowRule).is_empty());
}
