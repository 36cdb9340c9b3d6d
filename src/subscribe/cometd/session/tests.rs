//! Both ends in memory, and time is a number.

mod scripted;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::{Arrival, Channel, ReplayFrom, ReplayId, Timestamp};
use crate::store::{Mended, Position};
use crate::subscribe::position::{LIVE_MARGIN, Plan};
use crate::subscribe::testing::Kept;
use scripted::ScriptedOrg;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const CONTACTS: &str = "/data/ContactChangeEvent";
const STARTED: Timestamp = Timestamp(1_700_000_000_000);
/// The server's clock when ours is at zero.
const SERVER: Timestamp = Timestamp(1_700_000_600_000);

fn replay_id(number: u64) -> ReplayId {
    ReplayId(number.to_string().into_bytes())
}

fn start(channel: &str, from: ReplayFrom) -> ChannelStart {
    let plan = Plan { from, skip_before: Some(STARTED), live_until: None, commit_start: None };
    ChannelStart { channel: channel.parse().unwrap(), plan, wanted: None }
}

fn event_at(channel: &str, number: u64, commit: Timestamp) -> Json {
    json!({"channel": channel, "data": {"event": {"replayId": number}, "payload": {"Name": "Acme", "ChangeEventHeader": {
        "entityName": "Account", "recordIds": ["001000000000001AAA"], "changeType": "CREATE", "sequenceNumber": 1,
        "transactionKey": format!("key-{number}"), "commitTimestamp": commit.0,
    }}}})
}

fn event(channel: &str, number: u64) -> Json {
    event_at(channel, number, SERVER)
}

fn from(channel: &str, id: &str) -> String {
    format!(r#"{{"{channel}":{id}}}"#)
}

#[test]
fn a_session_shakes_hands_connects_subscribes_and_then_polls() {
    let org = ScriptedOrg::live(ReplayFrom::Tip);
    let metas: Vec<Meta> = org.asked.iter().map(|request| request.meta).collect();
    assert_eq!(metas, [Meta::Handshake, Meta::Connect, Meta::Subscribe, Meta::Connect]);
    assert_eq!(org.asked[1].message["advice"], json!({"timeout": 0}));
    assert_eq!(org.asked[3].message.get("advice"), None);
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-1")]);
    assert!(org.notices.contains(&Notice::Subscribed(ACCOUNTS.parse().unwrap())));
}

#[test]
fn a_session_told_to_handshake_again_resumes_after_the_last_received_replay_id() {
    let mut org = ScriptedOrg::live(ReplayFrom::Earliest);
    org.reply_with(vec![event(ACCOUNTS, 7)], json!({"advice": {"reconnect": "handshake"}}));
    org.run_until_held();
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-2"), from(ACCOUNTS, "7")]);
    assert_eq!(org.received(), [replay_id(7)]);
}

#[test]
fn events_come_in_any_answer_on_either_side_of_the_reply() {
    let mut org = ScriptedOrg::new(ReplayFrom::After(replay_id(3)));
    org.reply(json!({})).reply(json!({}));
    assert_eq!(org.last().meta, Meta::Subscribe);
    let id = org.last().id.clone();
    let reply = json!({"channel": "/meta/subscribe", "id": id, "successful": true, "subscription": ACCOUNTS});
    org.answer(json!([event(ACCOUNTS, 4), reply, event(ACCOUNTS, 5)]));
    assert_eq!(org.received(), [replay_id(4), replay_id(5)]);
    assert!(org.holds());
}

#[test]
fn a_lost_session_is_followed_at_once_if_it_was_healthy_and_ever_slower_if_not() {
    for error in ["403::Unknown client", "402::session_unknown", "403::Client has not completed handshake"] {
        let mut org = ScriptedOrg::live(ReplayFrom::After(replay_id(3)));
        org.pass(110).reply(json!({}));
        org.refuse(error);
        assert_eq!(org.last().meta, Meta::Handshake, "{error}");
        // The next ones die young.
        let before = org.now;
        for _ in 0..20 {
            org.run_until_held().refuse(error);
        }
        assert!(org.now - before > Duration::from_secs(60), "{:?}", org.now - before);
        assert!(org.asked_from().iter().all(|asked| *asked == from(ACCOUNTS, "3")));
    }
}

#[test]
fn a_disconnect_by_the_server_is_a_new_session_in_spite_of_the_advice_beside_it() {
    let mut org = ScriptedOrg::live(ReplayFrom::Earliest);
    org.pass(110).reply_with(vec![event(ACCOUNTS, 9)], json!({}));
    let connect = json!({"channel": "/meta/connect", "id": org.last().id, "successful": false,
        "error": "403::Unknown client", "advice": {"reconnect": "none"}});
    org.answer(json!([{"channel": "/meta/disconnect"}, connect]));
    assert_eq!((org.last().meta, org.count(Meta::Handshake)), (Meta::Handshake, 2));
    org.run_until_held();
    assert_eq!(org.asked_from().last(), Some(&from(ACCOUNTS, "9")));
}

#[test]
fn a_revoked_token_is_renewed_before_the_next_session() {
    for answer in [
        json!({"successful": false, "error": "401::Authentication invalid", "advice": {"reconnect": "none"}}),
        json!({"successful": false, "error": "403::Handshake denied",
            "ext": {"sfdc": {"failureReason": "401::Authentication invalid"}}}),
    ] {
        let mut org = ScriptedOrg::live(ReplayFrom::Tip);
        (org.events, org.notices) = (Vec::new(), Vec::new());
        org.reply(answer);
        assert_eq!((&org.notices[..], org.count(Meta::Handshake)), (&[Notice::NeedsToken][..], 1));
        org.run_until_held();
        assert_eq!(org.count(Meta::Handshake), 2);
    }
}

#[test]
fn a_login_that_fails_is_asked_for_again() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.refuse("401::Authentication invalid");
    org.session.handle_no_token(org.now);
    org.note();
    (org.events, org.notices) = (Vec::new(), Vec::new());
    org.wait();
    assert_eq!(org.notices, [Notice::NeedsToken]);
}

