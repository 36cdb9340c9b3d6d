//! What changed and what went within a time.

use serde_json::{Value as Json, json};

use crate::org::time;
use crate::tests::World;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

impl World {
    /// The org's time in seconds.
    async fn seconds(&self) -> i64 {
        let answer = self.ok("POST", "/emulator/time", json!({"advance_seconds": 0})).await;
        answer["now_us"].as_i64().unwrap() / time::SECOND
    }

    async fn advance(&self, seconds: i64) {
        self.ok("POST", "/emulator/time", json!({"advance_seconds": seconds})).await;
    }

    async fn replicated(&self, what: &str, start: i64, end: i64) -> (u16, Json) {
        let path = format!("sobjects/Account/{what}/?start={}&end={}", param(start), param(end));
        self.call("GET", &path, Json::Null).await
    }
}

fn param(seconds: i64) -> String {
    time::rest(seconds).replace(".000+0000", "%2B00%3A00")
}

fn minute(seconds: i64) -> i64 {
    seconds - seconds % MINUTE
}

#[tokio::test]
async fn changed_and_deleted_records_are_told_by_full_minutes() {
    let world = World::new().await;
    let make = async |name: &str| {
        world.ok("POST", "sobjects/Account", json!({"Name": name})).await["id"].as_str().unwrap().to_owned()
    };
    let (kept, gone) = (make("A").await, make("B").await);
    let start = minute(world.seconds().await);
    world.advance(2 * MINUTE).await;
    world.ok("DELETE", &format!("sobjects/Account/{gone}"), Json::Null).await;
    let deleted = world.seconds().await;
    world.advance(2 * MINUTE).await;
    let end = minute(world.seconds().await);
    // Seconds of the request are ignored.
    let (status, body) = world.replicated("updated", start + 59, end + 59).await;
    assert_eq!((status, &body), (200, &json!({"ids": [kept], "latestDateCovered": time::rest(end)})));
    let (status, body) = world.replicated("deleted", start, end).await;
    assert_eq!(status, 200);
    let found = &body["deletedRecords"];
    assert_eq!((found.as_array().unwrap().len(), &found[0]["id"]), (1, &json!(gone)));
    let said = chrono::DateTime::parse_from_str(found[0]["deletedDate"].as_str().unwrap(), "%Y-%m-%dT%H:%M:%S%.f%z");
    assert!((said.unwrap().timestamp() - deleted).abs() <= 1);
    assert_eq!(body["latestDateCovered"], time::rest(end));
    // The end is not covered by more than the org's own time.
    let (_, body) = world.replicated("updated", start, end + 60 * MINUTE).await;
    assert!(body["latestDateCovered"].as_str().unwrap() <= time::rest(end + MINUTE).as_str());
    let (_, body) = world.replicated("updated", start + 5 * MINUTE, start + 6 * MINUTE).await;
    assert_eq!(body["ids"], json!([]));
}

#[tokio::test]
async fn a_window_out_of_range_is_refused() {
    let world = World::new().await;
    let now = world.seconds().await;
    for (what, start, end, message) in [
        ("updated", now, now, "endDate must be at least one minute greater than startDate"),
        ("deleted", now, now - DAY, "endDate must be at least one minute greater than startDate"),
        ("updated", now - 30 * DAY - 2 * MINUTE, now, "startDate cannot be more than 30 days ago"),
        ("deleted", now - 15 * DAY - 2 * MINUTE, now, "startDate cannot be more than 15 days ago"),
    ] {
        let (status, body) = world.replicated(what, start, end).await;
        assert_eq!(
            (status, body),
            (400, json!([{"errorCode": "INVALID_REPLICATION_DATE", "message": message}])),
            "{what}"
        );
    }
    assert_eq!(world.replicated("updated", now - 29 * DAY, now).await.0, 200);
    let path = |rest: &str| format!("sobjects/Account/updated{rest}");
    for (rest, code) in [("", "MISSING_ARGUMENT"), ("?start=yesterday&end=today", "INVALID_REPLICATION_DATE")] {
        let (status, body) = world.call("GET", &path(rest), Json::Null).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)));
    }
    let event = format!("sobjects/Order_Shipped__e/updated?start={}&end={}", param(now - DAY), param(now));
    assert_eq!(world.call("GET", &event, Json::Null).await.1[0]["errorCode"], "INVALID_TYPE");
    assert_eq!(world.call("POST", &path(""), json!({})).await.0, 405);
    // A plus that was not encoded.
    let plain = format!("?start={}&end={}", time::rest(now - DAY), time::rest(now));
    assert_eq!(world.call("GET", &path(&plain), Json::Null).await.0, 200);
}

#[tokio::test]
async fn an_emptied_recycle_bin_leaves_a_hole_that_is_told() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    world.ok("DELETE", &format!("sobjects/Account/{id}"), Json::Null).await;
    let start = minute(world.seconds().await);
    world.advance(3 * MINUTE).await;
    assert_eq!(world.org().host.org().empty_recycle_bin(), 1);
    let (status, body) = world.replicated("deleted", start, start + 2 * MINUTE).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_REPLICATION_DATE")));
    world.ok("POST", "/emulator/switches", json!({"early_start_fails": false})).await;
    let (_, body) = world.replicated("deleted", start, start + 2 * MINUTE).await;
    assert_eq!(body["deletedRecords"], json!([]));
    assert!(body["earliestDateAvailable"].as_str().unwrap() > time::rest(start).as_str());
}
