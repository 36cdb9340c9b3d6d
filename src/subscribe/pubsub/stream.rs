//! What a subscription has received over its streams, and so where the next one begins. Pure.

use tokio::time::Instant;

use super::decode::Undecodable as Unread;
use crate::event::{
    Arrival, Change, ChangeKind, Channel, Fields, Happening, ObjectName, RecordChange, ReplayFrom, ReplayId, Timestamp,
    Undecodable,
};
use crate::subscribe::ChannelStart;
use crate::subscribe::position::{LIVE_MARGIN, START_MARGIN, YOUNG};

/// One subscription, from one stream to the next.
#[derive(Debug)]
pub struct Subscription {
    start: ChannelStart,
    created: Instant,
    asked: bool,
    /// The newest id received, and the newest that is known to have come with all its events.
    last: Option<ReplayId>,
    complete: Option<ReplayId>,
    /// When the events of the newest id were committed.
    committed: Option<Timestamp>,
    passed: Option<(ReplayId, u64)>,
    live_until: Option<Timestamp>,
}

/// What a response means, beside its events.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    pub arrivals: Vec<Arrival>,
    /// Nothing of the past is left to come.
    pub caught_up: bool,
}

impl Subscription {
    pub fn new(start: ChannelStart, now: Instant) -> Self {
        let complete = match &start.plan.from {
            ReplayFrom::After(id) => Some(id.clone()),
            ReplayFrom::Tip | ReplayFrom::Earliest => None,
        };
        let live_until = start.plan.live_until;
        Self { start, created: now, asked: false, last: None, complete, committed: None, passed: None, live_until }
    }

    pub fn channel(&self) -> &Channel {
        &self.start.channel
    }

    /// Where the next stream begins. After the first one at the tip everything since then is owed, so a later one that
    /// knows no id goes to the earliest; so does a first one that comes long after its start was committed.
    pub fn from(&self, now: Instant) -> ReplayFrom {
        let fresh = !self.asked && now.duration_since(self.created) < START_MARGIN;
        match (&self.complete, &self.start.plan.from) {
            (Some(id), _) => ReplayFrom::After(id.clone()),
            (None, ReplayFrom::Tip) if fresh => ReplayFrom::Tip,
            (None, ReplayFrom::Tip | ReplayFrom::Earliest | ReplayFrom::After(_)) => ReplayFrom::Earliest,
        }
    }

    /// A stream was opened: whatever happens on the bus from now on is owed.
    pub fn opened(&mut self) {
        self.asked = true;
    }

    /// The org does not know the id.
    pub fn forget_position(&mut self) {
        (self.last, self.complete, self.committed) = (None, None, None);
    }

    /// An event came. It is handed over, behind those that nobody wanted before it. `server_time` is the org's clock.
    pub fn receive(&mut self, change: Change, server_time: Timestamp) -> impl Iterator<Item = Arrival> {
        let proof = self.ended(&change.replay_id, server_time);
        self.note(&change.replay_id);
        self.committed = change.committed().max(self.committed);
        let passes_over = self.start.passes_over(&change);
        // Where a proof stands between the two, it must not speak for those behind it.
        let passed = if passes_over && proof.is_none() { None } else { self.take_passed() };
        if passes_over {
            let (replay_id, events) = self.passed.get_or_insert_with(|| (change.replay_id.clone(), 0));
            replay_id.clone_from(&change.replay_id);
            *events += 1;
        }
        let wanted = (!passes_over).then_some(Arrival::Change(change));
        [passed, proof, wanted].into_iter().flatten()
    }

    /// Another id follows: where ids repeat, all events of the one before have come, and all that was committed before
    /// them. A busy channel has no other proof of being live, for keepalives come only when there are no events. It is
    /// told about once a minute.
    fn ended(&mut self, next: &ReplayId, server_time: Timestamp) -> Option<Arrival> {
        if !self.channel().repeats_ids() || self.last.as_ref() == Some(next) {
            return None;
        }
        let until = self.committed.take()?.min(server_time).minus(LIVE_MARGIN);
        if self.live_until.is_some_and(|before| until < before.plus(YOUNG)) {
            return None;
        }
        self.live_until = Some(until);
        Some(Arrival::Live { until })
    }