#[test]
fn a_busy_server_is_waited_for_although_it_says_401_and_none() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    (org.events, org.notices) = (Vec::new(), Vec::new());
    org.reply(json!({"successful": false, "error": "401::Authentication invalid", "advice": {"reconnect": "none"},
        "ext": {"sfdc": {"failureReason": "503::Server is too busy.  Please try your request again later."}}}));
    assert!(matches!(org.notices[..], [Notice::Waiting { why: Trouble::Refused(Fault::Busy), .. }]));
    assert_eq!(org.count(Meta::Handshake), 1);
    org.run_until_held();
    assert_eq!(org.count(Meta::Handshake), 2);
}

#[test]
fn limits_of_the_org_are_waited_for_in_minutes() {
    for error in
        ["403::Organization concurrent user limit exceeded", "403::Organization total events daily limit exceeded"]
    {
        let mut org = ScriptedOrg::live(ReplayFrom::Tip);
        org.pass(110).reply(json!({})).refuse(error);
        let (before, asked) = (org.now, org.asked.len());
        org.wait();
        assert!(org.now - before >= Duration::from_secs(30), "{error}");
        assert_eq!(org.asked.len(), asked + 1);
    }
}

#[test]
fn a_broken_long_poll_ends_the_session_and_what_was_written_into_it_comes_again() {
    for failure in [Failure::Unreachable, Failure::TimedOut, Failure::NotBayeux, Failure::NoReply] {
        let mut org = ScriptedOrg::live(ReplayFrom::Earliest);
        org.pass(110).reply_with(vec![event(ACCOUNTS, 7)], json!({}));
        let (id, asked) = (org.last().id.clone(), org.asked.len());
        org.session.handle_failure(&id, failure, org.now);
        org.note();
        assert_eq!(org.asked.len(), asked, "not at once after {failure}");
        org.run_until_held();
        assert_eq!(org.asked_from().last(), Some(&from(ACCOUNTS, "7")));
        // An answer that comes late answers nothing.
        let events = org.events.len();
        org.answer(
            json!([{"channel": "/meta/connect", "id": id, "successful": false, "error": "403::Unknown client"}]),
        );
        assert!(org.holds() && org.events.len() == events);
    }
}

#[test]
fn silence_past_what_the_server_advised_is_a_failure() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.reply(json!({})).reply(json!({"advice": {"timeout": 20_000, "interval": 0, "reconnect": "retry"}}));
    org.run_until_held();
    assert_eq!(org.patience(), Duration::from_secs(35));
    let asked = org.asked.len();
    org.pass(34);
    assert!(org.holds());
    org.pass(2);
    assert!(!org.holds() && org.asked.len() == asked);
    assert!(org.notices.contains(&Notice::Stalled));
    assert!(matches!(org.notices.last(), Some(Notice::Waiting { why: Trouble::Failed(Failure::TimedOut), .. })));
}

#[test]
fn the_advised_interval_is_kept_even_when_a_subscribe_is_answered_meanwhile() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.reply(json!({})).reply(json!({"advice": {"interval": 3000}}));
    assert_eq!(org.last().meta, Meta::Subscribe);
    org.reply(json!({}));
    assert_eq!(org.count(Meta::Connect), 1);
    org.pass(2);
    assert_eq!(org.count(Meta::Connect), 1);
    org.pass(1);
    assert!(org.holds());
}

#[test]
fn advice_does_not_outlive_its_session() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.pass(110).reply(json!({"advice": {"reconnect": "handshake", "interval": 60_000, "timeout": 1000}}));
    org.run_until_held();
    assert_eq!((org.count(Meta::Handshake), org.patience()), (2, HOLD + Timings::default().connect_margin));
    org.reply(json!({}));
    assert!(org.holds());
}

