//! What a session knows of one channel: from where to ask, how far it is, and when it was seen live.

use std::time::Duration;

use tokio::time::Instant;

use super::{Event, Heard};
use crate::event::{Change, Channel, Happening, ReplayFrom, ReplayId, Timestamp};
use crate::retry::Backoff;
use crate::subscribe::ChannelStart;
use crate::subscribe::cometd::decode::DecodeError;
use crate::subscribe::cometd::message;
use crate::subscribe::position::{LIVE_MARGIN, START_MARGIN, YOUNG};

/// A channel without an event for so long, while others have some, has nothing waiting.
const QUIET: Duration = Duration::from_secs(5);

/// What the last subscribe asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Tip,
    Earliest,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Wanted {
        at: Instant,
    },
    /// It would start at the earliest event, and the caller was asked whether it may.
    AwaitFallback,
    Asking,
    Active,
}

/// The commit of the newest event of a batch, and up to when it shows that all has come.
#[derive(Debug, Clone, Copy)]
struct Newest {
    commit: Timestamp,
    until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Subscription {
    start: ChannelStart,
    created: Instant,
    state: State,
    asked: Asked,
    /// The stored position is of another transport.
    unusable: bool,
    /// Whether a start at the earliest is allowed; asked for each.
    earliest_fits: Option<bool>,
    /// The newest id received, and the newest that is known to have come with all its events.
    last: Option<ReplayId>,
    complete: Option<ReplayId>,
    /// Since the last event or the acceptance of the subscription.
    quiet_since: Instant,
    /// Since `begin_batch`.
    events_in_batch: u64,
    newest: Option<Newest>,
    /// Up to when the events of the newest id show that all has come, once another id follows.
    under_last: Option<Timestamp>,
    passed: Option<(ReplayId, u64)>,
    live_until: Option<Timestamp>,
    caught_up: bool,
    newly_caught_up: bool,
    retry: Backoff,
}

impl Subscription {
    pub(super) fn new(start: ChannelStart, (first, max): (Duration, Duration), now: Instant) -> Self {
        let (complete, unusable) = match &start.plan.from {
            ReplayFrom::After(id) if message::is_replay_number(id) => (Some(id.clone()), false),
            ReplayFrom::After(_) => (None, true),
            ReplayFrom::Tip | ReplayFrom::Earliest => (None, false),
        };
        Self {
            created: now,
            state: State::Wanted { at: now },
            asked: Asked::Nothing,
            unusable,
            earliest_fits: None,
            last: None,
            complete,
            quiet_since: now,
            events_in_batch: 0,
            newest: None,
            under_last: None,
            passed: None,
            live_until: start.plan.live_until,
            caught_up: false,
            newly_caught_up: false,
            retry: Backoff::new(first, max),
            start,
        }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.start.channel
    }

    pub(super) fn asked(&self) -> Asked {
        self.asked
    }

    /// Events on this channel are ours. Those of a filtered PushTopic may come without its query.
    pub(super) fn delivers(&self, channel: &str) -> bool {
        let ours = self.channel().as_str();
        ours == channel || ours.split('?').next() == Some(channel)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Wanted { at } if at <= now)
    }

    /// The caller must be asked first; said once.
    pub(super) fn needs_fallback(&mut self, now: Instant) -> bool {
        let asks = self.is_due(now) && self.earliest_fits.is_none() && self.begins(now) == Asked::Earliest;
        if asks {
            self.state = State::AwaitFallback;
        }
        asks
    }

    pub(super) fn awaits_fallback(&self) -> bool {
        self.state == State::AwaitFallback
    }

    pub(super) fn fallback(&mut self, fits: bool, now: Instant) {
        if self.state == State::AwaitFallback {
            self.earliest_fits = Some(fits);
            self.state = State::Wanted { at: now };
        }
    }

