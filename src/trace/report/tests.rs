//! From what the state and the orgs say to what a person reads.

use super::super::{Deed, Journaled, Now, Pair, Parked, Seen, Standing, There, Told};
use super::*;
use crate::config::testing::between_two_orgs;
use crate::event::RecordId;

const SOURCE: &str = "001000000000001AAA";
const TARGET: &str = "001T00000000001IAA";

fn id(text: &str) -> RecordId {
    name(text)
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no such name"))
}

/// So many seconds after the beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp(1_767_323_045_000 + 1_000 * seconds)
}

fn config() -> Config {
    between_two_orgs(
        "pipelines:\n  - name: accounts\n    from: { org: a, channel: /data/AccountChangeEvent, object: Account }\n    to: { org: b, \
         object: Account, key: Key__c }\n    when: Industry != \"Test\"\n    fields: { Key__c: Id, Name: Name, City: BillingAddress.City }\n",
    )
}

fn entry(seq: u64, second: i64, kind: &str, fields: &[&str]) -> Journaled {
    Journaled {
        org: name("a"),
        record: id(SOURCE),
        seq,
        received: at(second),
        committed: Some(at(second)),
        object: Some(name("Account")),
        kind: Some(kind.to_owned()),
        user: Some("005000000000001AAA".to_owned()),
        origin: None,
        fields: fields.iter().map(ToString::to_string).collect(),
        event: None,
    }
}

fn deed(what: What, second: i64, (from, to): (u64, u64), fields: &[&str]) -> Deed {
    Deed {
        pipeline: name("accounts"),
        record: id(SOURCE),
        at: at(second),
        since: None,
        what: what.as_str().to_owned(),
        through: Through::Events.as_str().to_owned(),
        from,
        to,
        target: Some(id(TARGET)),
        fields: fields.iter().map(ToString::to_string).collect(),
        code: None,
        waits_for: None,
    }
}

fn by(through: Through, deed: Deed) -> Deed {
    Deed { through: through.as_str().to_owned(), ..deed }
}

fn coded(code: &str, deed: Deed) -> Deed {
    Deed { code: Some(code.to_owned()), ..deed }
}

fn standing() -> Standing {
    Standing {
        pipeline: name("accounts"),
        source_org: name("a"),
        source_object: name("Account"),
        record: id(SOURCE),
        target_org: name("b"),
        target_object: name("Account"),
        target: Some(id(TARGET)),
        watermark: 99,
        applied: Some(9),
        tombstone: false,
        halted: None,
        parked: None,
        suspect: false,
    }
}

fn told() -> Told {
    let pair = Pair {
        source_org: name("a"),
        source: id(SOURCE),
        target_org: name("b"),
        target_object: name("Account"),
        target: id(TARGET),
        created: Some(true),
        past: false,
    };
    Told {
        pairs: vec![pair],
        entries: vec![entry(3, 0, "CREATE", &["Name", "BillingAddress"])],
        deeds: vec![deed(What::Created, 1, (3, 3), &["Key__c", "Name"])],
        lines: vec![standing()],
        ..Told::default()
    }
}

fn seen(there: There) -> Seen {
    Seen {
        there,
        modified: Some(at(1)),
        by: Some((id("005000000000009AAA"), "Bridge User".to_owned())),
        by_bridge: true,
        ahead: 0,
    }
}

/// Both orgs as they are asked: the source, the target.
fn now(source: Seen, target: Seen) -> Now {
    let seen = [((name("a"), id(SOURCE)), source), ((name("b"), id(TARGET)), target)].into();
    Now { asked: true, seen, ..Now::default() }
}

fn in_order() -> Now {
    now(seen(There::Yes), seen(There::Yes))
}

fn shown(told: &Told, now: &Now) -> Trace {
    Trace::of(told, now, &config(), SOURCE, None)
}

fn texts(trace: &Trace) -> Vec<&str> {
    trace.events.iter().map(|event| event.text.as_str()).collect()
}

fn state(told: &Told, now: &Now) -> (String, String) {
    let outlook = shown(told, now).outlook.remove(0);
    (outlook.state, outlook.text)
}

/// A record that has seen everything.
fn eventful() -> (Told, Now) {
    let mut told = told();
    told.entries.extend([
        entry(5, 10, "UPDATE", &["Name"]),
        entry(6, 11, "UPDATE", &["Fax"]),
        entry(7, 20, "UPDATE", &["Name"]),
        entry(9, 40, "UPDATE", &["Industry"]),
    ]);
    told.deeds.extend([
        coded("TOO_LONG", deed(What::Failed, 11, (5, 5), &["Name"])),
        deed(What::Redriven, 30, (0, 0), &[]),
        by(Through::Redrive, deed(What::Updated, 31, (5, 7), &["Key__c", "Name", "City"])),
        coded("TOO_LONG", deed(What::Healed, 31, (0, 7), &[])),
        coded("FILTERED", deed(What::LeftOut, 41, (9, 9), &[])),
    ]);
    let ada = Seen {
        modified: Some(at(50)),
        by: Some((id("005000000000007AAA"), "Ada".to_owned())),
        by_bridge: false,
        ..seen(There::Yes)
    };
    (told, now(seen(There::Yes), ada))
}

