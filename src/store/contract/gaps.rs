//! What may have hidden a change: how it is noticed, what it names, and what closes it.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{Arrival, ChangeKind, Channel, Seq, Timestamp, Window, WindowCause};
use crate::store::{Evidence, Gap, GapKind, Mended, PipelineIdentity, Settlement, Store, SubscriptionId};

const HOUR: Duration = Duration::from_secs(3_600);

fn at(number: i64) -> Timestamp {
    Timestamp(NOW.0 + number)
}

async fn append(store: &impl Store, id: SubscriptionId, group: Vec<Arrival>) {
    store.append(id, group, NOW).await.unwrap();
}

async fn kinds(store: &impl Store) -> Vec<GapKind> {
    store.gaps().await.unwrap().into_iter().map(|gap| gap.kind).collect()
}

async fn only(store: &impl Store) -> Gap {
    let mut gaps = store.gaps().await.unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    gaps.remove(0)
}

/// What closed each gap that is not open, the last one first.
async fn mended(store: &impl Store) -> Vec<Mended> {
    store.mended_gaps(9).await.unwrap().into_iter().map(|gap| gap.closed.unwrap().by).collect()
}

fn gap_event(number: u32) -> Event {
    event(number).kind(ChangeKind::GapUpdate).records(&[account(1), account(2)])
}

pub async fn a_gap_that_names_records_is_closed_once_they_are_settled<B: Backend>() {
    for kind in [ChangeKind::GapCreate, ChangeKind::GapUpdate, ChangeKind::GapDelete, ChangeKind::GapUndelete] {
        let store = B::empty().open().await;
        let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
        // The second time they are doubles, also as gaps.
        for _ in 0..2 {
            append(&store, subscription, vec![event(1).arrives(), gap_event(2).kind(kind).arrives()]).await;
        }
        let gap = only(&store).await;
        assert_eq!((gap.kind, gap.object.clone(), gap.seq), (GapKind::Records, Some(name("Account")), Seq(2)));
        assert_eq!((gap.records, gap.from, gap.to, gap.opened), (2, Some(at(2)), Some(at(2)), NOW));
        settled(&store, pipeline, 1).await;
        only(&store).await;
        settled(&store, pipeline, 2).await;
        assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Read]));
    }
}

pub async fn a_gap_waits_for_the_last_pipeline_that_reads_its_records<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, one, other) = (subscribed(&store).await, accounts(&store).await.id, contacts(&store).await.id);
    let twin = PipelineIdentity { name: name("twin"), target_org: name("third"), ..identity() };
    let twin = store.pipeline(&twin, Seq::ZERO).await.unwrap().id;
    append(&store, subscription, vec![gap_event(1).arrives(), gap_event(2).arrives()]).await;
    settled(&store, other, 2).await;
    settled(&store, one, 2).await;
    assert_eq!(kinds(&store).await.len(), 2, "the twin has not read them");
    settled(&store, twin, 1).await;
    assert_eq!(only(&store).await.seq, Seq(2));
    // Both in one settlement, and the one that was last is given up.
    append(&store, subscription, vec![gap_event(3).arrives()]).await;
    let watermarks = vec![(one, Seq(3)), (twin, Seq(2))];
    store.settle(Settlement { watermarks, ..Settlement::default() }).await.unwrap();
    assert_eq!(only(&store).await.seq, Seq(3));
    store.forget_pipeline(&name("twin")).await.unwrap();
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Read; 3]));
}

pub async fn a_gap_whose_records_nobody_reads_is_closed_at_once<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, contacts(&store).await.id);
    append(&store, subscription, vec![gap_event(1).arrives()]).await;
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Unread]));
    // A window is not: nothing in the journal tells a later pipeline what to read.
    append(&store, subscription, vec![event(2).wildcard().records(&[]).arrives()]).await;
    settled(&store, pipeline, 2).await;
    assert_eq!(kinds(&store).await, [GapKind::Wildcard]);
    // The last reader is given up.
    append(&store, subscription, vec![gap_event(3).object("Contact").arrives()]).await;
    assert_eq!(kinds(&store).await, [GapKind::Wildcard, GapKind::Records]);
    store.forget_pipeline(&name("contacts")).await.unwrap();
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![GapKind::Wildcard], vec![Mended::Unread; 2]));
}