    fn begins(&self, now: Instant) -> Asked {
        let fresh = self.asked == Asked::Nothing && now.duration_since(self.created) < START_MARGIN;
        match (&self.complete, &self.start.plan.from) {
            (Some(_), _) => Asked::After,
            (None, ReplayFrom::Tip) if fresh => Asked::Tip,
            (None, ReplayFrom::Tip | ReplayFrom::Earliest | ReplayFrom::After(_)) => Asked::Earliest,
        }
    }

    /// The next subscribe. After the first one at the tip everything since then is owed, so a later one that knows no
    /// id goes to the earliest; so does a first one that comes long after its start was committed.
    pub(super) fn ask(&mut self, now: Instant) -> (Channel, ReplayFrom) {
        let asked = self.begins(now);
        let from = match (asked, &self.complete) {
            (Asked::After, Some(id)) => ReplayFrom::After(id.clone()),
            (Asked::Tip, _) => ReplayFrom::Tip,
            // Not what is owed, but all that the day's deliveries allow.
            (Asked::Earliest, _) if self.earliest_fits == Some(false) => ReplayFrom::Tip,
            (Asked::Nothing | Asked::Earliest | Asked::After, _) => ReplayFrom::Earliest,
        };
        self.earliest_fits = None;
        self.state = State::Asking;
        self.asked = asked;
        (self.channel().clone(), from)
    }

    pub(super) fn accepted(&mut self, now: Instant) {
        self.state = State::Active;
        self.quiet_since = now;
        self.retry.reset();
    }

    /// Asked for again after a pause, or by the next session.
    pub(super) fn refused(&mut self, now: Instant) -> Instant {
        let at = now + self.retry.next_delay();
        self.state = State::Wanted { at };
        at
    }

    pub(super) fn busy(&mut self, until: Instant) {
        self.state = State::Wanted { at: until };
    }

    pub(super) fn forget_position(&mut self, now: Instant) {
        (self.last, self.complete, self.under_last) = (None, None, None);
        self.state = State::Wanted { at: now };
    }

    /// Said once: the stored position cannot even be asked for.
    pub(super) fn take_unusable(&mut self) -> bool {
        std::mem::take(&mut self.unusable)
    }

    pub(super) fn lost(&mut self) {
        (self.caught_up, self.newly_caught_up) = (false, false);
    }

    /// A new session knows nothing of the subscriptions of the one before.
    pub(super) fn ask_again(&mut self, now: Instant) {
        if self.state != State::AwaitFallback {
            self.state = State::Wanted { at: now };
        }
    }

    pub(super) fn receive(&mut self, mut change: Change, heard: Heard, now: Instant) -> impl Iterator<Item = Event> {
        self.quiet_since = now;
        self.events_in_batch += 1;
        let newest = newest(&change);
        self.newest = newest.or(self.newest);
        let proof = self.ended(&change.replay_id, heard.server_time_at(now));
        self.note(&change.replay_id);
        self.under_last = newest.map(|newest| newest.until).max(self.under_last);
        let passes_over = self.start.passes_over(&change);
        // Where a proof stands between the two, it must not speak for those behind it.
        let passed = if passes_over && proof.is_none() { None } else { self.take_passed() };
        if passes_over {
            let (replay_id, events) = self.passed.get_or_insert_with(|| (change.replay_id.clone(), 0));
            replay_id.clone_from(&change.replay_id);
            *events += 1;
        }
        change.channel = self.channel().clone();
        let wanted = (!passes_over).then(|| Event::Change(Box::new(change)));
        [passed, proof, wanted].into_iter().flatten()
    }

    /// Another id follows: where ids repeat, all events of the one before have come, and all that was committed before
    /// them. A busy channel has no other proof of being live. It is told about once a minute.
    fn ended(&mut self, next: &ReplayId, server_time: Timestamp) -> Option<Event> {
        if !self.channel().repeats_ids() || self.last.as_ref() == Some(next) {
            return None;
        }
        let until = self.under_last.take()?.min(server_time.minus(LIVE_MARGIN));
        if self.live_until.is_some_and(|before| until < before.plus(YOUNG)) {
            return None;
        }
        self.live_until = Some(until);
        Some(Event::Live { channel: self.channel().clone(), until })
    }