#[test]
fn a_refused_position_is_said_once_and_everything_is_read_again() {
    let mut org = ScriptedOrg::new(ReplayFrom::After(replay_id(82)));
    org.reply(json!({})).reply(json!({}));
    org.refuse("400::The replayId {82} you provided was invalid.  Please provide a valid ID");
    let channel: Channel = ACCOUNTS.parse().unwrap();
    let at = org.server_time();
    assert_eq!(org.events.last(), Some(&Event::PositionRefused { channel, at }));
    org.run_until_held().refuse("403::Unknown client").run_until_held();
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "82"), from(ACCOUNTS, "-2"), from(ACCOUNTS, "-2")]);
    let refusals = org.events.iter().filter(|event| matches!(event, Event::PositionRefused { .. }));
    assert_eq!((refusals.count(), org.count(Meta::Handshake)), (1, 2));
}

#[test]
fn a_position_of_another_transport_is_refused_by_ourselves() {
    let mut org = ScriptedOrg::live(ReplayFrom::After(ReplayId(vec![0, 1, 2, 255])));
    org.reply(json!({}));
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-2")]);
    let refusals = org.events.iter().filter(|event| matches!(event, Event::PositionRefused { .. }));
    assert_eq!(refusals.count(), 1);
}

#[test]
fn a_refused_channel_does_not_keep_the_others_waiting_and_is_asked_again() {
    for (error, refused) in [
        ("403::User not allowed to subscribe CDC without View All Data permissions", true),
        ("400::new in 2030", false),
        ("403::Organization concurrent user limit exceeded", false),
    ] {
        let mut org = ScriptedOrg::with(vec![start(ACCOUNTS, ReplayFrom::Tip), start(CONTACTS, ReplayFrom::Tip)]);
        org.reply(json!({})).reply(json!({})).refuse(error);
        match org.notices.last() {
            Some(Notice::Refused { channel, .. }) if refused => assert_eq!(channel.as_str(), ACCOUNTS),
            Some(Notice::ChannelWaits { channel, .. }) if !refused => assert_eq!(channel.as_str(), ACCOUNTS),
            other => panic!("{error}: {other:?}"),
        }
        org.run_until_held();
        org.reply_with(vec![event(CONTACTS, 1)], json!({}));
        assert_eq!((org.received(), org.count(Meta::Handshake)), (vec![replay_id(1)], 1));
        org.pass(110).reply(json!({}));
        // Asked for again; and the past since the start is owed by now.
        org.run_until_held();
        assert_eq!(org.asked_from(), [from(ACCOUNTS, "-1"), from(CONTACTS, "-1"), from(ACCOUNTS, "-2")]);
    }
}

#[test]
fn what_the_config_must_mend_stops_the_session() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.refuse("400::Unsupported API version. Only API versions '37.0' and later are supported.");
    assert_eq!(org.notices.last(), Some(&Notice::Stop(Fault::VersionUnsupported)));
    assert_eq!(org.session.poll_timeout(), None);
    let mut other = ScriptedOrg::new(ReplayFrom::Tip);
    other.reply(json!({"supportedConnectionTypes": ["callback-polling"]}));
    assert_eq!(other.notices.last(), Some(&Notice::Stop(Fault::ConnectionType)));
}

#[test]
fn after_the_tip_everything_since_the_start_is_owed() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.refuse("403::Unknown client").run_until_held();
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-1"), from(ACCOUNTS, "-2")]);
    let old = STARTED.minus(Duration::from_millis(1));
    let replayed = vec![event_at(ACCOUNTS, 1, old), event_at(ACCOUNTS, 2, old), event_at(ACCOUNTS, 3, STARTED)];
    (org.events, org.notices) = (Vec::new(), Vec::new());
    org.reply_with(replayed, json!({}));
    let channel: Channel = ACCOUNTS.parse().unwrap();
    assert_eq!(org.events[0], Event::Passed { channel, replay_id: replay_id(2), events: 2 });
    assert_eq!(org.received(), [replay_id(3)]);
}

#[test]
fn a_first_subscribe_that_comes_late_reads_what_happened_since_its_start() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.refuse("403::Organization concurrent user limit exceeded").pass(900);
    org.run_until_held();
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-2")]);
}

#[test]
fn an_idle_connect_proves_that_we_are_live_and_a_busy_one_up_to_its_last_event() {
    let mut org = ScriptedOrg::live(ReplayFrom::Earliest);
    let channel: Channel = ACCOUNTS.parse().unwrap();
    assert!(!org.events.iter().any(|event| matches!(event, Event::Live { .. })), "the first connect proves nothing");
    let commit = SERVER.minus(Duration::from_secs(300));
    org.reply_with(vec![event_at(ACCOUNTS, 1, commit)], json!({}));
    let until = commit.minus(LIVE_MARGIN);
    assert_eq!(org.events.last(), Some(&Event::Live { channel: channel.clone(), until }));
    org.pass(110).reply(json!({}));
    let until = org.server_time().minus(LIVE_MARGIN);
    assert_eq!(org.events.last(), Some(&Event::Live { channel: channel.clone(), until }));
    assert_eq!(org.notices.last(), Some(&Notice::CaughtUp(channel)));
}