pub async fn an_event_that_names_nothing_is_a_gap_whatever_it_says<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    let group = vec![
        event(1).kind(ChangeKind::Create).records(&[]).arrives(),
        gap_event(2).records(&[]).arrives(),
        gap_event(3).wildcard().arrives(),
    ];
    append(&store, subscription, group).await;
    // The third names some of its records: those are read, the window stays.
    let expected = [GapKind::Wildcard, GapKind::Wildcard, GapKind::Wildcard, GapKind::Records];
    assert_eq!(kinds(&store).await, expected);
    settled(&store, pipeline, 3).await;
    assert_eq!(kinds(&store).await, expected[..3]);
}

pub async fn what_is_left_of_an_event_that_cannot_be_read_is_kept<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    let unread = || vec![Arrival::Live { until: at(1) }, Arrival::Undecodable(unreadable(7, None))];
    append(&store, subscription, unread()).await;
    let gap = only(&store).await;
    let evidence = Evidence {
        replay_id: Some(replay_id(7)),
        schema_id: Some("schema-1".to_owned()),
        length: 77,
        digest: "digest-7".to_owned(),
    };
    assert_eq!((gap.kind, gap.records, gap.evidence), (GapKind::Undecodable, 0, Some(evidence)));
    assert_eq!((gap.object, gap.from, gap.to), (None, Some(at(1)), Some(NOW)));
    assert_eq!(gap.why, "the body ends early");
    // It comes again after a crash, and another one comes.
    append(&store, subscription, unread()).await;
    only(&store).await;
    let other = crate::event::Undecodable { object: Some(name("Account")), ..unreadable(8, None) };
    append(&store, subscription, vec![Arrival::Undecodable(other)]).await;
    let gaps = store.gaps().await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.object.clone()).collect::<Vec<_>>(), [None, Some(name("Account"))]);
    settled(&store, pipeline, 9).await;
    assert_eq!(kinds(&store).await.len(), 2, "no reading mends it");
}

pub async fn an_event_that_cannot_be_read_but_names_its_records_is_an_entry_that_is_read<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    for _ in 0..2 {
        append(&store, subscription, vec![Arrival::Undecodable(unreadable(7, Some(gap_event(7))))]).await;
    }
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.records, gap.seq), (GapKind::Undecodable, 2, Seq(1)));
    assert_eq!((gap.object, gap.from), (Some(name("Account")), Some(at(7))));
    assert_eq!(gap.evidence.unwrap().digest, "digest-7");
    let entries = store.page(pipeline, Seq::ZERO, 9).await.unwrap().entries;
    assert_eq!(entries.into_iter().map(|entry| entry.change).collect::<Vec<_>>(), [gap_event(7).0]);
    settled(&store, pipeline, 1).await;
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Read]));
}

pub async fn what_the_bridge_finds_is_an_entry_and_a_gap_if_the_bus_should_have_told<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    let found = |number, missed| Arrival::Found { change: gap_event(number).0, missed };
    for _ in 0..2 {
        append(&store, subscription, vec![event(1).arrives(), found(2, false), found(3, true)]).await;
    }
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.records, gap.seq), (GapKind::Missed, 2, Seq(3)));
    assert_eq!(store.page(pipeline, Seq::ZERO, 9).await.unwrap().entries.len(), 3);
    settled(&store, pipeline, 3).await;
    assert_eq!(mended(&store).await, [Mended::Read]);
    // It has no place on the bus: it moves no position, is not counted, and never comes again as a proof.
    assert_eq!(store.subscription(&source(), &channel()).await.unwrap().position.replay_id, None);
    assert_eq!(store.deliveries(Timestamp(0)).await.unwrap()[&subscription], 2);
    append(&store, subscription, vec![Arrival::Live { until: NOW }, Arrival::Refused { at: NOW }]).await;
    assert_eq!(only(&store).await.proof, Some(event(1).0.event_key()));
}

pub async fn what_was_skipped_is_a_window_from_the_last_proof<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    store.start(subscription, at(1)).await.unwrap();
    append(&store, subscription, vec![event(1).arrives(), event(2).arrives(), Arrival::Skipped { at: at(10) }]).await;
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.from, gap.to), (GapKind::Skipped, Some(at(1)), Some(at(10))));
    assert_eq!(store.subscription(&source(), &channel()).await.unwrap().position.replay_id, None);
    // Skipped again before any proof: one window. Later it is another.
    append(&store, subscription, vec![Arrival::Skipped { at: at(20) }]).await;
    assert_eq!(only(&store).await.to, Some(at(20)));
    append(&store, subscription, vec![Arrival::Live { until: at(30) }, Arrival::Skipped { at: at(40) }]).await;
    let windows: Vec<_> = store.gaps().await.unwrap().into_iter().map(|gap| (gap.from, gap.to)).collect();
    assert_eq!(windows, [(Some(at(1)), Some(at(20))), (Some(at(30)), Some(at(40)))]);
    // Neither what comes again nor the probe closes it.
    append(&store, subscription, arrivals([1, 2])).await;
    assert_eq!(kinds(&store).await, [GapKind::Skipped; 2]);
}

