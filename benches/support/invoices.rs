//! Records of a custom object, and a config that copies them.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::pair::Pair;

pub const CHANNEL: &str = "/data/Invoice__ChangeEvent";
pub const CONFIG: &str = "
version: 1
publish:
  late_landing: 2s
  bulk_from: off
orgs:
  source:
    login_url: ${BENCH_URL}
    client_credentials: { key: \"${BENCH_KEY}\", secret: \"${BENCH_SECRET}\" }
    pubsub: http://${EMULATOR_PUBSUB}
  target:
    login_url: ${TARGET_URL}
    client_credentials: { key: \"${TARGET_KEY}\", secret: \"${TARGET_SECRET}\" }
pipelines:
  - name: invoices
    from: { org: source, channel: /data/Invoice__ChangeEvent, object: Invoice__c, start: earliest }
    to: { org: target, object: Invoice__c, key: Ext__c }
    fields:
      Ext__c: Id
      Text__c: Text__c
      Paid__c: Paid__c
      Quantity__c: Quantity__c
      Amount__c: Amount__c
      Due__c: Due__c
      Sent__c: Sent__c
      Status__c: Status__c
    brakes: { creates: off }
";
/// Records of one call.
pub const BATCH: usize = 200;

pub fn invoice(n: usize) -> Json {
    json!({
        "attributes": {"type": "Invoice__c"}, "Text__c": format!("Invoice {n}"), "Paid__c": n.is_multiple_of(2),
        "Quantity__c": n % 1_000, "Amount__c": n as f64 + 0.25, "Due__c": format!("2026-03-{:02}", n % 28 + 1),
        "Sent__c": format!("2026-03-01T10:11:{:02}Z", n % 60), "Status__c": "Sent",
    })
}

/// Creates so many records in the source, 200 in a call.
pub async fn create(pair: &Pair, records: usize) -> Result<Vec<String>> {
    let mut ids = Vec::with_capacity(records);
    for first in (0..records).step_by(BATCH) {
        let records: Vec<Json> = (first..records.min(first + BATCH)).map(invoice).collect();
        ids.extend(pair.save(Method::POST, &records).await?);
    }
    Ok(ids)
}
