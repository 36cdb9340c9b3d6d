//! Privacy rules that came late, and records that must be forgotten.

use secrecy::SecretString;

use super::Backend;
use super::given::{NOW, account, accounts, channel, event, failed, name, replay_id, source, subscribed};
use crate::event::{Arrival, Change, ChangeKind, Field, Happening, OrgName, Seq, Value};
use crate::privacy::{Privacy, PrivacyRule, Treatment, hashed};
use crate::store::{Forgotten, InClear, NotedPrivacy, PipelineId, Scrubbed, Settlement, Store};

const SECRET: &str = "a key of this test only";

fn rule(treatment: Treatment, field: &str) -> PrivacyRule {
    PrivacyRule { object: name("Account"), field: name(field), treatment }
}

fn privacy(rules: &[PrivacyRule]) -> Privacy {
    Privacy::new(Some(SecretString::from(SECRET)), rules.to_vec())
}

fn told(text: &str) -> Field {
    Field::New(Value::text(text))
}

/// What the pipeline's page says of a field of each of its entries.
async fn fields<S: Store>(store: &S, pipeline: PipelineId, field: &str) -> Vec<Option<Field>> {
    let page = store.page(pipeline, Seq::ZERO, 100).await.unwrap();
    let of = |change: Change| match change.happening {
        Happening::Record(mut change) => change.fields.remove(field),
        Happening::Event { .. } | Happening::Notification { .. } => None,
    };
    page.entries.into_iter().map(|entry| of(entry.change)).collect()
}

pub async fn a_rule_that_is_new_tells_what_was_stored_before_it<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let group = vec![event(1).arrives(), event(2).object("Contact").arrives(), event(3).object("account").arrives()];
    store.append(subscription, group, NOW).await.unwrap();
    let rules = [rule(Treatment::Hash, "Name"), rule(Treatment::Mask, "Phone")];
    let expected = [InClear { object: name("Account"), fields: vec![name("Name"), name("Phone")], entries: 2 }];
    // It can be asked before the rules are noted, and says the same behind.
    assert_eq!(store.in_clear(&source(), &rules).await.unwrap(), expected);
    let noted = store.note_privacy(&source(), &rules).await.unwrap();
    assert_eq!(noted, NotedPrivacy { new: rules.to_vec(), dropped: Vec::new() });
    store.append(subscription, vec![event(4).arrives()], NOW).await.unwrap();
    assert_eq!(store.in_clear(&source(), &rules).await.unwrap(), expected);
    assert_eq!(store.noted_privacy(&source()).await.unwrap(), rules);
    assert_eq!(store.note_privacy(&source(), &rules).await.unwrap(), NotedPrivacy::default());
    let other: OrgName = name("target");
    assert_eq!(store.in_clear(&other, &rules).await.unwrap(), []);
    assert_eq!(store.noted_privacy(&other).await.unwrap(), []);
}

pub async fn a_rule_that_was_there_from_the_start_has_nothing_to_scrub<B: Backend>() {
    let store = B::empty().open().await;
    let rules = [rule(Treatment::Hash, "Name")];
    store.note_privacy(&source(), &rules).await.unwrap();
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    store.append(subscription, vec![event(1).fields([("Name", told("a hash"))]).arrives()], NOW).await.unwrap();
    assert_eq!(store.in_clear(&source(), &rules).await.unwrap(), []);
    let scrubbed = store.scrub(&source(), &privacy(&rules), 10).await.unwrap();
    assert_eq!(scrubbed, Scrubbed { done: true, ..Scrubbed::default() });
    assert_eq!(fields(&store, pipeline, "Name").await, [Some(told("a hash"))]);
}

