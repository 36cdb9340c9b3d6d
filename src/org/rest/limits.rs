//! What an org may still be asked for (facts: rest.md section 14).

use serde_json::Value;

use super::super::Org;
use super::super::error::CallError;

/// How much there may be of something, and how much of that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub max: u64,
    pub remaining: u64,
}

impl Quota {
    pub fn used(self) -> u64 {
        self.max.saturating_sub(self.remaining)
    }

    fn read(answer: &Value, name: &str) -> Option<Self> {
        let limit = answer.get(name)?;
        let number = |name| limit.get(name).and_then(Value::as_u64);
        Some(Self { max: number("Max")?, remaining: number("Remaining")? })
    }
}

/// The limits of an org that the bridge lives by. An org lists only those that it has. They are at most five minutes old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `DailyApiRequests`: calls of 24 hours, by all clients.
    pub api_requests: Option<Quota>,
    /// `DailyDeliveredPlatformEvents`: events that subscribers are delivered, change events among them.
    pub deliveries: Option<Quota>,
}

impl Org {
    /// `GET /limits/`. It wants the permission 'View Setup and Configuration'.
    pub async fn limits(&self) -> Result<Limits, CallError> {
        let answer = self.get("limits/").await?;
        let quota = |name| Quota::read(&answer, name);
        Ok(Limits { api_requests: quota("DailyApiRequests"), deliveries: quota("DailyDeliveredPlatformEvents") })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::testing::{Reply, ScriptedOrg};
    use super::*;

    #[tokio::test]
    async fn limits_are_read_and_what_an_org_does_not_list_it_does_not_have() {
        let answer = json!({
            "DailyApiRequests": {"Max": 100_000, "Remaining": 89_982, "Some App": {"Max": 0, "Remaining": 0}},
            "DailyDeliveredPlatformEvents": {"Max": "many"},
        });
        let server = ScriptedOrg::start(move |_| Reply::json(200, &answer)).await;
        let limits = server.org().limits().await.unwrap();
        assert_eq!(limits.api_requests, Some(Quota { max: 100_000, remaining: 89_982 }));
        assert_eq!(limits.api_requests.unwrap().used(), 10_018);
        assert_eq!(limits.deliveries, None);
        assert_eq!(server.calls()[0].target, "/services/data/v66.0/limits/");
    }

    #[tokio::test]
    async fn that_the_calls_of_a_day_are_spent_is_known_until_one_is_accepted_again() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let calls = AtomicUsize::new(0);
        let server = ScriptedOrg::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            1 => {
                let message = "TotalRequests Limit exceeded.";
                Reply::json(403, &json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message}]))
                    .with("sforce-limit-info", "api-usage=5000/5000")
            }
            _ => Reply::json(200, &json!({})).with("sforce-limit-info", "api-usage=4000/5000"),
        })
        .await;
        let org = server.org();
        let mut seen = Vec::new();
        for _ in 0..3 {
            drop(org.limits().await);
            seen.push((org.api_usage().unwrap().used, org.refuses_for_today()));
        }
        assert_eq!(seen, [(4_000, false), (5_000, true), (4_000, false)]);
    }
}
