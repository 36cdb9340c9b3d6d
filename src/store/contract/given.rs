//! Events, pipelines and rows to begin with.

use std::str::FromStr;

use crate::event::Arrival;
use crate::event::{
    Change, ChangeKind, Channel, Field, Happening, Header, OrgName, RecordChange, RecordId, ReplayId, Seq, Timestamp,
    Undecodable, Value,
};
use crate::store::{
    Answer, Applied, LinkChange, Parent, Parked, ParkedState, PipelineId, PipelineIdentity, PipelineRow, Question,
    Settlement, Store, SubscriptionId,
};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A checked name of any kind.
pub fn name<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no such name"))
}

/// The account with this number, in the source.
pub fn account(number: u32) -> RecordId {
    name(&format!("001{number:012}"))
}

/// The target's record with this number.
pub fn target(number: u32) -> RecordId {
    name(&format!("a01{number:012}"))
}

pub fn replay_id(number: u32) -> ReplayId {
    ReplayId(number.to_string().into())
}

pub fn channel() -> Channel {
    name("/data/ChangeEvents")
}

/// An update of account 1, alone with the replay id of its own number, unless said otherwise.
pub struct Event(pub Change);

pub fn event(number: u32) -> Event {
    let header = Header {
        entity_name: name("Account"),
        record_ids: vec![account(1)],
        wildcard: false,
        change_type: ChangeKind::Update,
        change_origin: "com/salesforce/api/rest/66.0;client=test".to_owned(),
        transaction_key: format!("transaction-{number}"),
        sequence_number: 1,
        commit_timestamp: Timestamp(NOW.0 + i64::from(number)),
        commit_number: i64::from(number),
        commit_user: "005000000000001AAA".to_owned(),
    };
    let fields = [("Name".to_owned(), Field::New(Value::text(format!("Name {number}"))))].into();
    let happening = Happening::Record(RecordChange { header, fields });
    Event(Change { channel: channel(), replay_id: replay_id(number), happening })
}

impl Event {
    fn change(mut self, change: impl FnOnce(&mut RecordChange)) -> Self {
        if let Happening::Record(record) = &mut self.0.happening {
            change(record);
        }
        self
    }

    pub fn kind(self, kind: ChangeKind) -> Self {
        self.change(|change| change.header.change_type = kind)
    }

    pub fn object(self, object: &str) -> Self {
        self.change(|change| change.header.entity_name = name(object))
    }

    pub fn records(self, records: &[RecordId]) -> Self {
        self.change(|change| change.header.record_ids = records.to_vec())
    }

    pub fn wildcard(self) -> Self {
        self.change(|change| change.header.wildcard = true)
    }

    pub fn fields(self, fields: impl IntoIterator<Item = (&'static str, Field)>) -> Self {
        self.change(|change| change.fields = fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect())
    }

    pub fn committed(self, at: Timestamp) -> Self {
        self.change(|change| change.header.commit_timestamp = at)
    }

    pub fn replay(mut self, number: u32) -> Self {
        self.0.replay_id = replay_id(number);
        self
    }

    pub fn arrives(self) -> Arrival {
        Arrival::Change(self.0)
    }
}

/// An event that this release cannot read, alone with the replay id of its number.
pub fn unreadable(number: u32, change: Option<Event>) -> Undecodable {
    Undecodable {
        replay_id: Some(replay_id(number)),
        change: change.map(|event| event.0),
        object: None,
        schema_id: Some("schema-1".to_owned()),
        length: 77,
        digest: format!("digest-{number}"),
        reason: "the body ends early".to_owned(),
    }
}

pub fn arrivals(numbers: impl IntoIterator<Item = u32>) -> Vec<Arrival> {
    numbers.into_iter().map(|number| event(number).arrives()).collect()
}

pub fn source() -> OrgName {
    name("source")
}

/// The subscription that events come from here.
pub async fn subscribed(store: &impl Store) -> SubscriptionId {
    store.subscription(&source(), &channel()).await.unwrap().id
}

/// Accounts of the source into `Customer__c` of the target.
pub fn identity() -> PipelineIdentity {
    PipelineIdentity {
        name: name("accounts"),
        source_org: source(),
        channel: channel(),
        source_object: name("Account"),
        target_org: name("target"),
        target_object: name("Customer__c"),
        key: name("Source_Id__c"),
    }
}

pub async fn accounts(store: &impl Store) -> PipelineRow {
    store.pipeline(&identity(), Seq::ZERO).await.unwrap()
}

/// A pipeline whose records are children of what `accounts` writes.
pub async fn contacts(store: &impl Store) -> PipelineRow {
    let identity = PipelineIdentity {
        name: name("contacts"),
        source_object: name("Contact"),
        target_object: name("Person__c"),
        ..identity()
    };
    store.pipeline(&identity, Seq::ZERO).await.unwrap()
}

/// An account as a parent.
pub fn parent(number: u32) -> Parent {
    Parent { target_object: name("Customer__c"), record: account(number) }
}

/// The pipeline has settled everything up to there.
pub async fn settled(store: &impl Store, pipeline: PipelineId, seq: u64) {
    let watermarks = vec![(pipeline, Seq(seq))];
    store.settle(Settlement { watermarks, ..Settlement::default() }).await.unwrap();
}

pub fn waiting(pipeline: PipelineId, record: RecordId, seq: u64, waits_for: Parent) -> Parked {
    Parked {
        pipeline,
        record,
        from: Seq(seq),
        to: Seq(seq),
        state: ParkedState::Waiting,
        code: "PARENT".to_owned(),
        fields: vec!["Customer__c".to_owned()],
        waits_for: Some(waits_for),
        attempts: 1,
        tried_at: NOW,
        evidence: "no such parent".to_owned(),
        request: None,
    }
}

pub fn failed(pipeline: PipelineId, record: RecordId, seq: u64) -> Parked {
    Parked {
        pipeline,
        record,
        from: Seq(seq),
        to: Seq(seq),
        state: ParkedState::Failed,
        code: "STRING_TOO_LONG".to_owned(),
        fields: vec!["Name".to_owned(), "It's \"odd\"".to_owned()],
        waits_for: None,
        attempts: 1,
        tried_at: NOW,
        evidence: "data value too large".to_owned(),
        request: None,
    }
}

pub fn link(pipeline: PipelineId, from: RecordId, to: RecordId) -> LinkChange {
    LinkChange::Set { pipeline, source: from, target: to, created: None }
}

pub fn applied(seq: u64) -> Applied {
    Applied { seq: Seq(seq), tombstone: false }
}

pub async fn known(store: &impl Store, pipeline: PipelineId, records: &[RecordId]) -> Answer {
    let question = Question { records: records.to_vec(), parents: vec![] };
    store.known(pipeline, question).await.unwrap()
}