pub async fn scrubbing_treats_what_was_stored_before_the_rule_and_each_entry_once<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let of = |number| event(number).fields([("Name", told("Ada")), ("Phone", told("12345")), ("Fax", told("kept"))]);
    store.append(subscription, vec![of(1).arrives()], NOW).await.unwrap();
    let first = [rule(Treatment::Hash, "Name")];
    let hash = Some(told(&hashed(SECRET.as_bytes(), "Ada")));
    store.note_privacy(&source(), &first).await.unwrap();
    // As the journal has it from here on.
    let treated = || event(2).fields([("Name", told("treated")), ("Phone", told("12345"))]);
    store.append(subscription, vec![treated().arrives()], NOW).await.unwrap();
    let scrubbed = store.scrub(&source(), &privacy(&first), 10).await.unwrap();
    assert_eq!(scrubbed, Scrubbed { looked_at: 1, rewritten: 1, evidence: 0, done: true });
    assert_eq!(fields(&store, pipeline, "Name").await, [hash.clone(), Some(told("treated"))]);
    assert_eq!(store.in_clear(&source(), &first).await.unwrap(), []);
    // A second rule reaches further, and leaves alone what the first one has done.
    let both = [first[0].clone(), rule(Treatment::LeaveOut, "Phone")];
    for _ in 0..2 {
        assert!(store.scrub(&source(), &privacy(&both), 10).await.unwrap().done);
        assert_eq!(fields(&store, pipeline, "Name").await, [hash.clone(), Some(told("treated"))]);
        assert_eq!(fields(&store, pipeline, "Phone").await, [Some(Field::Diff), Some(Field::Diff)]);
        assert_eq!(fields(&store, pipeline, "Fax").await, [Some(told("kept")), None]);
    }
    // The event that comes again is still known.
    assert_eq!(store.append(subscription, vec![of(1).arrives()], NOW).await.unwrap().doubles, 1);
}

pub async fn a_scrub_that_was_broken_off_goes_on_where_it_was<B: Backend>() {
    let backend = B::empty();
    let rules = [rule(Treatment::Hash, "Name")];
    let hash = Some(told(&hashed(SECRET.as_bytes(), "Ada")));
    {
        let store = backend.open().await;
        let subscription = subscribed(&store).await;
        let group = (1..=5).map(|number| event(number).fields([("Name", told("Ada"))]).arrives()).collect();
        store.append(subscription, group, NOW).await.unwrap();
        let scrubbed = store.scrub(&source(), &privacy(&rules), 2).await.unwrap();
        assert_eq!(scrubbed, Scrubbed { looked_at: 2, rewritten: 2, evidence: 0, done: false });
        assert_eq!(store.in_clear(&source(), &rules).await.unwrap()[0].entries, 3);
    }
    let store = backend.open().await;
    while !store.scrub(&source(), &privacy(&rules), 2).await.unwrap().done {}
    let pipeline = accounts(&store).await.id;
    assert_eq!(fields(&store, pipeline, "Name").await, vec![hash; 5]);
}

pub async fn a_rule_that_is_gone_is_noted_as_dropped<B: Backend>() {
    let store = B::empty().open().await;
    let rules = [rule(Treatment::Hash, "Name")];
    store.note_privacy(&source(), &rules).await.unwrap();
    // Another treatment of the field is another rule.
    let others = [rule(Treatment::Mask, "Name")];
    let noted = store.note_privacy(&source(), &others).await.unwrap();
    assert_eq!(noted, NotedPrivacy { new: others.to_vec(), dropped: rules.to_vec() });
    assert_eq!(store.noted_privacy(&source()).await.unwrap(), others);
}

pub async fn a_rule_that_is_back_treats_what_came_without_it_and_nothing_twice<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let of = |number, text: &str| event(number).fields([("Name", told(text))]).arrives();
    let rules = [rule(Treatment::Hash, "Name")];
    store.append(subscription, vec![of(1, "Ada")], NOW).await.unwrap();
    assert_eq!(store.scrub(&source(), &privacy(&rules), 10).await.unwrap().rewritten, 1);
    store.append(subscription, vec![of(2, "treated")], NOW).await.unwrap();
    store.note_privacy(&source(), &[]).await.unwrap();
    store.append(subscription, vec![of(3, "Ada")], NOW).await.unwrap();
    let entries =
        || async { store.in_clear(&source(), &rules).await.unwrap().iter().map(|one| one.entries).sum::<u64>() };
    assert_eq!(entries().await, 1, "before it is noted");
    store.note_privacy(&source(), &rules).await.unwrap();
    assert_eq!(entries().await, 1, "and behind");
    let scrubbed = store.scrub(&source(), &privacy(&rules), 10).await.unwrap();
    assert_eq!((scrubbed.looked_at, scrubbed.rewritten), (1, 1));
    let hash = Some(told(&hashed(SECRET.as_bytes(), "Ada")));
    assert_eq!(fields(&store, pipeline, "Name").await, [hash.clone(), Some(told("treated")), hash]);
}

