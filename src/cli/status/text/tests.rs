//! Pages are compared as a whole: what is moved, or said otherwise, is seen.

use super::shown;
use crate::status::report::Deliveries;
use crate::status::report::tests::{full, gap_of_each_kind, paused};

#[test]
fn a_report_is_a_page_that_a_person_reads() {
    assert_eq!(
        shown(&full(), None),
        "\
The bridge is running; this is as of 2026-01-02T03:04:05.000Z.

 ORG     ID
 source  00D000000000001AAA
 source: 98,000 of 100,000 API calls used in 24 h, 2,000 kept for others, used up at 14:05 UTC at this rate; \
4,000 of 50,000 events delivered in 24 h, 1,234 of them to this bridge
! source: waiting for API budget until 03:10 UTC (98,000 of 100,000 calls used in 24 h, 2,000 are kept for others)
! source: another org is behind the login
! source: 6 events stored before the rules of `privacy` may hold Email of Contact

SUBSCRIPTIONS
 source /data/AccountChangeEvent by pubsub: behind: Account: 2 changed records of which no event told
    last event 60 s ago, last sign of life 2 s ago, 71 h of retention left, 1234 events today, 1 open gap, \
3 could not be read, position 00000000000003f2
 The journal holds 12,345 events (about 7.8 MB) and reaches back to 2025-12-03T03:04:05.000Z.

 PIPELINE  WAITING  IN FLIGHT  LAG   WAITING FOR  FAILED   CALLS PER
                                     ANOTHER      RECORDS  1,000
 accounts  5        4          61 s  2            1        4.7
    accounts: 1 failed (STRING_TOO_LONG), 2 wait (PARENT_MISSING)
    accounts: 6 records written without a lookup that leads to nothing yet; filled when it comes
    accounts: 7 deletes not made in the target: the bridge is not known to have created what is there (may_delete)
    accounts: 2 records of the source could not be told how they are doing, the last with FIELD_CUSTOM_VALIDATION_EXCEPTION
! accounts is halted: more than 500 deletes in 10m (since 2026-01-02T03:00:00.000Z). If that is meant: \
orgbridge resume accounts
! accounts: its source records cannot be told how they are doing: no answer
! target: the org's data storage is full

 ACTION  WAITING  IN FLIGHT  LAG  DONE  NOT TO BE  FAILED
                                        DONE
 tell    2        1          5 s  40    60         3
! tell: 3 actions failed: orgbridge actions list
! tell: the org could not be reached

BACKFILLS AND REPAIRS
 accounts: backfill, 12,000 of 50,000 rows, 2,400 a second, about 15 s left

BOTH SIDES COMPARED
! accounts: 2 differences, 1,201 records compared at 2026-01-01T03:04:00.000Z by 7 API calls: orgbridge verify accounts --last

Open gaps: changes that the source org may have kept from the bridge.
 source /data/AccountChangeEvent: the org could not tell what changed: 2 records of Account
    it closes by itself
! The digest's webhook was not told what failed: it answered HTTP 500"
    );
}

#[test]
fn what_is_paused_says_since_when_why_and_how_it_goes_on() {
    let mut report = full();
    report.orgs[0].paused = Some(paused(""));
    report.pipelines[0].paused = Some(paused("storms"));
    let page = shown(&report, None);
    for line in [
        "! source is paused since 2026-01-02T03:00:00.000Z: nothing is written into it: orgbridge resume source",
        "! accounts is paused since 2026-01-02T03:00:00.000Z (storms): orgbridge resume accounts",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{page}");
    }
    assert!(!page.contains("accounts is halted"), "{page}");
}

#[test]
fn without_a_bridge_what_only_it_knows_is_left_open() {
    let mut report = full();
    (report.running, report.gaps) = (false, Vec::new());
    let org = &mut report.orgs[0];
    (org.org_id, org.other_org_id, org.trouble, org.api) = (None, None, None, None);
    org.deliveries = Deliveries { own: 1_234, used: None, limit: None };
    org.in_clear.clear();
    let one = &mut report.subscriptions[0];
    (one.state, one.why, one.last_event, one.last_frame, one.replay_id) = (None, None, None, None, None);
    (one.retention_left_seconds, one.undecodable, one.open_gaps) = (Some(0), 0, 0);
    let line = &mut report.pipelines[0];
    (line.waiting, line.in_flight, line.lag_seconds, line.kept, line.trouble) = (None, None, 0, None, None);
    (line.changes, line.api_calls) = (None, None);
    (line.causes, line.halted, line.unfilled, line.feedback) = (Vec::new(), None, 0, None);
    report.digest = None;
    report.jobs.clear();
    report.actions.clear();
    report.verifications.clear();
    report.journal.whole_since = None;
    assert_eq!(
        shown(&report, None),
        "\
The bridge is not running; this is from its state file, at 2026-01-02T03:04:05.000Z.

 ORG     ID
 source  not logged in yet
 source: 1,234 events delivered to this bridge in 24 h

SUBSCRIPTIONS
 source /data/AccountChangeEvent by pubsub
    no event yet, no retention left: events may be lost, 1234 events today, 0 open gaps, no position

 PIPELINE  WAITING  IN FLIGHT  LAG  WAITING FOR  FAILED   CALLS PER
                                    ANOTHER      RECORDS  1,000
 accounts  -        -          0 s  2            1        -"
    );
}