#[test]
fn a_quiet_channel_is_live_beside_a_busy_one() {
    let mut org = ScriptedOrg::with(vec![start(ACCOUNTS, ReplayFrom::Tip), start(CONTACTS, ReplayFrom::Tip)]);
    let quiet = |org: &ScriptedOrg| {
        org.events.iter().any(|event| matches!(event, Event::Live { channel, .. } if channel.as_str() == CONTACTS))
    };
    org.run_until_held();
    org.reply_with(vec![event(ACCOUNTS, 1)], json!({}));
    assert!(!quiet(&org), "its past may still be coming");
    org.pass(6).reply_with(vec![event(ACCOUNTS, 2)], json!({}));
    assert!(quiet(&org));
}

#[test]
fn an_id_of_an_enriched_channel_counts_when_another_follows() {
    const CUSTOM: &str = "/data/Bridge__chn";
    let mut org = ScriptedOrg::with(vec![start(CUSTOM, ReplayFrom::After(replay_id(3)))]);
    org.run_until_held().reply_with(vec![event(CUSTOM, 4), event(CUSTOM, 5)], json!({}));
    org.refuse("403::Unknown client").run_until_held();
    assert_eq!(org.asked_from().last(), Some(&from(CUSTOM, "4")), "more events of id 5 may be missing");
    org.reply_with(vec![event(CUSTOM, 5)], json!({})).pass(110).reply(json!({}));
    org.refuse("403::Unknown client").run_until_held();
    assert_eq!(org.asked_from().last(), Some(&from(CUSTOM, "5")), "an idle connect: nothing was waiting");
}

#[test]
fn an_event_that_cannot_be_read_is_told_and_the_session_goes_on() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    let broken = json!({"channel": ACCOUNTS, "data": {"payload": {}, "event": {"replayId": 5}}});
    org.reply_with(vec![broken, event(ACCOUNTS, 6), event("/data/LeadChangeEvent", 7)], json!({}));
    let told: Vec<_> = org.events.iter().filter(|event| matches!(event, Event::Undecodable(_))).collect();
    assert!(matches!(&told[..], [Event::Undecodable(first), Event::Undecodable(_)]
        if first.replay_id == Some(replay_id(5))));
    assert_eq!((org.received(), org.holds()), (vec![replay_id(6)], true));
}

/// One answer to what is out, with so many events.
fn flood(org: &mut ScriptedOrg, events: std::ops::Range<u64>) {
    let reply = json!({"channel": org.last().message["channel"], "id": org.last().id, "successful": true});
    let messages = events.map(|number| event(ACCOUNTS, number)).chain([reply]).collect();
    let batch = message::parse(Json::Array(messages).to_string().as_bytes()).unwrap();
    let heard = Heard { since: org.now, server_time: org.server_time() };
    org.session.handle_messages(batch, heard, org.now);
}

#[test]
fn what_is_not_fetched_is_parked_and_the_session_goes_on_up_to_a_limit() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    let mut sent = 0;
    while !org.session.is_full() {
        flood(&mut org, sent..sent + 100);
        sent += 100;
        while let Some(request) = org.session.poll_transmit() {
            org.asked.push(request);
        }
        assert!(sent < 100_000, "no limit");
    }
    assert!(sent >= 1_000, "the session went on");
    assert_eq!((org.session.poll_transmit(), org.session.poll_timeout()), (None, None), "nothing more is asked for");
    // Whoever takes it gets all of it, and the session goes on.
    org.note();
    assert_eq!(org.received(), (0..sent).map(replay_id).collect::<Vec<_>>());
    assert!(org.session.poll_timeout().is_some_and(|at| at <= org.now));
    org.session.handle_timeout(org.now);
    org.note();
    assert!(org.holds());
}

#[test]
fn a_token_is_asked_for_although_much_is_parked() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    flood(&mut org, 0..10);
    let request = org.session.poll_transmit().unwrap();
    let refusal = json!([{"channel": "/meta/connect", "id": request.id, "successful": false,
        "error": "401::Authentication invalid", "advice": {"reconnect": "none"}}]);
    let heard = Heard { since: org.now, server_time: SERVER };
    org.session.handle_messages(message::parse(refusal.to_string().as_bytes()).unwrap(), heard, org.now);
    let notices = std::iter::from_fn(|| org.session.poll_notice());
    assert!(notices.into_iter().any(|notice| notice == Notice::NeedsToken));
    assert!(org.session.has_event());
}

#[test]
fn a_token_that_is_refused_again_and_again_is_not_renewed_in_a_loop() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.pass(110).reply(json!({}));
    let before = org.now;
    for _ in 0..12 {
        org.refuse("401::Authentication invalid").run_until_held();
    }
    // The first time nothing waits, and then minutes pass.
    assert!(org.now - before >= Duration::from_secs(60), "{:?}", org.now - before);
}