pub async fn scrubbing_reaches_messages_without_an_object_and_evidence<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let body = Value::from(serde_json::json!({"sobject": {"Id": account(1).as_str(), "Name": "Ada", "Fax": "kept"}}));
    let notification =
        Change { channel: channel(), replay_id: replay_id(1), happening: Happening::Notification { body } };
    store.append(subscription, vec![Arrival::Change(notification)], NOW).await.unwrap();
    let pipeline = accounts(&store).await.id;
    let row = crate::store::Parked {
        evidence: "Ada is no name".to_owned(),
        request: Some("Ada".to_owned()),
        ..failed(pipeline, account(1), 1)
    };
    store.settle(Settlement { park: vec![row], ..Settlement::default() }).await.unwrap();
    let rules = [rule(Treatment::LeaveOut, "Name")];
    assert_eq!(store.in_clear(&source(), &rules).await.unwrap()[0].entries, 1);
    let scrubbed = store.scrub(&source(), &privacy(&rules), 10).await.unwrap();
    assert_eq!(scrubbed, Scrubbed { looked_at: 1, rewritten: 1, evidence: 1, done: true });
    let row = &store.parked(9).await.unwrap()[0];
    assert_eq!((row.evidence.as_str(), &row.request), ("", &None));
    // What is left of it names no such value, so nothing of it is rewritten once more.
    let more = [rules[0].clone(), rule(Treatment::LeaveOut, "Phone")];
    assert_eq!(store.scrub(&source(), &privacy(&more), 10).await.unwrap().rewritten, 0);
}

pub async fn a_forgotten_record_keeps_its_events_without_their_values<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let body = Value::from(serde_json::json!({"sobject": {"Id": account(1).as_str(), "Name": "Ada"}}));
    let other =
        |number, happening| Arrival::Change(Change { channel: channel(), replay_id: replay_id(number), happening });
    let mention = [("For__c".to_owned(), Value::text(account(1).as_str()))].into();
    let group = vec![
        event(1).kind(ChangeKind::Create).arrives(),
        event(2).records(&[account(1), account(2)]).arrives(),
        event(3).records(&[account(2)]).arrives(),
        event(4).kind(ChangeKind::Delete).fields([]).arrives(),
        event(5).kind(ChangeKind::Undelete).arrives(),
        other(6, Happening::Notification { body }),
        other(7, Happening::Event { uuid: Some("u".to_owned()), fields: mention }),
    ];
    store.append(subscription, group, NOW).await.unwrap();
    let row = crate::store::Parked {
        evidence: "Ada is no name".to_owned(),
        request: Some("Ada".to_owned()),
        ..failed(pipeline, account(1), 1)
    };
    store.settle(Settlement { park: vec![row], ..Settlement::default() }).await.unwrap();

    let forgotten = store.forget_record(&source(), account(1)).await.unwrap();
    let expected = Forgotten { events: 3, shared: 1, notifications: 1, evidence: 1, mentions: 1 };
    assert_eq!(forgotten, expected);
    let page = store.page(pipeline, Seq::ZERO, 100).await.unwrap();
    let kinds = page.entries.iter().map(|entry| match &entry.change.happening {
        Happening::Record(change) => (change.header.change_type, change.fields.len()),
        Happening::Event { .. } | Happening::Notification { .. } => unreachable!(),
    });
    // What told values tells only that there are some: whoever has not seen it yet must read.
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            (ChangeKind::GapCreate, 0),
            (ChangeKind::GapUpdate, 0),
            (ChangeKind::Update, 1),
            (ChangeKind::Delete, 0),
            (ChangeKind::GapUndelete, 0)
        ]
    );
    let newest = store.newest_parts(pipeline, vec![account(1)], Seq(4)).await.unwrap();
    assert_eq!(newest[&account(1)], ChangeKind::Delete);
    let row = &store.parked(9).await.unwrap()[0];
    assert_eq!((row.evidence.as_str(), &row.request, row.record), ("", &None, account(1)));
    // It opened no gap, comes no second time, and there is nothing more to forget.
    assert_eq!(store.gaps().await.unwrap(), []);
    let again = vec![event(1).kind(ChangeKind::Create).arrives()];
    assert_eq!(store.append(subscription, again, NOW).await.unwrap().doubles, 1);
    let nothing = Forgotten { notifications: 0, mentions: 1, ..Forgotten::default() };
    assert_eq!(store.forget_record(&source(), account(1)).await.unwrap(), nothing);
}

pub async fn a_record_of_another_org_is_not_forgotten<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    store.append(subscription, vec![event(1).arrives()], NOW).await.unwrap();
    assert_eq!(store.forget_record(&name("target"), account(1)).await.unwrap(), Forgotten::default());
    assert!(fields(&store, pipeline, "Name").await[0].is_some());
}