    /// An event came that cannot be read. Where its header was readable it becomes a gap event of its records.
    pub fn unread(
        &mut self,
        replay_id: ReplayId,
        schema_id: &str,
        payload: &[u8],
        unread: Unread,
    ) -> impl Iterator<Item = Arrival> {
        self.note(&replay_id);
        // It may be of any time.
        self.committed = None;
        let Unread { header, reason } = unread;
        let entity: Option<ObjectName> = header.as_ref().map(|header| header.entity_name.clone());
        let change = header.map(|mut header| {
            header.change_type =
                if header.change_type.is_delete() { ChangeKind::GapDelete } else { ChangeKind::GapUpdate };
            let happening = Happening::Record(RecordChange { header, fields: Fields::new() });
            Change { channel: self.channel().clone(), replay_id: replay_id.clone(), happening }
        });
        let undecodable = Undecodable {
            replay_id: Some(replay_id),
            change,
            object: entity.or_else(|| self.channel().object()),
            schema_id: Some(schema_id.to_owned()).filter(|id| !id.is_empty()),
            length: payload.len() as u64,
            digest: digest(payload),
            reason: reason.to_string(),
        };
        self.take_passed().into_iter().chain(Some(Arrival::Undecodable(undecodable)))
    }

    /// The events of a response have all been received. `latest` is the response's own id: the org has nothing up to
    /// there that was not sent. `committed` is when the last event was, `server_time` the org's clock.
    pub fn answered(
        &mut self,
        events: usize,
        latest: &[u8],
        committed: Option<Timestamp>,
        server_time: Timestamp,
    ) -> Progress {
        let mut arrivals: Vec<Arrival> = self.take_passed().into_iter().collect();
        let latest = ReplayId(latest.to_vec());
        // The id of the last event says nothing new, and under it more may come where ids repeat.
        if !latest.0.is_empty() && (events == 0 || self.last.as_ref() != Some(&latest)) {
            self.last = Some(latest.clone());
            self.complete = Some(latest.clone());
            self.committed = None;
            arrivals.push(Arrival::Passed { replay_id: latest, events: 0 });
        }
        // A keepalive comes when nothing is waiting. An event shows that all that was committed before it has come, for
        // the bus keeps the order of commits.
        let (seen, caught_up) = match committed {
            _ if events == 0 => (Some(server_time), true),
            // Where an id can repeat, more events may still come under the last one, and `Live` would call it complete.
            Some(committed) if !self.channel().repeats_ids() => {
                (Some(committed), committed >= server_time.minus(YOUNG))
            }
            Some(committed) => (None, committed >= server_time.minus(YOUNG)),
            None => (None, false),
        };
        if let Some(until) = seen.map(|seen| seen.min(server_time).minus(LIVE_MARGIN))
            && self.live_until.is_none_or(|before| before < until)
        {
            self.live_until = Some(until);
            arrivals.push(Arrival::Live { until });
        }
        Progress { arrivals, caught_up }
    }

    /// Enriched channels repeat an id over several events, so there an id is complete only when another one follows.
    fn note(&mut self, id: &ReplayId) {
        if self.channel().repeats_ids() {
            if self.last.as_ref() != Some(id) {
                self.complete = self.last.replace(id.clone()).or(self.complete.take());
            }
        } else {
            self.complete = Some(id.clone());
            self.last = Some(id.clone());
        }
    }

    fn take_passed(&mut self) -> Option<Arrival> {
        let (replay_id, events) = self.passed.take()?;
        Some(Arrival::Passed { replay_id, events })
    }
}