#[test]
fn each_kind_of_gap_is_told_in_users_words_with_what_closes_it() {
    let mut report = full();
    report.digest = None;
    report.gaps = gap_of_each_kind();
    let text = shown(&report, None);
    let (_, gaps) = text.split_once("from the bridge.\n").unwrap();
    let gaps = gaps.replace("from 2023-11-14T22:13:20.000Z to 2023-11-14T22:13:21.000Z", "WINDOW");
    assert_eq!(
        gaps.replace(" source /data/ChangeEvents: ", ""),
        "\
the org no longer knew the saved position: all records of the channel, WINDOW
    it closes by itself: when the subscription is live again, what changed and what was deleted since then is read
the bridge was away for longer than the org keeps events: all records of the channel, WINDOW
    it closes by itself: when the subscription is live again, what changed and what was deleted since then is read
older events were left out, because the org's event allocation did not allow for them: all records of the channel, WINDOW
    it closes by itself: what changed and what was deleted since then is read
the org could not tell what changed: 2 records of Account, WINDOW; to be read
    it closes by itself: its records are read from the source
too many changes at once for the org to list: Account, WINDOW
    it closes by itself: what changed and what was deleted since then is read
an event that does not name all its records: Account, WINDOW
    it closes by itself: what changed and what was deleted since then is read
an event that this release can not read: Account, WINDOW
    it closes by itself: what changed and what was deleted since then is read
the pipeline was forgotten for a while: Account, WINDOW
    it closes by itself: what changed and what was deleted since then is read
records changed, and no event said so: Account, WINDOW
    it closes by itself: what changed and what was deleted since then is read
the object was not captured as it should be: Account, WINDOW
    mend the cause; when the truth probe sees that it is gone, what changed and what was deleted since then is read
the bridge's user could not see every field: Account, WINDOW
    give the bridge's user read access to the fields; when the truth probe sees that it has it, what changed and what was deleted since then is read
another org is behind the login than before: Account, WINDOW
    it closes when a backfill of the pipeline is done: `orgbridge backfill PIPELINE`"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut report = full();
    report.digest = None;
    report.gaps = gap_of_each_kind();
    let text = shown(&report, Some(79));
    assert!(text.lines().all(|line| line.chars().count() <= 79), "{text}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&text), words(&shown(&report, None)), "nothing is lost by wrapping");
}

#[test]
fn a_line_is_broken_between_figures_and_not_within_one() {
    let text = shown(&full(), Some(60));
    let (_, figures) = text.split_once("told\n").unwrap();
    let (figures, _) = figures.split_once("\n The journal").unwrap();
    assert_eq!(
        figures,
        "    last event 60 s ago, last sign of life 2 s ago,
        71 h of retention left, 1234 events today,
        1 open gap, 3 could not be read,
        position 00000000000003f2"
    );
}

#[test]
fn each_state_is_said_with_its_reason() {
    let state = |running, state: Option<&str>, why: Option<&str>| {
        let mut report = full();
        report.running = running;
        let one = &mut report.subscriptions[0];
        (one.state, one.why) = (state.map(str::to_owned), why.map(str::to_owned));
        let text = shown(&report, None);
        let line = text.lines().find(|line| line.starts_with(" source /data/")).unwrap();
        line.trim_start_matches(" source /data/AccountChangeEvent").to_owned()
    };
    assert_eq!(state(true, Some("catching_up"), None), " by pubsub: catching up");
    assert_eq!(
        state(true, Some("waiting"), Some("until 2026-01-02T03:05:00.000Z: a limit")),
        " by pubsub: waiting until 2026-01-02T03:05:00.000Z: a limit"
    );
    assert_eq!(state(true, Some("refused"), Some("no access")), " by pubsub: refused: no access");
    assert_eq!(state(true, None, None), " by pubsub: not subscribed");
    assert_eq!(state(false, None, None), " by pubsub");
}

#[test]
fn an_object_that_is_polled_has_no_api_and_no_retention() {
    let mut report = full();
    report.subscriptions[0].channel = "/poll/Account".to_owned();
    let text = shown(&report, None);
    assert!(text.contains(" source /poll/Account: behind") && !text.contains("retention"), "{text}");
}

#[test]
fn an_org_that_waits_for_budget_says_so_once() {
    let mut report = full();
    let why = report.orgs[0].api.clone().unwrap().why;
    let line = &mut report.pipelines[0];
    (line.target, line.trouble) = ("source".to_owned(), why);
    assert_eq!(shown(&report, None).matches("waiting for API budget").count(), 1);
}

#[test]
fn a_pipeline_has_a_price_once_it_has_taken_something() {
    let of = |calls, changes| super::price(calls, changes);
    assert_eq!([of(0, 0), of(7, 0), of(20, 100_000), of(5, 1_000)], ["-", "-", "0.2", "5.0"]);
    assert_eq!(of(3_000, 1_000), "3,000.0");
}

#[test]
fn pipelines_into_one_target_tell_its_trouble_once() {
    let mut report = full();
    report.pipelines.push(report.pipelines[0].clone());
    assert_eq!(shown(&report, None).matches("! target: the org's data storage is full").count(), 1);
}
