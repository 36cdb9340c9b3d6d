//! How many parts a second a mapping of 20 fields with 5 expressions and a condition maps, on one core.
//!
//! `cargo bench --bench mapping [PARTS]`

// What fails here has failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use orgbridge::config;
use orgbridge::event::{ChangeKind, Field, Fields, Header, Part, RecordChange, RecordId, Seq, Timestamp, Value};
use orgbridge::mapping::{Known, LinkState, Mapped, Mapping, Replies};
use orgbridge::publish::{Cover, Source};
use orgbridge::store::PipelineId;
use tokio::time::Instant;

const CONFIG: &str = r#"
version: 1
orgs:
  a: { login_url: "http://127.0.0.1:1", client_credentials: { key: k, secret: s } }
  b: { login_url: "http://127.0.0.1:2", client_credentials: { key: k, secret: s } }
pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    when: Industry != "Test" && change.client != "Loader"
    fields:
      Key__c: Id
      Name: Name
      Phone: Phone
      Fax: Fax
      Website: Website
      Description: { from: Description, truncate: 200 }
      BillingStreet: BillingAddress.Street
      BillingCity: BillingAddress.City
      BillingCountry: BillingAddress.Country
      NumberOfEmployees: NumberOfEmployees
      AnnualRevenue: AnnualRevenue
      Rating: { from: Rating, table: { Hot: Heiss, Warm: Warm, Cold: Kalt }, default: Warm }
      Region__c: { value: EMEA }
      Site: { from: Site, on_null: skip }
      ParentId: { parent: accounts, from: ParentId }
      Search_Name__c: { cel: upper(Name) }
      Size__c: { cel: 'NumberOfEmployees >= 1000 ? "Large" : "Small"' }
      Revenue_Gross__c: { cel: 'round(AnnualRevenue * 1.19, 2)' }
      Label__c: { cel: 'Name + " (" + default(BillingAddress.City, "-") + ")"' }
      Changed_By__c: { cel: change.user }
"#;

fn record(n: u64) -> RecordId {
    format!("001{n:012}").parse().unwrap()
}

fn part(n: u64, kind: ChangeKind, fields: &[(&str, Field)]) -> Part {
    let header = Header {
        entity_name: "Account".parse().unwrap(),
        record_ids: vec![record(n)],
        wildcard: false,
        change_type: kind,
        change_origin: "com/salesforce/api/rest/66.0;client=Portal".to_owned(),
        transaction_key: n.to_string(),
        sequence_number: 1,
        commit_timestamp: Timestamp(1_700_000_000_000),
        commit_number: 1,
        commit_user: "005000000000001AAA".to_owned(),
    };
    let fields: Fields = fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect();
    Part { seq: Seq(n), record: record(n), change: Arc::new(RecordChange { header, fields }) }
}

fn main() {
    let parts: u64 = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(200_000);
    let config = config::parse(CONFIG, Path::new("bench.yaml"), &|_| None, &|_| unreachable!()).unwrap();
    let mapping = Mapping::new(&config.pipelines[0], &config);
    let text = |text: &str| Field::New(Value::text(text));
    let number = |text: &str| Field::New(Value::Number(text.parse().unwrap()));
    let address = [("Street", "Marktgasse 1"), ("City", "Bern"), ("Country", "Switzerland")];
    let address = Value::Compound(address.map(|(part, value)| (part.to_owned(), Value::text(value))).into());
    let whole = [
        ("Name", text("Acme Corporation")),
        ("Phone", text("+41 31 000 00 00")),
        ("Industry", text("Banking")),
        ("Description", text(&"long ".repeat(100))),
        ("BillingAddress", Field::New(address)),
        ("NumberOfEmployees", number("1200")),
        ("AnnualRevenue", number("1234567.89")),
        ("Rating", text("Hot")),
        ("ParentId", text("001000000000007AAA")),
    ];
    let industry = ("Industry", Field::Same(Value::text("Banking")));
    let changed = [("Phone", text("+41 31 000 00 01")), ("AnnualRevenue", number("2345678.90")), industry];
    let parents = HashMap::new();
    for (what, kind, fields, link) in [
        ("new records", ChangeKind::Create, &whole[..], LinkState::None),
        ("changes of two fields", ChangeKind::Update, &changed[..], LinkState::Linked(record(1))),
    ] {
        let all: Vec<Part> = (0..1_000).map(|n| part(n, kind, fields)).collect();
        let known = Known { link, parents: &parents, replies: &Replies::new() };
        let mut written = 0_u64;
        let started = Instant::now();
        for part in all.iter().cycle().take(usize::try_from(parts).unwrap()) {
            let source = Source { pipeline: PipelineId(1), record: part.record };
            let cover = Cover { source, from: part.seq, to: part.seq, clears_suspect: false };
            written += u64::from(matches!(black_box(mapping.apply(black_box(part), &known, cover)), Mapped::Write(_)));
        }
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(written, parts, "each of them is written");
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = parts as f64 / seconds;
        println!("mapped parts a second, 20 fields with 5 expressions, {what}: {rate:.0}");
    }
}
