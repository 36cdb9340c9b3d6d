//! The JSON is compared as text: a field that is renamed, moved or left out is seen.

use std::time::Duration;

use super::*;
use crate::event::{Arrival, Seq, Transport};
use crate::status::{OrgStatus, PipelineStatus, SubscriptionStatus, TargetStatus};
use crate::store::contract::given::{self, NOW, name};
use crate::store::{GapKind, Settlement, Sqlite, SubscriptionId};

/// Every field says something.
pub(crate) fn full() -> Report {
    let text = |text: &str| Some(text.to_owned());
    Report {
        v: 1,
        running: true,
        at: "2026-01-02T03:04:05.000Z".to_owned(),
        orgs: vec![Org {
            name: "source".to_owned(),
            org_id: text("00D000000000001AAA"),
            other_org_id: text("00D000000000009AAA"),
            trouble: text("another org is behind the login"),
            paused: None,
            login_refused: false,
            api: Some(Api {
                used: 98_000,
                limit: 100_000,
                kept: Some(2_000),
                forecast: text("used up at 14:05 UTC at this rate"),
                used_up_at: text("2026-01-02T14:05:00.000Z"),
                waiting_until: text("2026-01-02T03:10:00.000Z"),
                why: text(
                    "waiting for API budget until 03:10 UTC (98,000 of 100,000 calls used in 24 h, 2,000 are kept for others)",
                ),
            }),
            deliveries: Deliveries { own: 1_234, used: Some(4_000), limit: Some(50_000) },
            in_clear: vec![InClear {
                object: "Contact".to_owned(),
                fields: vec!["Email".to_owned()],
                entries: 6,
                text: "6 events stored before the rules of `privacy` may hold Email of Contact".to_owned(),
            }],
        }],
        subscriptions: vec![Subscription {
            org: "source".to_owned(),
            channel: "/data/AccountChangeEvent".to_owned(),
            transport: "pubsub".to_owned(),
            state: text("behind"),
            why: text("Account: 2 changed records of which no event told"),
            last_event: text("2026-01-02T03:03:05.000Z"),
            last_frame: text("2026-01-02T03:04:03.000Z"),
            replay_id: text("00000000000003f2"),
            live_until: text("2026-01-02T03:04:00.000Z"),
            retention_left_seconds: Some(259_195),
            deliveries_today: 1_234,
            journaled: 99,
            undecodable: 3,
            open_gaps: 1,
        }],
        gaps: vec![Gap {
            id: 7,
            org: "source".to_owned(),
            channel: "/data/AccountChangeEvent".to_owned(),
            kind: "records".to_owned(),
            object: text("Account"),
            from: text("2026-01-02T03:00:00.000Z"),
            to: text("2026-01-02T03:00:00.000Z"),
            records: 2,
            text: "the org could not tell what changed: 2 records of Account".to_owned(),
            remedy: "it closes by itself".to_owned(),
        }],
        pipelines: vec![Pipeline {
            name: "accounts".to_owned(),
            source: "source".to_owned(),
            target: "target".to_owned(),
            watermark: 98,
            waiting: Some(5),
            in_flight: Some(4),
            lag_seconds: 61,
            parked: 2,
            failed: 1,
            unfilled: 6,
            left_gone: Some(3),
            changes: Some(3_000),
            api_calls: Some(14),
            kept: Some(7),
            paused: None,
            halted: text("more than 500 deletes in 10m (since 2026-01-02T03:00:00.000Z)"),
            causes: vec![
                Cause { code: "STRING_TOO_LONG".to_owned(), failed: true, records: 1 },
                Cause { code: "PARENT_MISSING".to_owned(), failed: false, records: 2 },
            ],
            trouble: text("the org's data storage is full"),
            feedback: Some(Feedback {
                told: 12,
                refused: 2,
                code: text("FIELD_CUSTOM_VALIDATION_EXCEPTION"),
                trouble: text("no answer"),
            }),
        }],
        digest: Some(Digest { sent_at: text("2026-01-02T02:00:00.000Z"), trouble: text("it answered HTTP 500") }),
        actions: vec![Action {
            name: "tell".to_owned(),
            source: "source".to_owned(),
            object: "Order_Shipped__e".to_owned(),
            watermark: 97,
            waiting: Some(2),
            in_flight: Some(1),
            done: Some(40),
            skipped: Some(60),
            lag_seconds: 5,
            failed: 3,
            halted: None,
            paused: None,
            trouble: text("the org could not be reached"),
        }],
        jobs: vec![Job {
            number: 3,
            pipeline: "accounts".to_owned(),
            kind: "backfill".to_owned(),
            state: "running".to_owned(),
            why: None,
            rows: 12_000,
            total: Some(50_000),
            calls: 8,
            begun: text("2026-01-02T03:04:00.000Z"),
            ended: None,
            rows_per_second: Some(2_400),
            seconds_left: Some(15),
        }],
        verifications: vec![Verification {
            number: 5,
            pipeline: "accounts".to_owned(),
            state: "done".to_owned(),
            why: None,
            sample: None,
            begun: text("2026-01-01T03:00:00.000Z"),
            ended: text("2026-01-01T03:04:00.000Z"),
            differences: 2,
            counts: VerifyCounts {
                total: Some(1_200),
                records: 1_201,
                targets: 1_199,
                equal: 1_150,
                excluded: 48,
                kept: 1,
                different: 1,
                missing: 1,
                source_calls: 3,
                target_calls: 4,
                ..VerifyCounts::default()
            },
        }],
        journal: Journal { events: 12_345, bytes: 7_890_000, whole_since: text("2025-12-03T03:04:05.000Z") },
    }
}