/// SHA-256, in hex.
fn digest(payload: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, payload);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::bitmap::BitmapError;
    use super::super::decode::Reason;
    use super::*;
    use crate::config::Start;
    use crate::event::{Field, Header, Value};
    use crate::store::{Mended, Position};
    use crate::subscribe::position::Plan;
    use crate::subscribe::testing::Kept;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn subscription(channel: &str, from: ReplayFrom) -> Subscription {
        let plan = Plan { from, skip_before: None, live_until: None, commit_start: None };
        Subscription::new(ChannelStart { channel: channel.parse().unwrap(), plan, wanted: None }, Instant::now())
    }

    fn id(n: u8) -> ReplayId {
        ReplayId(vec![0, n])
    }

    fn header(kind: ChangeKind) -> Header {
        Header {
            entity_name: "Account".parse().unwrap(),
            record_ids: vec!["001000000000001AAA".parse().unwrap()],
            wildcard: false,
            change_type: kind,
            change_origin: String::new(),
            transaction_key: "t".into(),
            sequence_number: 1,
            commit_timestamp: NOW,
            commit_number: 1,
            commit_user: String::new(),
        }
    }

    fn change(n: u8) -> Change {
        let fields = [("Name".to_owned(), Field::New(Value::Null))].into();
        let happening = Happening::Record(RecordChange { header: header(ChangeKind::Update), fields });
        Change { channel: "/data/AccountChangeEvent".parse().unwrap(), replay_id: id(n), happening }
    }

    #[test]
    fn a_stream_goes_on_behind_the_last_event() {
        let mut one = subscription("/data/AccountChangeEvent", ReplayFrom::Tip);
        assert_eq!(one.from(Instant::now()), ReplayFrom::Tip);
        one.opened();
        assert_eq!(one.from(Instant::now()), ReplayFrom::Earliest, "what came since the first one is owed");
        assert_eq!(one.receive(change(7), NOW).count(), 1);
        assert_eq!(one.from(Instant::now()), ReplayFrom::After(id(7)));
        one.forget_position();
        assert_eq!(one.from(Instant::now()), ReplayFrom::Earliest);
    }

    #[test]
    fn a_first_stream_that_comes_late_goes_to_the_earliest() {
        let one = subscription("/data/AccountChangeEvent", ReplayFrom::Tip);
        assert_eq!(one.from(Instant::now() + START_MARGIN + Duration::from_secs(1)), ReplayFrom::Earliest);
    }

    #[test]
    fn a_keepalive_saves_its_position_and_shows_that_nothing_waits() {
        let mut one = subscription("/data/AccountChangeEvent", ReplayFrom::Earliest);
        let progress = one.answered(0, &[0, 9], None, NOW);
        let until = NOW.minus(LIVE_MARGIN);
        assert_eq!(progress.arrivals, [Arrival::Passed { replay_id: id(9), events: 0 }, Arrival::Live { until }]);
        assert!(progress.caught_up);
        assert_eq!(one.from(Instant::now()), ReplayFrom::After(id(9)));
    }

    #[test]
    fn where_ids_repeat_one_is_complete_when_another_follows() {
        let mut one = subscription("/data/ChangeEvents", ReplayFrom::After(id(1)));
        one.receive(change(7), NOW).count();
        assert_eq!(one.answered(1, &[0, 7], Some(NOW), NOW).arrivals, [], "more may come under it");
        one.receive(change(7), NOW).count();
        assert_eq!(one.from(Instant::now()), ReplayFrom::After(id(1)));
        one.receive(change(8), NOW).count();
        assert_eq!(one.from(Instant::now()), ReplayFrom::After(id(7)));
        one.answered(0, &[0, 8], None, NOW);
        assert_eq!(one.from(Instant::now()), ReplayFrom::After(id(8)), "a keepalive ends the group");
    }

    #[test]
    fn a_channel_whose_ids_repeat_and_that_is_never_quiet_is_proven_live_by_the_next_id() {
        let mut one = subscription("/data/ChangeEvents", ReplayFrom::After(id(1)));
        one.start.wanted = Some(["Account".parse().unwrap()].into());
        let at = |n: u8| NOW.plus(Duration::from_secs(30) * u32::from(n));
        let event = |n: u8, entity: &str| {
            let mut change = change(n);
            if let Happening::Record(record) = &mut change.happening {
                record.header.commit_timestamp = at(n);
                record.header.entity_name = entity.parse().unwrap();
            }
            change
        };
        let mut told: Vec<String> = Vec::new();
        for response in
            [&[(2, "Account"), (2, "Account")][..], &[(3, "Account")], &[(4, "Lead"), (5, "Lead")], &[(6, "Account")]]
        {
            let mut arrivals = Vec::new();
            for (n, entity) in response {
                arrivals.extend(one.receive(event(*n, entity), at(*n)));
            }
            let last = response.last().unwrap().0;
            arrivals.extend(one.answered(response.len(), &[0, last], Some(at(last)), at(last)).arrivals);
            told.extend(arrivals.into_iter().map(|arrival| match arrival {
                Arrival::Change(change) => format!("{:?}", change.replay_id),
                Arrival::Live { until } => format!("live to {}", (until.0 - NOW.0) / 1_000),
                Arrival::Passed { replay_id, events } => format!("{events} to {replay_id:?}"),
                other => panic!("{other:?}"),
            }));
        }
        let expected = ["0002", "0002", "live to 58", "0003", "1 to 0004", "live to 118", "1 to 0005", "0006"];
        assert_eq!(told, expected, "once a minute, and behind all that it speaks of");
    }

    #[tokio::test]
    async fn four_busy_days_of_a_channel_whose_ids_repeat_are_no_reason_to_warn() {
        const ALL: &str = "/data/ChangeEvents";
        let (mut one, mut kept, mut arrivals) =
            (subscription(ALL, ReplayFrom::Earliest), Kept::new(ALL).await, Vec::new());
        // Often enough that no keepalive comes.
        let every = Duration::from_secs(240);
        for number in 1..=96 * 15_u32 {
            let now = NOW.plus(every * number);
            let mut change = change(0);
            change.replay_id = ReplayId(number.to_be_bytes().to_vec());
            if let Happening::Record(record) = &mut change.happening {
                record.header.commit_timestamp = now;
                record.header.transaction_key = number.to_string();
            }
            arrivals.extend(one.receive(change, now));
            arrivals.extend(one.answered(1, &number.to_be_bytes(), Some(now), now).arrivals);
            if number % 15 == 0 {
                kept.take(std::mem::take(&mut arrivals), now).await;
                let live_until = Some(now.minus(every).minus(LIVE_MARGIN));
                assert_eq!(kept.position().await.live_until, live_until);
            }
        }
        assert_eq!(kept.gaps().await, []);
    }

    #[test]
    fn an_event_that_cannot_be_read_becomes_a_gap_of_its_records() {
        for (kind, gap) in [
            (ChangeKind::Update, ChangeKind::GapUpdate),
            (ChangeKind::Create, ChangeKind::GapUpdate),
            (ChangeKind::Delete, ChangeKind::GapDelete),
        ] {
            let mut one = subscription("/data/ChangeEvents", ReplayFrom::Tip);
            let unread = Unread { header: Some(header(kind)), reason: Reason::Bitmap(BitmapError("is odd")) };
            let arrivals: Vec<Arrival> = one.unread(id(3), "schema", b"abc", unread).collect();
            let [Arrival::Undecodable(event)] = &arrivals[..] else { panic!("{arrivals:?}") };
            let Some(Change { happening: Happening::Record(record), .. }) = &event.change else { panic!() };
            assert_eq!((record.header.change_type, record.fields.len()), (gap, 0));
            assert_eq!((event.length, event.schema_id.as_deref()), (3, Some("schema")));
            assert!(event.digest.starts_with("ba7816bf"), "{}", event.digest);
        }
    }

    #[test]
    fn events_that_nobody_wants_are_counted_and_move_the_position() {
        let mut one = subscription("/data/ChangeEvents", ReplayFrom::Tip);
        one.start.wanted = Some(["Contact".parse().unwrap()].into());
        assert_eq!(one.receive(change(1), NOW).count() + one.receive(change(1), NOW).count(), 0);
        let progress = one.answered(2, &[0, 1], Some(NOW), NOW);
        assert_eq!(progress.arrivals, [Arrival::Passed { replay_id: id(1), events: 2 }]);
    }

    const ACCOUNTS: &str = "/data/AccountChangeEvent";
    const KEEPALIVE: Duration = Duration::from_secs(270);

    /// One event, and after it keepalives alone for so many hours; and what time it is then.
    async fn quiet(hours: u32) -> (Subscription, Kept, Timestamp) {
        let (mut one, mut kept) = (subscription(ACCOUNTS, ReplayFrom::Earliest), Kept::new(ACCOUNTS).await);
        let mut arrivals: Vec<Arrival> = one.receive(change(1), NOW).collect();
        arrivals.extend(one.answered(1, &[0, 1], Some(NOW), NOW).arrivals);
        kept.take(arrivals, NOW).await;
        kept.probed(NOW.minus(KEEPALIVE)).await;
        let (mut now, mut arrivals) = (NOW, Vec::new());
        for number in 1..=hours * 3_600 / 270 {
            now = NOW.plus(KEEPALIVE * number);
            let id = ReplayId(number.to_be_bytes().to_vec());
            let progress = one.answered(0, &id.0, None, now);
            assert!(progress.caught_up);
            arrivals.extend(progress.arrivals);
            // The journal takes what has come; an hour of it at once keeps the test short.
            if number % 10 == 0 || number == hours * 3_600 / 270 {
                kept.take(std::mem::take(&mut arrivals), now).await;
                let live_until = Some(now.minus(LIVE_MARGIN));
                assert_eq!(kept.position().await, Position { replay_id: Some(id), started_at: None, live_until });
            }
        }
        (one, kept, now)
    }

    #[tokio::test]
    async fn four_days_of_keepalives_alone_leave_no_gap_and_a_restart_goes_on_behind_the_last_of_them() {
        let (one, kept, now) = quiet(96).await;
        assert_eq!(kept.gaps().await, []);
        let from = ReplayFrom::After(ReplayId(1_280_u32.to_be_bytes().to_vec()));
        assert_eq!(one.from(Instant::now()), from);
        assert_eq!(Plan::new(&kept.position().await, [Start::Tip], now).from, from);
    }

    #[tokio::test]
    async fn a_position_that_is_refused_after_quiet_days_is_no_gap_when_the_newest_event_comes_again() {
        let (mut one, mut kept, now) = quiet(70).await;
        one.forget_position();
        assert_eq!(one.from(Instant::now()), ReplayFrom::Earliest);
        let mut arrivals = vec![Arrival::Refused { at: now }];
        arrivals.extend(one.receive(change(1), NOW));
        arrivals.extend(one.answered(1, &[0, 1], Some(NOW), now).arrivals);
        kept.take(arrivals, now).await;
        kept.assert_mended(Mended::CameAgain).await;
    }

    #[tokio::test]
    async fn a_position_that_is_refused_after_four_quiet_days_leaves_the_minutes_since_the_last_proof_until_the_probe()
    {
        let (mut one, mut kept, now) = quiet(96).await;
        let proof = now.minus(LIVE_MARGIN);
        one.forget_position();
        // The org keeps nothing any more, and says so with a keepalive.
        let later = now.plus(KEEPALIVE);
        let mut arrivals = vec![Arrival::Refused { at: now }];
        arrivals.extend(one.answered(0, &[9, 9], None, later).arrivals);
        kept.take(arrivals, later).await;
        kept.assert_short_window(proof, KEEPALIVE).await;
        kept.probed(later).await;
        kept.assert_mended(Mended::Probe).await;
    }
}