pub async fn a_refusal_that_is_skipped_is_one_gap<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let group = vec![
        event(1).arrives(),
        Arrival::Live { until: at(5) },
        Arrival::Refused { at: at(7) },
        Arrival::Skipped { at: at(8) },
        event(1).arrives(),
        event(9).arrives(),
    ];
    append(&store, subscription, group).await;
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.from, gap.to, gap.proof), (GapKind::Skipped, Some(at(5)), Some(at(8)), None));
}

pub async fn a_window_that_is_found_again_is_widened<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let window = |cause, from, to: Option<i64>, why: &str| {
        let (object, why) = (Some(name("Account")), why.to_owned());
        Arrival::Window(Window { cause, object, from: Some(at(from)), to: to.map(at), why })
    };
    append(&store, subscription, vec![window(WindowCause::Capture, 1, Some(5), "not selected")]).await;
    append(&store, subscription, vec![window(WindowCause::Capture, 1, Some(9), "still not selected")]).await;
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.records, gap.from, gap.to), (GapKind::Capture, 0, Some(at(1)), Some(at(9))));
    assert_eq!((gap.why.as_str(), gap.opened), ("still not selected", NOW));
    append(
        &store,
        subscription,
        vec![window(WindowCause::Capture, 1, None, ""), window(WindowCause::Capture, 1, Some(7), "")],
    )
    .await;
    assert_eq!(only(&store).await.to, None, "what is open at its end stays so");
    let others = vec![window(WindowCause::Access, 1, Some(9), ""), window(WindowCause::Missed, 2, Some(9), "")];
    append(&store, subscription, others).await;
    assert_eq!(kinds(&store).await, [GapKind::Capture, GapKind::Access, GapKind::Missed]);
    // A closed one is not opened again.
    let first = store.gaps().await.unwrap()[0].id;
    assert!(store.close_gap(first, Mended::Repair).await.unwrap());
    assert!(!store.close_gap(first, Mended::Repair).await.unwrap());
    assert!(!store.close_gap(4711, Mended::Repair).await.unwrap());
    append(&store, subscription, vec![window(WindowCause::Capture, 1, Some(9), "")]).await;
    assert_eq!(kinds(&store).await, [GapKind::Access, GapKind::Missed, GapKind::Capture]);
    assert_eq!(mended(&store).await, [Mended::Repair]);
}

pub async fn a_silence_longer_than_the_retention_is_an_outage<B: Backend>() {
    let silence = channel().retention() + HOUR;
    for (first, to) in [(event(5).arrives(), Some(at(5))), (Arrival::Live { until: at(6) }, Some(at(6)))] {
        let backend = B::empty();
        let store = backend.open().await;
        append(&store, subscribed(&store).await, vec![event(1).arrives(), Arrival::Live { until: at(2) }]).await;
        drop(store);
        let store = backend.open().await;
        let subscription = subscribed(&store).await;
        // What the bridge itself finds meanwhile is no sign of life of the bus.
        let found = Arrival::Found { change: gap_event(3).0, missed: false };
        store.append(subscription, vec![found], NOW.plus(HOUR)).await.unwrap();
        store.append(subscription, vec![first, event(1).arrives()], NOW.plus(silence)).await.unwrap();
        let gap = only(&store).await;
        assert_eq!((gap.kind, gap.from, gap.to, gap.proof), (GapKind::Outage, Some(at(2)), to, None));
    }
}

pub async fn a_start_at_the_earliest_long_after_the_last_proof_is_an_outage<B: Backend>() {
    // The first of the events that share an id, an hour later a crash, and most of the retention until the next start:
    // nothing was refused, for no id was known, and the silence alone is not too long.
    let (backend, later) = (B::empty(), NOW.plus(HOUR));
    let back = later.plus(channel().retention());
    let store = backend.open().await;
    append(&store, subscribed(&store).await, vec![Arrival::Live { until: at(1) }]).await;
    store.append(subscribed(&store).await, arrivals([2]), later).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let subscription = subscribed(&store).await;
    store.append(subscription, arrivals([8]), back).await.unwrap();
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.from, gap.to), (GapKind::Outage, Some(at(1)), Some(at(8))));
    // The same again before any proof: the window reaches to what comes now.
    drop(store);
    let store = backend.open().await;
    store.append(subscribed(&store).await, arrivals([9]), back.plus(channel().retention())).await.unwrap();
    assert_eq!(only(&store).await.to, Some(at(9)));
}