/// The same as it is told.
pub(crate) fn eventful_trace() -> Trace {
    let (told, now) = eventful();
    shown(&told, &now)
}

#[test]
fn everything_is_told_in_order_and_what_came_of_a_change_stands_behind_it() {
    let (told, now) = eventful();
    let trace = shown(&told, &now);
    let expected = [
        "created in a: Name, BillingAddress (change 3, by user 005000000000001AAA)",
        "created in b as Account 001T00000000001IAA: Key__c, Name (change 3)",
        "changed in a: Name (change 5, by user 005000000000001AAA)",
        "changed in a: Fax (change 6, by user 005000000000001AAA)",
        "failed: TOO_LONG on Name (change 5)",
        "changed in a: Name (change 7, by user 005000000000001AAA)",
        "somebody wanted it tried again",
        "written to 001T00000000001IAA in b: Key__c, Name, City (tried again by hand, changes 5 to 7)",
        "it had failed (TOO_LONG) and does not any more",
        "changed in a: Industry (change 9, by user 005000000000001AAA)",
        "left out: it does not match `when` (change 9)",
        "changed in b by Ada at 2026-01-02T03:04:55.000Z, after the bridge's last write",
    ];
    assert_eq!(texts(&trace), expected);
    let late = Trace::of(&told, &now, &config(), SOURCE, Some(at(31)));
    assert_eq!(texts(&late), expected[7..], "only what is newer, though all counts for how things stand");
    assert_eq!(late.outlook, trace.outlook);
}

#[test]
fn of_a_read_only_the_changes_of_the_record_itself_are_named() {
    let mut told = told();
    told.deeds.push(by(Through::Retry, deed(What::Updated, 5, (7, 7), &["Name"])));
    told.deeds.push(by(Through::Read, deed(What::Updated, 6, (2, 9), &["Name"])));
    told.deeds.push(deed(What::Updated, 7, (11, 12), &["Name"]));
    let trace = shown(&told, &in_order());
    let ends = ["(change 3)", "(another try)", "(read whole, change 3)", "(changes 11 to 12)"];
    for (event, end) in trace.events[1..].iter().zip(ends) {
        assert!(event.text.ends_with(end), "{} {end}", event.text);
    }
}

#[test]
fn a_change_of_which_nothing_came_says_why() {
    let mut told = told();
    told.entries.push(entry(4, 2, "UPDATE", &["Fax"]));
    assert!(texts(&shown(&told, &in_order()))[2].ends_with("; nothing that is mapped changed"));
    told.entries.push(entry(110, 2, "UPDATE", &["Fax"]));
    assert_eq!(state(&told, &in_order()).0, "in_step", "another record holds the pipeline up");
    told.entries.pop();
    told.entries.push(entry(120, 3, "UPDATE", &["Name"]));
    assert!(texts(&shown(&told, &in_order()))[3].ends_with("; it is not written yet"));
    told.lines[0].target = None;
    told.deeds.clear();
    told.entries.truncate(1);
    assert!(texts(&shown(&told, &Now::default()))[0].ends_with("; left out by the condition (`when`)"));
}

#[test]
fn what_was_done_stands_behind_its_change_also_where_the_clock_was_read_before_it_came() {
    let mut told = told();
    told.deeds[0].at = at(-1);
    let trace = shown(&told, &in_order());
    assert_eq!(trace.events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["change", "created"]);
}

#[test]
fn an_event_of_the_target_that_the_bridge_caused_says_so() {
    let mut told = told();
    let of_target = Journaled {
        org: name("b"),
        record: id(TARGET),
        origin: Some("com/salesforce/api/rest/66.0;client=OrgBridge".to_owned()),
        ..entry(8, 2, "UPDATE", &["Name"])
    };
    let by_person =
        Journaled { seq: 9, origin: Some("com/salesforce/api/ui;client=Web".to_owned()), ..of_target.clone() };
    told.entries.extend([of_target, by_person]);
    let trace = shown(&told, &in_order());
    assert_eq!(trace.events[2].kind, "target_change");
    assert!(trace.events[2].text.ends_with("(change 8, by the bridge)"), "{}", trace.events[2].text);
    assert!(trace.events[3].text.ends_with("(change 9, by user 005000000000001AAA)"), "{}", trace.events[3].text);
}

