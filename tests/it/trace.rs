//! `orgbridge trace`: all that happened to a record, by the id of either side, whether a bridge runs or not.

use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::state::until;
use crate::support::World;

impl Desk {
    /// What happened to a record, as far as the state tells.
    fn kinds(&self, record: &str) -> Vec<String> {
        kinds(&self.json(&["trace", record, "--offline", "--json"]))
    }

    async fn until_last(&self, record: &str, kind: &str, times: usize) {
        let what = format!("{kind}, {times} times");
        until(&what, async || self.kinds(record).iter().filter(|known| *known == kind).count() == times).await;
    }
}

fn kinds(trace: &Json) -> Vec<String> {
    let events = trace["events"].as_array().into_iter().flatten();
    events.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

/// Somebody in the target changes a record there.
async fn change_in_target(world: &World, id: &str, fields: Json) -> String {
    let target = world.target();
    let person = world.control_get(target, "users").await[1]["username"].as_str().unwrap().to_owned();
    world.control(target, "users", json!({"username": person, "password": "new", "api_enabled": true})).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", &*target.client_id),
        ("client_secret", &*target.client_secret),
        ("username", &*person),
        ("password", "new"),
    ];
    let url = format!("{}/services/oauth2/token", target.base_url);
    let text = world.http.post(url).form(&form).send().await.unwrap().text().await.unwrap();
    let token = serde_json::from_str::<Json>(&text).unwrap()["access_token"].as_str().unwrap().to_owned();
    let url = format!("{}/services/data/v66.0/sobjects/Account/{id}", target.base_url);
    let request = world.http.patch(url).bearer_auth(token).header("Content-Type", "application/json");
    let answer = request.body(fields.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    person
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_happened_to_a_record_is_told_in_order_by_the_id_of_either_side() {
    let desk = Desk::new().await;
    let text = std::fs::read_to_string(desk.config()).unwrap();
    let text = text.replacen("    fields:\n", "    when: Rating != \"Cold\"\n    fields:\n", 1);
    std::fs::write(desk.config(), text).unwrap();
    let mut bridge = desk.bridge();
    let world = &desk.world;
    let update = async |id: &str, fields: Json| world.update("Account", vec![(id.to_owned(), fields)]).await;
    assert_eq!(desk.said(&["trace", "001000000000001AAA"]).1, 2, "nothing is known of it");

    let holder = world.create("Account", vec![json!({"Name": "Holder", "Phone": "1"})]).await.remove(0);
    let id = world.create("Account", vec![json!({"Name": "Secret name"})]).await.remove(0);
    desk.until_last(&holder, "created", 1).await;
    desk.until_last(&id, "created", 1).await;
    update(&id, json!({"Name": "Other secret"})).await;
    desk.until_last(&id, "updated", 1).await;
    update(&id, json!({"Rating": "Cold"})).await;
    desk.until_last(&id, "left_out", 1).await;
    update(&id, json!({"Rating": "Warm"})).await;
    desk.until_last(&id, "updated", 2).await;
    update(&id, json!({"Phone": "1"})).await;
    desk.until_last(&id, "failed", 1).await;
    let failed = desk.json(&["trace", &id, "--json"]);
    assert_eq!(failed["outlook"][0]["state"], "failed", "{failed:#}");
    update(&holder, json!({"Phone": "2"})).await;
    desk.until_last(&holder, "updated", 1).await;
    assert_eq!(desk.said(&["failed", "redrive", "--record", &id]).1, 0);
    desk.until_last(&id, "healed", 1).await;
    let in_step = desk.json(&["trace", &id, "--json"]);
    assert_eq!(in_step["outlook"][0]["state"], "in_step", "{in_step:#}");
    let target = in_step["links"][0]["target"].as_str().unwrap().to_owned();

    let person = change_in_target(world, &target, json!({"Description": "by hand"})).await;
    let changed = desk.json(&["trace", &id, "--json"]);
    assert_eq!(changed["outlook"][0]["state"], "changed_in_target", "{person}: {changed:#}");
    let last = changed["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["kind"], "target_change");
    assert_eq!(desk.json(&["trace", &target, "--json"])["events"], changed["events"], "by the id of either side");

    world.delete_in_source(std::slice::from_ref(&id)).await;
    desk.until_last(&id, "deleted", 1).await;
    let expected = [
        "change", "created", "change", "updated", "change", "left_out", "change", "updated", "change", "failed",
        "redriven", "updated", "healed", "change", "deleted",
    ];
    let check = |trace: &Json| {
        assert_eq!(kinds(trace), expected, "{trace:#}");
        let of = |kind: &str| {
            let events = trace["events"].as_array().unwrap().iter();
            events.filter(|event| event["kind"] == kind).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("left_out")[0]["code"], "FILTERED");
        assert_eq!(
            (&of("failed")[0]["code"], &of("failed")[0]["fields"]),
            (&json!("DUPLICATE_VALUE"), &json!(["Emea_Id__c"]))
        );
        let through: Vec<_> = of("updated").iter().map(|event| event["through"].clone()).collect();
        // An event does not tell whether its record meets the condition.
        assert_eq!(through, ["read", "read", "redrive"]);
        assert!(of("updated")[0]["fields"].as_array().unwrap().contains(&json!("Name")));
        assert_eq!(of("deleted")[0]["record"], target.as_str());
        assert_eq!(trace["outlook"][0]["state"], "deleted");
        assert_eq!((&trace["links"][0]["target"], &trace["links"][0]["past"]), (&json!(target), &json!(true)));
        assert!(!trace.to_string().contains("ecret"), "no value is told");
    };
    for record in [&id, &target, &id[..15].to_owned()] {
        check(&desk.json(&["trace", record, "--json"]));
    }
    assert!(bridge.terminate().success());
    for record in [&id, &target] {
        check(&desk.json(&["trace", record, "--json", "--offline"]));
    }
    let (text, code) = desk.said(&["trace", &target, "--values"]);
    assert!(code == 0 && text.contains("Other secret"), "{text}");
    assert!(text.trim_end().ends_with("."), "{text}");
    let (text, _) = desk.said(&["trace", &id, "--since", "2000-01-01T00:00:00Z", "--pipeline", "accounts"]);
    assert!(text.contains("Deleted in both orgs") && !text.contains("ecret"), "{text}");
    let (text, _) = desk.said(&["trace", &id, "--since", "2100-01-01T00:00:00Z"]);
    assert!(text.contains("Nothing that happened to it is known."), "{text}");
}