#[test]
fn many_slow_subscribes_do_not_keep_the_server_waiting_for_a_connect() {
    let channels = (0..8).map(|number| start(&format!("/data/Object{number}__ChangeEvent"), ReplayFrom::Tip)).collect();
    let mut org = ScriptedOrg::with(channels);
    org.reply(json!({}));
    let mut silent_since = org.now;
    while !org.holds() {
        if org.last().meta == Meta::Connect {
            assert!(org.now - silent_since <= Duration::from_secs(40));
            silent_since = org.now;
        } else {
            org.now += Duration::from_secs(12);
        }
        org.reply(json!({}));
    }
    assert_eq!((org.count(Meta::Subscribe), org.count(Meta::Handshake)), (8, 1));
}

#[test]
fn a_closed_session_says_goodbye_if_the_server_knows_it() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    let request = org.session.close().unwrap();
    assert_eq!((request.meta, &request.message["clientId"]), (Meta::Disconnect, &json!("client1")));
    assert_eq!(org.session.close(), None);
    assert_eq!(org.session.poll_timeout(), None);
}

/// Any answer, however senseless.
fn senseless() -> impl Strategy<Value = Json> {
    let meta = prop::sample::select(vec!["handshake", "connect", "subscribe", "unsubscribe", "disconnect"]);
    let error = prop::sample::select(vec![
        "403::Unknown client",
        "401::Authentication invalid",
        "400::The replayId {1} you provided was invalid.",
        "403::Organization concurrent user limit exceeded",
        "503::Server is too busy.",
        "403::Subscriber does not have access to the entity in this topic",
        "499::?",
    ]);
    let reconnect = prop::sample::select(vec!["retry", "handshake", "none", "?"]);
    (meta, any::<bool>(), error, prop::option::of(reconnect), any::<bool>(), 0..4u64).prop_map(
        |(meta, successful, error, reconnect, with_event, behind)| {
            json!({"meta": meta, "successful": successful, "error": error, "reconnect": reconnect,
                "event": with_event, "behind": behind})
        },
    )
}

proptest! {
    /// The order of the bus needs that never two requests are out, whatever the server says.
    #[test]
    fn never_two_requests_are_out_whatever_the_server_says(
        steps in proptest::collection::vec((0..5u8, senseless()), 1..80)
    ) {
        let mut org = ScriptedOrg::with(vec![start(ACCOUNTS, ReplayFrom::Tip), start(CONTACTS, ReplayFrom::Earliest)]);
        // A request is over when it was answered or given up, or when its session was.
        let mut out: Option<String> = Some(org.last().id.clone());
        for (step, (kind, answer)) in steps.into_iter().enumerate() {
            let seen = org.asked.len();
            match kind {
                0 => org.wait(),
                1 => {
                    let id = org.last().id.clone();
                    org.session.handle_failure(&id, Failure::Unreachable, org.now);
                    org.note();
                }
                _ => {
                    let id = org.last_id_minus(answer["behind"].as_u64().unwrap());
                    let mut messages = vec![json!({"channel": format!("/meta/{}", answer["meta"].as_str().unwrap()),
                        "id": id, "successful": answer["successful"], "error": answer["error"], "clientId": "c",
                        "advice": {"reconnect": answer["reconnect"]}})];
                    if answer["event"] == json!(true) {
                        messages.push(event(ACCOUNTS, step as u64));
                    }
                    org.answer(Json::Array(messages));
                }
            }
            if org.session.phase == Phase::AwaitToken {
                org.session.handle_token(org.now);
                org.note();
            }
            // What is out is exactly what the session says is out.
            let asked: Vec<String> = org.asked[seen..].iter().map(|request| request.id.clone()).collect();
            prop_assert!(asked.len() <= 1, "{asked:?}");
            if let Some(id) = asked.last() {
                out = Some(id.clone());
            }
            if let Phase::Out(outstanding) = &org.session.phase {
                prop_assert_eq!(Some(&outstanding.id), out.as_ref());
            } else {
                // It always has something to wait for, unless it was told to stop.
                prop_assert!(org.session.poll_timeout().is_some());
            }
        }
        prop_assert_eq!(
            org.asked.iter().map(|request| &request.id).collect::<std::collections::HashSet<_>>().len(),
            org.asked.len()
        );
    }
}

fn offers_both() -> Json {
    json!({"supportedConnectionTypes": [WEBSOCKET, LONG_POLLING]})
}

#[test]
fn a_server_that_offers_a_websocket_is_asked_for_one_and_nothing_is_sent_before_it_is_open() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    assert_eq!(org.last().message["supportedConnectionTypes"], json!([WEBSOCKET, LONG_POLLING]));
    let asked = org.asked.len();
    org.reply(offers_both());
    assert_eq!((org.notices.last(), org.asked.len()), (Some(&Notice::Upgrade), asked));
    org.session.handle_upgrade(true, org.now);
    org.note();
    assert_eq!((org.last().meta, &org.last().message["connectionType"]), (Meta::Connect, &json!(WEBSOCKET)));
}