#[test]
fn the_json_of_a_report_stays_as_it_is_promised() {
    let json = serde_json::to_string_pretty(&full()).unwrap();
    assert_eq!(
        json,
        r#"{
  "v": 1,
  "running": true,
  "at": "2026-01-02T03:04:05.000Z",
  "orgs": [
    {
      "name": "source",
      "org_id": "00D000000000001AAA",
      "other_org_id": "00D000000000009AAA",
      "trouble": "another org is behind the login",
      "paused": null,
      "login_refused": false,
      "api": {
        "used": 98000,
        "limit": 100000,
        "kept": 2000,
        "forecast": "used up at 14:05 UTC at this rate",
        "used_up_at": "2026-01-02T14:05:00.000Z",
        "waiting_until": "2026-01-02T03:10:00.000Z",
        "why": "waiting for API budget until 03:10 UTC (98,000 of 100,000 calls used in 24 h, 2,000 are kept for others)"
      },
      "deliveries": {
        "own": 1234,
        "used": 4000,
        "limit": 50000
      },
      "in_clear": [
        {
          "object": "Contact",
          "fields": [
            "Email"
          ],
          "entries": 6,
          "text": "6 events stored before the rules of `privacy` may hold Email of Contact"
        }
      ]
    }
  ],
  "subscriptions": [
    {
      "org": "source",
      "channel": "/data/AccountChangeEvent",
      "transport": "pubsub",
      "state": "behind",
      "why": "Account: 2 changed records of which no event told",
      "last_event": "2026-01-02T03:03:05.000Z",
      "last_frame": "2026-01-02T03:04:03.000Z",
      "replay_id": "00000000000003f2",
      "live_until": "2026-01-02T03:04:00.000Z",
      "retention_left_seconds": 259195,
      "deliveries_today": 1234,
      "journaled": 99,
      "undecodable": 3,
      "open_gaps": 1
    }
  ],
  "gaps": [
    {
      "id": 7,
      "org": "source",
      "channel": "/data/AccountChangeEvent",
      "kind": "records",
      "object": "Account",
      "from": "2026-01-02T03:00:00.000Z",
      "to": "2026-01-02T03:00:00.000Z",
      "records": 2,
      "text": "the org could not tell what changed: 2 records of Account",
      "remedy": "it closes by itself"
    }
  ],
  "pipelines": [
    {
      "name": "accounts",
      "source": "source",
      "target": "target",
      "watermark": 98,
      "waiting": 5,
      "in_flight": 4,
      "lag_seconds": 61,
      "parked": 2,
      "failed": 1,
      "unfilled": 6,
      "left_gone": 3,
      "changes": 3000,
      "api_calls": 14,
      "kept": 7,
      "halted": "more than 500 deletes in 10m (since 2026-01-02T03:00:00.000Z)",
      "paused": null,
      "causes": [
        {
          "code": "STRING_TOO_LONG",
          "failed": true,
          "records": 1
        },
        {
          "code": "PARENT_MISSING",
          "failed": false,
          "records": 2
        }
      ],
      "trouble": "the org's data storage is full",
      "feedback": {
        "told": 12,
        "refused": 2,
        "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "trouble": "no answer"
      }
    }
  ],
  "actions": [
    {
      "name": "tell",
      "source": "source",
      "object": "Order_Shipped__e",
      "watermark": 97,
      "waiting": 2,
      "in_flight": 1,
      "done": 40,
      "skipped": 60,
      "lag_seconds": 5,
      "failed": 3,
      "halted": null,
      "paused": null,
      "trouble": "the org could not be reached"
    }
  ],
  "jobs": [
    {
      "number": 3,
      "pipeline": "accounts",
      "kind": "backfill",
      "state": "running",
      "why": null,
      "rows": 12000,
      "total": 50000,
      "calls": 8,
      "begun": "2026-01-02T03:04:00.000Z",
      "ended": null,
      "rows_per_second": 2400,
      "seconds_left": 15
    }
  ],
  "verifications": [
    {
      "number": 5,
      "pipeline": "accounts",
      "state": "done",
      "why": null,
      "sample": null,
      "begun": "2026-01-01T03:00:00.000Z",
      "ended": "2026-01-01T03:04:00.000Z",
      "differences": 2,
      "counts": {
        "total": 1200,
        "records": 1201,
        "targets": 1199,
        "equal": 1150,
        "excluded": 48,
        "kept": 1,
        "different": 1,
        "missing": 1,
        "extra": 0,
        "failed": 0,
        "changed_in_target": 0,
        "not_accepted": 0,
        "unsettled": 0,
        "source_calls": 3,
        "target_calls": 4,
        "mended": 0
      }
    }
  ],
  "journal": {
    "events": 12345,
    "bytes": 7890000,
    "whole_since": "2025-12-03T03:04:05.000Z"
  },
  "digest": {
    "sent_at": "2026-01-02T02:00:00.000Z",
    "trouble": "it answered HTTP 500"
  }
}"#
    );
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), full());
}