    /// An event came that cannot be read. It is told once, so its id counts as received.
    pub(super) fn unread(&mut self, mut error: DecodeError, now: Instant) -> impl Iterator<Item = Event> {
        self.quiet_since = now;
        self.events_in_batch += 1;
        if let Some(id) = &error.replay_id {
            self.note(id);
        }
        // It may be of any time.
        self.under_last = None;
        error.channel = self.channel().to_string();
        self.take_passed().into_iter().chain(Some(Event::Undecodable(error)))
    }

    /// Enriched channels repeat an id over several events, so there an id is complete only when another one follows.
    fn note(&mut self, id: &ReplayId) {
        let repeats = self.channel().repeats_ids();
        if repeats && self.last.as_ref() != Some(id) {
            self.complete = self.last.replace(id.clone()).or(self.complete.take());
        } else if !repeats {
            self.complete = Some(id.clone());
            self.last = Some(id.clone());
        }
    }

    pub(super) fn take_passed(&mut self) -> Option<Event> {
        let (replay_id, events) = self.passed.take()?;
        Some(Event::Passed { channel: self.channel().clone(), replay_id, events })
    }

    /// Nothing came for this channel since `begin_batch`.
    pub(super) fn is_quiet(&self) -> bool {
        self.events_in_batch == 0
    }

    pub(super) fn begin_batch(&mut self) {
        self.events_in_batch = 0;
        self.newest = None;
    }

    /// A connect that the server was free to hold was answered. If no event came meanwhile (`idle`: on any channel), or
    /// none for long, nothing is waiting for us.
    pub(super) fn connect_answered(&mut self, idle: bool, heard: Heard, now: Instant) -> Vec<Event> {
        if self.state != State::Active {
            return Vec::new();
        }
        let for_long = heard.since.saturating_duration_since(self.quiet_since) >= QUIET;
        if !(for_long || (idle && self.is_quiet())) {
            return self.events_came(heard, now);
        }
        if self.last.is_some() {
            self.complete.clone_from(&self.last);
        }
        self.seen(heard.server_time.minus(LIVE_MARGIN), true)
    }

    /// All that was committed before the newest event has come, for the bus keeps the order of commits.
    pub(super) fn events_came(&mut self, heard: Heard, now: Instant) -> Vec<Event> {
        match self.newest.take() {
            // Where an id can repeat, more events may still come under the last one, and `Live` would call it complete.
            Some(_) if self.channel().repeats_ids() => Vec::new(),
            Some(newest) => {
                let server_time = heard.server_time_at(now);
                let until = newest.until.min(server_time.minus(LIVE_MARGIN));
                self.seen(until, newest.commit >= server_time.minus(YOUNG))
            }
            None => Vec::new(),
        }
    }

    fn seen(&mut self, until: Timestamp, caught_up: bool) -> Vec<Event> {
        if self.state != State::Active {
            return Vec::new();
        }
        let mut events = Vec::new();
        if self.live_until.is_none_or(|before| before < until) {
            self.live_until = Some(until);
            events.push(Event::Live { channel: self.channel().clone(), until });
        }
        if caught_up && !self.caught_up {
            (self.caught_up, self.newly_caught_up) = (true, true);
        }
        events
    }

    /// Told once after each subscribe: nothing of the past is left to come.
    pub(super) fn take_caught_up(&mut self) -> bool {
        std::mem::take(&mut self.newly_caught_up)
    }
}

/// How platform events and notifications are ordered is not documented: publishing takes its time after the commit.
fn newest(change: &Change) -> Option<Newest> {
    let commit = change.committed()?;
    let margin = match &change.happening {
        Happening::Record(_) => LIVE_MARGIN,
        Happening::Event { .. } | Happening::Notification { .. } => YOUNG,
    };
    Some(Newest { commit, until: commit.minus(margin) })
}