#[test]
fn a_websocket_that_cannot_be_opened_leaves_the_session_to_long_polling_and_is_not_tried_again_soon() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.reply(offers_both());
    org.session.handle_upgrade(false, org.now);
    org.note();
    assert_eq!((org.last().meta, &org.last().message["connectionType"]), (Meta::Connect, &json!(LONG_POLLING)));
    org.session.restart(org.now);
    org.run_until_held();
    let handshakes: Vec<_> = org.asked.iter().filter(|request| request.meta == Meta::Handshake).collect();
    assert_eq!(handshakes.len(), 2);
    assert_eq!(handshakes[1].message["supportedConnectionTypes"], json!([LONG_POLLING]));
}

#[test]
fn an_event_that_is_pushed_over_a_websocket_shows_how_far_the_subscription_is() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    org.reply(offers_both());
    org.run_until_held();
    let commit = org.server_time();
    org.answer(json!([event_at(ACCOUNTS, 7, commit)]));
    let until = commit.minus(LIVE_MARGIN);
    assert!(org.events.contains(&Event::Live { channel: ACCOUNTS.parse().unwrap(), until }), "{:?}", org.events);
    assert!(org.holds(), "the connect is still out");
}

#[test]
fn a_lost_line_ends_the_session_also_while_nothing_is_out() {
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.session.handle_lost(Failure::Unreachable, org.now);
    org.note();
    org.run_until_held();
    assert_eq!(org.asked.iter().filter(|request| request.meta == Meta::Handshake).count(), 2);
}

/// With the WebSocket open, the channel subscribed, and the first held connect out.
fn live_over_websocket(from: ReplayFrom) -> ScriptedOrg {
    let mut org = ScriptedOrg::new(from);
    org.reply(offers_both());
    org.run_until_held();
    assert_eq!(org.last().message["connectionType"], json!(WEBSOCKET));
    org
}

fn offered(org: &ScriptedOrg) -> Vec<Json> {
    let handshakes = org.asked.iter().filter(|request| request.meta == Meta::Handshake);
    handshakes.map(|request| request.message["supportedConnectionTypes"].clone()).collect()
}

#[test]
fn a_websocket_that_brings_nothing_leaves_the_same_session_to_long_polling_at_once() {
    for silent in [false, true] {
        let mut org = ScriptedOrg::new(ReplayFrom::Tip);
        org.reply(offers_both());
        org.session.handle_upgrade(true, org.now);
        org.note();
        if silent {
            org.pass(11);
        } else {
            org.session.handle_lost(Failure::Unreachable, org.now);
            org.note();
        }
        assert!(org.notices.contains(&Notice::WebSocketGivenUp) && !org.notices.contains(&Notice::Stalled));
        let last = org.last();
        assert_eq!((last.meta, &last.message["connectionType"]), (Meta::Connect, &json!(LONG_POLLING)));
        org.run_until_held();
        assert_eq!(org.count(Meta::Handshake), 1);
        org.session.restart(org.now);
        org.run_until_held();
        assert_eq!(offered(&org).last(), Some(&json!([LONG_POLLING])));
        // After a good while it is tried again.
        org.pass(3_600);
        org.session.restart(org.now);
        org.note();
        org.run_until_held();
        assert_eq!(offered(&org).last(), Some(&json!([WEBSOCKET, LONG_POLLING])));
    }
}

#[test]
fn a_websocket_that_worked_and_is_cut_is_followed_by_another() {
    let mut org = live_over_websocket(ReplayFrom::Earliest);
    org.answer(json!([event(ACCOUNTS, 7)])).pass(110).reply(json!({}));
    org.session.handle_lost(Failure::Unreachable, org.now);
    org.note();
    org.run_until_held();
    assert_eq!(org.asked_from(), [from(ACCOUNTS, "-2"), from(ACCOUNTS, "7")]);
    assert_eq!(offered(&org), [json!([WEBSOCKET, LONG_POLLING]), json!([WEBSOCKET, LONG_POLLING])]);
}

#[test]
fn websockets_that_never_live_to_see_a_held_connect_answered_are_given_up() {
    let mut org = ScriptedOrg::new(ReplayFrom::Tip);
    for _ in 0..3 {
        org.reply(offers_both());
        org.run_until_held();
        org.session.handle_lost(Failure::Unreachable, org.now);
        org.note();
        while org.last().meta != Meta::Handshake {
            org.wait();
        }
    }
    assert_eq!(offered(&org).last(), Some(&json!([LONG_POLLING])));
}