/// One event that was read, and one that names not all its records; one record of it failed, one waits.
async fn store() -> Sqlite {
    let store = Sqlite::in_memory().unwrap();
    store.pin_org(&given::source(), "00D000000000001AAA").await.unwrap();
    let subscription = given::subscribed(&store).await;
    store.start(subscription, Timestamp(NOW.0 - 5_000)).await.unwrap();
    let pipeline = given::accounts(&store).await.id;
    store.received_by(subscription, Transport::Pubsub, NOW).await.unwrap();
    let group = vec![
        given::event(1).arrives(),
        given::event(2).wildcard().arrives(),
        Arrival::Live { until: NOW.plus(SECOND) },
    ];
    store.append(subscription, group, NOW.plus(SECOND)).await.unwrap();
    let park = vec![
        given::failed(pipeline, given::account(1), 1),
        given::waiting(pipeline, given::account(2), 2, given::parent(9)),
    ];
    let watermarks = vec![(pipeline, Seq(1))];
    store.settle(Settlement { park, watermarks, ..Settlement::default() }).await.unwrap();
    store
}

const SECOND: Duration = Duration::from_secs(1);
const GATHERED_AT: Timestamp = Timestamp(NOW.0 + 11_000);

async fn gathered(live: Option<&Status>) -> String {
    let report = Report::gather(&store().await, [given::source(), name("target")], GATHERED_AT, live).await.unwrap();
    serde_json::to_string_pretty(&report).unwrap()
}