#[test]
fn how_things_stand_is_said_by_what_holds_a_record_up_first() {
    let told = told();
    assert_eq!(state(&told, &in_order()).0, "in_step");
    assert_eq!(state(&told, &Now::default()).0, "in_step", "as far as is known");
    let line = |change: fn(&mut Standing)| {
        let mut other = told.clone();
        change(&mut other.lines[0]);
        state(&other, &in_order())
    };
    assert_eq!(line(|line| line.suspect = true).0, "suspect");
    let mut newer = told.clone();
    newer.entries.push(entry(120, 3, "UPDATE", &["Name"]));
    newer.lines[0].halted = Some("paused".to_owned());
    let (pending, text) = state(&newer, &in_order());
    assert_eq!(pending, "pending");
    assert_eq!(text, "change 120 is not written yet: its pipeline is halted (paused)");
    let parked = Parked {
        waits: true,
        code: "PARENT_MISSING".to_owned(),
        fields: Vec::new(),
        waits_for: Some((id("001000000000002AAA"), name("Account"))),
        attempts: 2,
        first_at: at(0),
        last_at: at(1),
        redrive_at: None,
    };
    let with = |parked: Parked| {
        let mut other = told.clone();
        other.lines[0].parked = Some(parked);
        state(&other, &in_order())
    };
    let (waiting, text) = with(parked.clone());
    assert_eq!(waiting, "waiting");
    assert!(text.starts_with("waits for its parent 001000000000002AA"), "{text}");
    let halted = Parked { waits_for: None, code: crate::store::PIPELINE_HALTED.to_owned(), ..parked.clone() };
    assert!(with(halted).1.starts_with("waits until pipeline accounts is resumed"));
    let failed = Parked { waits: false, code: "TOO_LONG".to_owned(), fields: vec!["Name".to_owned()], ..parked };
    let (failed, text) = with(failed);
    assert_eq!(failed, "failed");
    assert!(text.starts_with("failed: TOO_LONG on Name, since 2026-01-02T03:04:05.000Z, 2 attempts."), "{text}");
}

#[test]
fn what_is_gone_is_said_by_where_and_whether_the_bridge_did_it() {
    let told = told();
    let (gone, text) = state(&told, &now(seen(There::Yes), seen(There::Binned)));
    assert_eq!(gone, "target_gone");
    assert!(text.contains("in the recycle bin there: somebody else"), "{text}");
    let (kept, text) = state(&told, &now(seen(There::No), seen(There::Yes)));
    assert_eq!((kept.as_str(), text.ends_with("is kept")), ("source_gone", true), "{text}");
    let mut deleted = told.clone();
    deleted.deeds.push(deed(What::Deleted, 5, (9, 9), &[]));
    (deleted.lines[0].tombstone, deleted.lines[0].target) = (true, None);
    let (state, text) = state(&deleted, &now(seen(There::Binned), seen(There::Binned)));
    assert_eq!(state, "deleted");
    assert!(text.starts_with("deleted in both orgs"), "{text}");
}

#[test]
fn only_a_change_after_the_last_write_and_by_somebody_else_counts_as_one() {
    let told = told();
    let ada = |second, ahead| Seen {
        modified: Some(at(second)),
        by: Some((id("005000000000007AAA"), "Ada".to_owned())),
        by_bridge: false,
        ahead,
        ..seen(There::Yes)
    };
    let state = |target| state(&told, &now(seen(There::Yes), target)).0;
    assert_eq!(state(ada(60, 0)), "changed_in_target");
    assert_eq!(state(ada(-60, 0)), "in_step", "before the bridge's write");
    assert_eq!(state(ada(60, 120_000)), "in_step", "the org's clock is two minutes ahead");
    // A write is noted when its answer is here.
    let own = |second| Seen { modified: Some(at(second)), ..seen(There::Yes) };
    assert_eq!((state(own(5)).as_str(), state(own(600)).as_str()), ("in_step", "changed_in_target"));
}

#[test]
fn an_org_that_could_not_be_asked_is_named_with_why() {
    let mut now = Now { asked: true, ..Now::default() };
    now.silent.insert(name("b"), "the login was refused".to_owned());
    let trace = shown(&told(), &now);
    assert_eq!(trace.silent["b"], "the login was refused");
    assert!(trace.outlook[0].text.ends_with("(b could not be asked: the login was refused)"), "{:?}", trace.outlook);
}

#[test]
fn the_manual_explains_every_field_and_every_kind() {
    const MANUAL: &str = include_str!("../../../docs/trace.md");
    let (told, now) = eventful();
    let trace = shown(&told, &now);
    let mut full = trace.events[0].clone();
    full.event = Some(Json::Null);
    let shapes = [
        serde_json::to_value(&trace).unwrap(),
        serde_json::to_value(&trace.links[0]).unwrap(),
        serde_json::to_value(&full).unwrap(),
        serde_json::to_value(&trace.outlook[0]).unwrap(),
    ];
    let names = shapes.iter().flat_map(|shape| shape.as_object().unwrap().keys().map(String::as_str));
    let whats = What::ALL.iter().map(|what| what.as_str());
    let codes =
        Skip::ALL.iter().filter(|skip| !matches!(skip, Skip::NothingMapped | Skip::NoRecord)).map(|skip| skip.code());
    for name in names.chain(whats).chain(codes) {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
}