#[test]
fn an_answer_over_a_websocket_proves_nothing_new_while_events_flow_and_all_when_none_came() {
    let mut org = live_over_websocket(ReplayFrom::Earliest);
    let channel: Channel = ACCOUNTS.parse().unwrap();
    let old = SERVER.minus(Duration::from_secs(7_200));
    org.pass(1).answer(json!([event_at(ACCOUNTS, 1, old)]));
    // A server that pushes what it has in portions answers the connect between two of them.
    org.pass(1).reply(json!({})).answer(json!([event_at(ACCOUNTS, 2, old)]));
    let until = old.minus(LIVE_MARGIN);
    assert!(org.events.iter().all(|event| !matches!(event, Event::Live { until: told, .. } if *told > until)));
    assert!(!org.notices.contains(&Notice::CaughtUp(channel.clone())));
    // None came from here on.
    org.pass(1).reply(json!({})).pass(2).reply(json!({}));
    let until = org.server_time().minus(LIVE_MARGIN);
    assert_eq!(org.events.last(), Some(&Event::Live { channel: channel.clone(), until }));
    assert!(org.notices.contains(&Notice::CaughtUp(channel)));
}

#[test]
fn an_answer_that_lay_unread_proves_only_what_was_true_when_it_came() {
    let mut org = live_over_websocket(ReplayFrom::Earliest);
    org.answer(json!([event(ACCOUNTS, 1)]));
    org.pass(1).reply(json!({}));
    // Since now nobody listens; the answer comes, and behind it events that nobody has seen.
    let deaf_since = org.now;
    org.now += Duration::from_secs(60);
    let answer = json!([{"channel": "/meta/connect", "id": org.last().id, "successful": true}]);
    org.answer_unread_since(answer, deaf_since);
    let until = SERVER.plus(deaf_since - org.begin).minus(LIVE_MARGIN);
    let live = org.events.iter().filter_map(|event| match event {
        Event::Live { until, .. } => Some(*until),
        _ => None,
    });
    assert_eq!(live.max(), Some(until));
}

#[test]
fn a_websocket_that_is_not_read_because_too_much_waits_is_no_silent_one() {
    let mut org = live_over_websocket(ReplayFrom::Tip);
    let deadline = org.session.poll_timeout().unwrap();
    let mut sent = 0;
    while !org.session.is_full() {
        let events = (sent..sent + 1_000).map(|number| event(ACCOUNTS, number)).collect();
        let batch = message::parse(Json::Array(events).to_string().as_bytes()).unwrap();
        org.session.handle_messages(batch, Heard { since: org.now, server_time: SERVER }, org.now);
        sent += 1_000;
    }
    assert_eq!(org.session.poll_timeout(), None);
    org.now = deadline + Duration::from_secs(600);
    org.note();
    assert!(org.session.poll_timeout().is_some_and(|at| at <= org.now));
    org.session.handle_timeout(org.now);
    org.note();
    assert!(org.holds(), "the server gets the time to be heard");
    org.pass(31);
    assert!(!org.holds());
}

#[test]
fn frames_feed_the_watch_over_silence() {
    let mut org = live_over_websocket(ReplayFrom::Tip);
    org.pass(120).answer(json!([event(ACCOUNTS, 1)])).pass(20);
    assert!(org.holds());
    org.pass(11);
    assert!(!org.holds());
    let mut org = ScriptedOrg::live(ReplayFrom::Tip);
    org.pass(120);
    org.session.handle_progress(org.now);
    org.pass(20);
    assert!(org.holds(), "an answer is on its way");
}

#[test]
fn an_event_that_cannot_be_read_moves_the_position_like_any() {
    let mut org = ScriptedOrg::live(ReplayFrom::Earliest);
    let broken = json!({"channel": ACCOUNTS, "data": {"payload": {}, "event": {"replayId": 5}}});
    org.reply_with(vec![broken], json!({})).refuse("403::Unknown client").run_until_held();
    assert_eq!(org.asked_from().last(), Some(&from(ACCOUNTS, "5")));
}

#[test]
fn an_entity_that_nobody_wants_is_counted_and_passed() {
    const ALL: &str = "/data/ChangeEvents";
    let mut start = start(ALL, ReplayFrom::Earliest);
    start.wanted = Some(["Contact".parse().unwrap()].into());
    let mut org = ScriptedOrg::with(vec![start]);
    org.run_until_held().reply_with(vec![event(ALL, 1), event(ALL, 2), event(ALL, 3)], json!({}));
    let channel: Channel = ALL.parse().unwrap();
    let passed = |number, events| Event::Passed { channel: channel.clone(), replay_id: replay_id(number), events };
    // The second shows that all of the first has come.
    let live = Event::Live { channel: channel.clone(), until: SERVER.minus(LIVE_MARGIN) };
    assert_eq!(org.events, [passed(1, 1), live, passed(3, 2)]);
}

#[test]
fn where_the_deliveries_do_not_allow_the_earliest_it_goes_on_with_the_newest_and_says_so() {
    let mut org = ScriptedOrg::with(vec![start(ACCOUNTS, ReplayFrom::Earliest)]);
    org.earliest_fits = false;
    org.run_until_held();
    let subscribe = org.asked.iter().find(|request| request.meta == Meta::Subscribe).unwrap();
    assert_eq!(subscribe.message["ext"]["replay"][ACCOUNTS], json!(-1));
    assert!(org.events.contains(&Event::Skipped { channel: ACCOUNTS.parse().unwrap(), at: SERVER }));
}