#[tokio::test]
async fn without_a_bridge_the_report_is_what_the_state_file_knows() {
    assert_eq!(
        gathered(None).await,
        r#"{
  "v": 1,
  "running": false,
  "at": "2023-11-14T22:13:31.000Z",
  "orgs": [
    {
      "name": "source",
      "org_id": "00D000000000001AAA",
      "other_org_id": null,
      "trouble": null,
      "paused": null,
      "login_refused": false,
      "api": null,
      "deliveries": {
        "own": 2,
        "used": null,
        "limit": null
      },
      "in_clear": []
    },
    {
      "name": "target",
      "org_id": null,
      "other_org_id": null,
      "trouble": null,
      "paused": null,
      "login_refused": false,
      "api": null,
      "deliveries": {
        "own": 0,
        "used": null,
        "limit": null
      },
      "in_clear": []
    }
  ],
  "subscriptions": [
    {
      "org": "source",
      "channel": "/data/ChangeEvents",
      "transport": "pubsub",
      "state": null,
      "why": null,
      "last_event": "2023-11-14T22:13:21.000Z",
      "last_frame": null,
      "replay_id": "2",
      "live_until": "2023-11-14T22:13:21.000Z",
      "retention_left_seconds": 259190,
      "deliveries_today": 2,
      "journaled": 2,
      "undecodable": 0,
      "open_gaps": 1
    }
  ],
  "gaps": [
    {
      "id": 1,
      "org": "source",
      "channel": "/data/ChangeEvents",
      "kind": "wildcard",
      "object": "Account",
      "from": "2023-11-14T22:13:20.002Z",
      "to": "2023-11-14T22:13:20.002Z",
      "records": 0,
      "text": "an event that does not name all its records: Account, at 2023-11-14T22:13:20.002Z",
      "remedy": "it closes by itself: what changed and what was deleted since then is read"
    }
  ],
  "pipelines": [
    {
      "name": "accounts",
      "source": "source",
      "target": "target",
      "watermark": 1,
      "waiting": null,
      "in_flight": null,
      "lag_seconds": 10,
      "parked": 1,
      "failed": 1,
      "unfilled": 0,
      "left_gone": null,
      "changes": null,
      "api_calls": null,
      "kept": null,
      "halted": null,
      "paused": null,
      "causes": [
        {
          "code": "PARENT",
          "failed": false,
          "records": 1
        },
        {
          "code": "STRING_TOO_LONG",
          "failed": true,
          "records": 1
        }
      ],
      "trouble": null,
      "feedback": null
    }
  ],
  "actions": [],
  "jobs": [],
  "verifications": [],
  "journal": {
    "events": 2,
    "bytes": 1321,
    "whole_since": "2023-11-14T22:13:21.000Z"
  },
  "digest": null
}"#
    );
}

fn live(subscription: SubscriptionStatus) -> Status {
    let mut status = Status::default();
    let other = OrgStatus {
        org_id: None,
        other_org_id: Some("00D000000000009AAA".to_owned()),
        trouble: Some("another org is behind the login".to_owned()),
        ..OrgStatus::default()
    };
    status.orgs.insert(given::source(), other);
    status.subscriptions.insert((given::source(), given::channel()), subscription);
    let line = PipelineStatus {
        channel: given::channel(),
        target: name("target"),
        taken: 9,
        waiting: 5,
        in_flight: 4,
        applied: 8,
        parked: 0,
        failed: 0,
        unfilled: 0,
        left_gone: 0,
        kept: 0,
        api_calls: 7,
        watermark: Seq(1),
        halted: None,
        lag: Duration::from_millis(61_900),
    };
    status.pipelines.insert(name("accounts"), line);
    let target = TargetStatus { caught_up: false, suspect: 0, trouble: Some("the storage is full".to_owned()) };
    status.targets.insert(name("target"), target);
    status
}

