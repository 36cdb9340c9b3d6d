//! What the org may still be asked for: calls in any 24 hours, and the figures of `/limits` (rest.md section 14).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, not_allowed, not_found};
use crate::host::Host;
use crate::org::ObjectKind;
use crate::org::time::HOUR;
use crate::scenario::HOURLY_EVENTS;
use crate::wire::Answer;

/// An edition with many licences has at least so many calls.
const DAILY_CALLS: u64 = 100_000;
/// What the larger editions deliver (setup-metadata.md section 2).
const DAILY_DELIVERIES: u64 = 50_000;
const HOURS: i64 = 24;
/// The room that records take, whatever is in them.
const RECORD_KB: u64 = 2;

/// What there was of something in the last 24 hours, by the hour, and how much there may be.
#[derive(Debug)]
pub struct Usage {
    pub daily: u64,
    by_hour: BTreeMap<i64, u64>,
}

impl Usage {
    pub fn new(daily: Option<u64>) -> Self {
        Self { daily: daily.unwrap_or(DAILY_CALLS), by_hour: BTreeMap::new() }
    }

    /// So many more.
    pub fn count(&mut self, now: i64, number: u64) {
        let hour = now.div_euclid(HOUR);
        *self.by_hour.entry(hour).or_default() += number;
        self.by_hour.retain(|past, _| *past > hour - HOURS);
    }

    /// Those of the last 24 hours.
    pub fn used(&self, now: i64) -> u64 {
        self.by_hour.range(now.div_euclid(HOUR) - HOURS + 1..).map(|(_, calls)| calls).sum()
    }

    /// Whether there may be no more.
    pub fn spent(&self, now: i64) -> bool {
        self.used(now) >= self.daily
    }

    /// `Sforce-Limit-Info`.
    pub fn header(&self, now: i64) -> String {
        format!("api-usage={}/{}", self.used(now), self.daily)
    }
}

/// The answer once the calls of a day are spent.
pub fn exceeded() -> Answer {
    Answer::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}

pub(super) fn handle(context: &Context, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    if !matches!(request.call.method.as_str(), "GET" | "HEAD") {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    match rest {
        [] => Ok(all(context)),
        [word] if word.eq_ignore_ascii_case("recordCount") => Ok(record_count(context, request)),
        _ => Err(not_found()),
    }
}

fn all(context: &Context) -> Answer {
    let host = context.host;
    let (calls, used) = {
        let usage = host.usage();
        (usage.daily, usage.used(context.now))
    };
    let records: usize = context.org.counts().values().sum();
    let stored = u64::try_from(records).unwrap_or(u64::MAX).saturating_mul(RECORD_KB) / 1_024;
    let limits = host.limits().clone();
    let deliverable = limits.daily_delivered_events.unwrap_or(DAILY_DELIVERIES);
    let delivered = host.deliveries().used(context.now);
    let storage = limits.data_storage_mb.unwrap_or(10_240);
    let events = limits.hourly_published_events.unwrap_or(HOURLY_EVENTS);
    let clients = context.clients;
    let mut body = Map::new();
    let mut put = |name: &str, max: u64, used: u64| {
        body.insert(name.into(), json!({"Max": max, "Remaining": max.saturating_sub(used)}));
    };
    put("DailyApiRequests", calls, used);
    put("DataStorageMB", storage, stored);
    put("FileStorageMB", 10_240, 0);
    put("HourlyPublishedPlatformEvents", events, events.saturating_sub(context.org.events_left(context.now)));
    put("HourlyPublishedStandardVolumePlatformEvents", 100_000, 0);
    put("DailyDeliveredPlatformEvents", deliverable, delivered);
    put("DailyStandardVolumePlatformEvents", 25_000, 0);
    put("MonthlyPlatformEventsUsageEntitlement", 0, 0);
    put("DurableStreamingApiConcurrentClients", host.client_limit(), clients);
    put("StreamingApiConcurrentClients", 2_000, 0);
    put("DailyDurableStreamingApiEvents", 1_000_000, 0);
    put("DailyStreamingApiEvents", 1_000_000, 0);
    put("DailyGenericStreamingApiEvents", 10_000, 0);
    put("DailyDurableGenericStreamingApiEvents", 10_000, 0);
    let [batches, query_jobs] = host.bulk().usage(context.now);
    put("DailyBulkApiBatches", batches.0, batches.1);
    put("DailyBulkV2QueryJobs", query_jobs.0, query_jobs.1);
    put("DailyBulkV2QueryFileStorageMB", 976_562, 0);
    put("DailyAsyncApexExecutions", 250_000, 0);
    put("DailyWorkflowEmails", 1_005, 0);
    put("HourlyTimeBasedWorkflow", 1_000, 0);
    put("ConcurrentAsyncGetReportInstances", 200, 0);
    put("ConcurrentSyncReportRuns", 20, 0);
    put("HourlyAsyncReportRuns", 1_200, 0);
    put("HourlySyncReportRuns", 500, 0);
    put("MassEmail", 5_000, 0);
    put("SingleEmail", 5_000, 0);
    let permission_sets = json!({"Max": 1_500, "Remaining": 1_500, "CreateCustom": {"Max": 1_000, "Remaining": 1_000}});
    body.insert("PermissionSets".into(), permission_sets);
    Answer::json(200, &Json::Object(body))
}

/// How many records there are of the objects asked for, or of all; names that nobody knows are left out.
fn record_count(context: &Context, request: &Request) -> Answer {
    let wanted: Option<Vec<&str>> =
        request.call.parameter("sObjects").map(|names| names.split(',').map(str::trim).collect());
    let asked =
        |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|asked| asked.eq_ignore_ascii_case(name)));
    let objects = context.org.schema.objects().filter(|(index, object)| {
        object.kind != ObjectKind::Event && asked(&object.name) && context.org.can_see_object(&request.user, *index)
    });
    let counts = objects.map(|(index, object)| json!({"count": context.org.table(index).live(), "name": object.name}));
    Answer::json(200, &json!({"sObjects": counts.collect::<Vec<_>>()}))
}

/// `/emulator/limits`: what may be, and what was used.
pub fn show(host: &Host) -> Json {
    let now = host.now();
    let limits = host.limits().clone();
    let calls = { host.usage().daily };
    json!({
        "daily_api_requests": calls, "used": host.usage().used(now),
        "daily_delivered_events": limits.daily_delivered_events, "delivered": host.deliveries().used(now),
        "concurrent_clients": host.client_limit(), "clients": host.sessions().count(now),
        "hourly_published_events": host.org().hourly_events, "data_storage_mb": limits.data_storage_mb,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_for_24_hours() {
        let mut usage = Usage::new(Some(3));
        usage.count(0, 1);
        usage.count(HOUR, 1);
        assert_eq!(usage.header(HOUR), "api-usage=2/3");
        usage.count(23 * HOUR, 1);
        assert!(usage.spent(23 * HOUR));
        assert_eq!(usage.used(24 * HOUR), 2);
        assert!(!usage.spent(24 * HOUR));
        assert_eq!(usage.used(60 * HOUR), 0);
    }
}