const HOLD_SECONDS: u64 = 110;

/// What the session has handed over since the last time, as the journal gets it.
fn arrivals(org: &mut ScriptedOrg) -> Vec<Arrival> {
    let arrival = |event| match event {
        Event::Change(change) => Arrival::Change(*change),
        Event::Passed { replay_id, events, .. } => Arrival::Passed { replay_id, events },
        Event::Live { until, .. } => Arrival::Live { until },
        Event::PositionRefused { at, .. } => Arrival::Refused { at },
        Event::Skipped { at, .. } => Arrival::Skipped { at },
        Event::Undecodable(error) => panic!("{error}"),
    };
    std::mem::take(&mut org.events).into_iter().map(arrival).collect()
}

/// One event, and after it empty answers to held connects alone for so many hours.
async fn quiet(hours: u64) -> (ScriptedOrg, Kept) {
    let (mut org, mut kept) = (ScriptedOrg::live(ReplayFrom::Earliest), Kept::new(ACCOUNTS).await);
    org.reply_with(vec![event(ACCOUNTS, 7)], json!({}));
    kept.take(arrivals(&mut org), org.server_time()).await;
    kept.probed(SERVER.minus(Duration::from_secs(HOLD_SECONDS))).await;
    let answers = hours * 3_600 / HOLD_SECONDS;
    for number in 1..=answers {
        org.pass(HOLD_SECONDS).reply(json!({}));
        // The journal takes what has come; an hour of it at once keeps the test short.
        if number % 30 == 0 || number == answers {
            let now = org.server_time();
            kept.take(arrivals(&mut org), now).await;
            let live_until = Some(now.minus(LIVE_MARGIN));
            let expected = Position { replay_id: Some(replay_id(7)), started_at: None, live_until };
            assert_eq!(kept.position().await, expected);
        }
    }
    assert_eq!((org.count(Meta::Handshake), org.count(Meta::Subscribe)), (1, 1));
    (org, kept)
}

/// The server loses the session, and does not know the position of the next one any more.
fn lose_session_and_position(org: &mut ScriptedOrg) {
    org.refuse("403::Unknown client").reply(json!({})).reply(json!({}));
    assert_eq!(org.asked_from().last(), Some(&from(ACCOUNTS, "7")));
    org.refuse("400::The replayId {7} you provided was invalid.  Please provide a valid ID").run_until_held();
    assert_eq!(org.asked_from().last(), Some(&from(ACCOUNTS, "-2")));
}

#[tokio::test]
async fn four_days_of_empty_connects_leave_no_gap() {
    let (_, kept) = quiet(96).await;
    assert_eq!(kept.gaps().await, []);
}

#[tokio::test]
async fn a_position_that_is_refused_after_quiet_days_is_no_gap_when_the_newest_event_comes_again() {
    let (mut org, mut kept) = quiet(70).await;
    lose_session_and_position(&mut org);
    org.reply_with(vec![event(ACCOUNTS, 7)], json!({}));
    kept.take(arrivals(&mut org), org.server_time()).await;
    kept.assert_mended(Mended::CameAgain).await;
}

#[tokio::test]
async fn a_position_that_is_refused_after_four_quiet_days_leaves_the_minutes_since_the_last_proof_until_the_probe() {
    let (mut org, mut kept) = quiet(96).await;
    let proof = org.server_time().minus(LIVE_MARGIN);
    lose_session_and_position(&mut org);
    // The org keeps nothing any more, and so the next connect brings nothing.
    org.pass(HOLD_SECONDS).reply(json!({}));
    kept.take(arrivals(&mut org), org.server_time()).await;
    kept.assert_short_window(proof, Duration::from_secs(2 * HOLD_SECONDS)).await;
    kept.probed(org.server_time()).await;
    kept.assert_mended(Mended::Probe).await;
}

#[tokio::test]
async fn four_busy_days_of_a_channel_whose_ids_repeat_are_no_reason_to_warn() {
    const ALL: &str = "/data/ChangeEvents";
    let mut org = ScriptedOrg::with(vec![start(ALL, ReplayFrom::Earliest)]);
    org.run_until_held();
    let mut kept = Kept::new(ALL).await;
    // Often enough that no connect is answered without an event.
    for number in 1..=96 * 36 {
        let before = org.server_time();
        org.now += Duration::from_secs(100);
        let now = org.server_time();
        org.reply_with(vec![event_at(ALL, number, now)], json!({}));
        if number % 36 == 0 {
            kept.take(arrivals(&mut org), now).await;
            assert_eq!(kept.position().await.live_until, Some(before.minus(LIVE_MARGIN)));
        }
    }
    assert_eq!(kept.gaps().await, []);
}