#[tokio::test]
async fn a_running_bridge_adds_to_the_state_file_what_it_alone_knows() {
    let subscription = SubscriptionStatus {
        state: State::Live,
        behind: Some("Account: 2 changed records of which no event told".to_owned()),
        transport: Some(Transport::Cometd),
        undecodable: 3,
        last_event: Some(NOW.plus(9 * SECOND)),
        last_frame: Some(NOW.plus(10 * SECOND)),
        ..SubscriptionStatus::default()
    };
    let (without, with) = (gathered(None).await, gathered(Some(&live(subscription))).await);
    let added: Vec<&str> = with
        .lines()
        .zip(without.lines())
        .filter(|(with, without)| with != without)
        .map(|(with, _)| with.trim())
        .collect();
    assert_eq!(with.lines().count(), without.lines().count());
    assert_eq!(
        added,
        [
            r#""running": true,"#,
            r#""other_org_id": "00D000000000009AAA","#,
            r#""trouble": "another org is behind the login","#,
            r#""transport": "cometd","#,
            r#""state": "behind","#,
            r#""why": "Account: 2 changed records of which no event told","#,
            r#""last_event": "2023-11-14T22:13:29.000Z","#,
            r#""last_frame": "2023-11-14T22:13:30.000Z","#,
            r#""undecodable": 3,"#,
            r#""waiting": 5,"#,
            r#""in_flight": 4,"#,
            r#""lag_seconds": 61,"#,
            r#""left_gone": 0,"#,
            r#""changes": 9,"#,
            r#""api_calls": 7,"#,
            r#""kept": 0,"#,
            r#""trouble": "the storage is full","#,
        ]
    );
}

#[tokio::test]
async fn before_a_target_s_work_begins_its_pipelines_lag_by_what_the_state_file_knows() {
    let mut status = live(SubscriptionStatus::default());
    status.targets.clear();
    let report = Report::gather(&store().await, [], GATHERED_AT, Some(&status)).await.unwrap();
    let [line] = report.pipelines.as_slice() else { panic!("{report:?}") };
    assert_eq!((line.waiting, line.in_flight, line.lag_seconds), (None, None, 10));
}

#[test]
fn each_state_has_its_word_and_its_reason() {
    let why = || "a limit".to_owned();
    let until = Timestamp(0);
    for (known, behind, expected) in [
        (State::Connecting, Some("x"), ("connecting", None)),
        (State::CatchingUp, Some("x"), ("catching_up", None)),
        (State::Live, None, ("live", None)),
        (State::Live, Some("x"), ("behind", Some("x"))),
        (State::Stalled, Some("x"), ("stalled", None)),
        (State::Waiting { until, why: why() }, None, ("waiting", Some("until 1970-01-01T00:00:00.000Z: a limit"))),
        (State::Refused { why: why() }, None, ("refused", Some("a limit"))),
    ] {
        let (word, why) = state(&known, behind);
        assert_eq!((word, why.as_deref()), expected);
    }
}

/// As each kind is found: some speak of the whole channel, one of records.
pub(crate) fn gap_of_each_kind() -> Vec<Gap> {
    let gap = |(id, kind)| crate::store::Gap {
        id,
        subscription: SubscriptionId(1),
        kind,
        object: match kind {
            GapKind::Position | GapKind::Outage | GapKind::Skipped => None,
            _ => Some(name("Account")),
        },
        from: Some(NOW),
        to: Some(NOW.plus(SECOND)),
        seq: Seq(1),
        records: if kind == GapKind::Records { 2 } else { 0 },
        opened: NOW,
        why: String::new(),
        proof: (kind == GapKind::Position).then(|| given::event(1).0.event_key()),
        evidence: None,
        closed: None,
    };
    let row = SubscriptionRow {
        id: SubscriptionId(1),
        org: given::source(),
        channel: given::channel(),
        transport: Transport::Pubsub,
        position: crate::store::Position::default(),
        last_event: None,
        journaled: 0,
        open_gaps: 0,
    };
    (1..).zip(GapKind::ALL).map(|each| Gap::of(&gap(each), Some(&row))).collect()
}