pub async fn quiet_but_live_is_no_outage<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    for hour in 0..96 {
        let until = NOW.plus(HOUR * hour);
        store.append(subscription, vec![Arrival::Live { until }], until).await.unwrap();
    }
    assert_eq!(store.gaps().await.unwrap(), []);
}

pub async fn a_refusal_after_a_long_silence_is_one_outage<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    append(&store, subscription, vec![event(1).arrives(), Arrival::Live { until: at(2) }]).await;
    let back = NOW.plus(channel().retention() + HOUR);
    store.append(subscription, vec![Arrival::Refused { at: back }, event(5).arrives()], back).await.unwrap();
    let gap = only(&store).await;
    assert_eq!((gap.kind, gap.from, gap.to), (GapKind::Outage, Some(at(2)), Some(at(5))));
}

pub async fn the_retention_is_that_of_the_channel<B: Backend>() {
    for (text, kind) in [("/topic/Invoices", GapKind::Outage), ("/event/Order__e", GapKind::Position)] {
        let store = B::empty().open().await;
        let subscription = store.subscription(&source(), &name::<Channel>(text)).await.unwrap().id;
        let group = vec![Arrival::Live { until: NOW }, Arrival::Refused { at: NOW.plus(30 * HOUR) }];
        append(&store, subscription, group).await;
        assert_eq!(kinds(&store).await, [kind], "{text}");
    }
}

fn probed(object: &str, until: i64) -> Arrival {
    Arrival::Probed { object: name(object), until: at(until) }
}

/// A window from 10 to 30 that nothing proves.
fn refused() -> Vec<Arrival> {
    vec![Arrival::Live { until: at(10) }, Arrival::Refused { at: at(20) }, event(30).arrives()]
}

pub async fn a_probe_closes_the_windows_that_it_covered<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    append(&store, subscription, vec![probed("Account", 5)]).await;
    append(&store, subscription, refused()).await;
    for until in [20, 29, 25] {
        append(&store, subscription, vec![probed("Account", until)]).await;
        assert_eq!(kinds(&store).await, [GapKind::Position], "up to {until}");
    }
    append(&store, subscription, vec![probed("Contact", 99)]).await;
    only(&store).await;
    append(&store, subscription, vec![probed("Account", 30)]).await;
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Probe]));
}

pub async fn a_probe_closes_no_window_that_it_did_not_see_whole<B: Backend>() {
    // Its first look covers nothing that was before it.
    let store = B::empty().open().await;
    let subscription = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    append(&store, subscription, refused()).await;
    append(&store, subscription, vec![probed("Account", 11), probed("Account", 99)]).await;
    assert_eq!(kinds(&store).await, [GapKind::Position]);
    // Nor a window without a beginning or an end, nor one of another kind.
    let store = B::empty().open().await;
    let subscription = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    let group = vec![
        probed("Account", -99),
        Arrival::Refused { at: at(1) },
        event(2).arrives(),
        Arrival::Live { until: at(3) },
        Arrival::Skipped { at: at(4) },
        Arrival::Live { until: at(5) },
        Arrival::Refused { at: at(6) },
        probed("Account", 99),
    ];
    append(&store, subscription, group).await;
    assert_eq!(kinds(&store).await, [GapKind::Position, GapKind::Skipped, GapKind::Position]);
}

pub async fn on_a_channel_of_several_objects_the_probe_must_have_seen_each_that_is_read<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let both = |until| vec![probed("Account", until), probed("Contact", until)];
    append(&store, subscription, both(5)).await;
    append(&store, subscription, refused()).await;
    append(&store, subscription, both(40)).await;
    only(&store).await;
    accounts(&store).await;
    contacts(&store).await;
    let lead = PipelineIdentity { name: name("leads"), source_object: name("Lead"), ..identity() };
    store.pipeline(&lead, Seq::ZERO).await.unwrap();
    append(&store, subscription, both(50)).await;
    assert_eq!(kinds(&store).await, [GapKind::Position], "nobody looked at leads");
    store.forget_pipeline(&name("leads")).await.unwrap();
    append(&store, subscription, vec![probed("Account", 51)]).await;
    assert_eq!((kinds(&store).await, mended(&store).await), (vec![], vec![Mended::Probe]));
}