/// By hand, at a time.
pub(crate) fn paused(reason: &str) -> Paused {
    Paused { since: "2026-01-02T03:00:00.000Z".to_owned(), reason: reason.to_owned() }
}

#[tokio::test]
async fn what_a_person_paused_is_told_with_the_time_and_the_reason() {
    let store = store().await;
    let hq = name("target");
    assert!(store.pause_org(&hq, crate::store::Paused { reason: String::new(), at: NOW }).await.unwrap());
    store.halt(&given::identity().name, "paused by hand: storms", NOW).await.unwrap();
    let report = Report::gather(&store, [hq], GATHERED_AT, None).await.unwrap();
    let since = "2023-11-14T22:13:20.000Z".to_owned();
    assert_eq!(report.orgs[0].paused, Some(Paused { since: since.clone(), reason: String::new() }));
    let accounts = report.pipelines.iter().find(|line| line.name == "accounts").unwrap();
    assert_eq!(accounts.paused, Some(Paused { since, reason: "storms".to_owned() }));
    assert_eq!(accounts.halted.as_deref(), Some("paused by hand: storms (since 2023-11-14T22:13:20.000Z)"));
}

#[test]
fn a_person_is_needed_for_what_does_not_pass_by_itself() {
    let calm = || {
        let mut report = full();
        report.orgs[0].other_org_id = None;
        report.orgs[0].in_clear.clear();
        report.subscriptions[0].state = Some("live".to_owned());
        report.pipelines[0].failed = 0;
        report.pipelines[0].halted = None;
        report.actions[0].failed = 0;
        report.verifications[0].differences = 0;
        report
    };
    assert!(!calm().needs_a_person(), "records that wait, and a gap that names records, pass by themselves");
    let changed = |change: fn(&mut Report)| {
        let mut report = calm();
        change(&mut report);
        report.needs_a_person()
    };
    assert!(changed(|report| report.orgs[0].other_org_id = Some("00D000000000009AAA".to_owned())));
    assert!(changed(|report| report.orgs[0].login_refused = true));
    assert!(changed(|report| report.orgs[0].in_clear = full().orgs.remove(0).in_clear));
    assert!(changed(|report| report.subscriptions[0].state = Some("refused".to_owned())));
    assert!(changed(|report| report.subscriptions[0].state = Some("behind".to_owned())));
    assert!(changed(|report| report.subscriptions[0].retention_left_seconds = Some(0)));
    assert!(changed(|report| report.orgs[0].paused = Some(paused("storms"))));
    assert!(changed(|report| report.pipelines[0].failed = 1));
    assert!(changed(|report| report.pipelines[0].halted = Some("more than 500 deletes in 10m".to_owned())));
    assert!(changed(|report| report.actions[0].failed = 1));
    assert!(changed(|report| report.actions[0].halted = Some("paused by hand".to_owned())));
    assert!(changed(|report| report.gaps[0].records = 0));
    assert!(changed(|report| report.verifications[0].differences = 1));
    assert!(changed(|report| report.verifications[0].state = "failed".to_owned()));
    for passing in ["connecting", "catching_up", "stalled", "waiting"] {
        let mut report = calm();
        report.subscriptions[0].state = Some(passing.to_owned());
        assert!(!report.needs_a_person(), "{passing}");
    }
    let dropped = |running| {
        let mut report = calm();
        report.running = running;
        (report.subscriptions[0].state, report.subscriptions[0].retention_left_seconds) = (None, Some(0));
        report.needs_a_person()
    };
    assert!(!dropped(true), "a running bridge does not subscribe it any more");
    assert!(dropped(false));
}

fn names(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn the_manual_explains_every_field_and_every_kind_of_gap() {
    const MANUAL: &str = include_str!("../../../docs/status.md");
    let mut fields = Vec::new();
    names(&serde_json::to_value(full()).unwrap(), &mut fields);
    for field in fields {
        assert!(MANUAL.contains(&format!("`{field}`")), "{field}");
    }
    for kind in GapKind::ALL {
        assert!(MANUAL.contains(&format!("\n| `{}` |", kind.as_str())), "{kind}");
    }
}
