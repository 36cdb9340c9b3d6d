//! How many events a client is owed, and what has to happen when nothing does (streaming-pubsub.md section 4).
//!
//! Pure: time is an argument. One for each Subscribe and each ManagedSubscribe.

use std::time::Duration;

use tokio::time::Instant;

use super::refusal::Refusal;
use super::replay;
use crate::org::Start;
use pubsub_api::{FetchRequest, ReplayPreset};

/// Who asks for more is owed so many.
pub const MOST: u32 = 100;

/// After how long silence something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While events are owed: a response without events.
    pub keepalive: Duration,
    /// While none are: the end of the stream.
    pub idle: Duration,
}

/// What silence leads to, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Keepalive(Instant),
    Close(Instant),
}

/// What a client is owed.
#[derive(Debug)]
pub struct Demand {
    owed: u32,
    /// The last response, or the beginning.
    quiet_since: Instant,
}

impl Demand {
    pub fn new(now: Instant) -> Self {
        Self { owed: 0, quiet_since: now }
    }

    pub fn owed(&self) -> u32 {
        self.owed
    }

    /// As responses say it.
    pub fn pending(&self) -> i32 {
        i32::try_from(self.owed).unwrap_or(i32::MAX) // at most 100
    }

    /// Adds to what is owed.
    pub fn ask(&mut self, events: u32) {
        self.owed = self.owed.saturating_add(events).min(MOST);
    }

    /// A response with so many events goes out.
    pub fn sent(&mut self, events: usize, now: Instant) {
        self.owed = self.owed.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
        self.quiet_since = now;
    }

    /// What comes next if nothing happens.
    pub fn due(&self, patience: Patience) -> Due {
        if self.owed > 0 {
            Due::Keepalive(self.quiet_since + patience.keepalive)
        } else {
            Due::Close(self.quiet_since + patience.idle)
        }
    }
}

/// Topic and start of a subscription: only its first request is asked for them.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    pub topic: String,
    pub start: Start,
}

impl Opening {
    /// # Errors
    /// What is wrong with the first request of a stream.
    pub fn of(request: &FetchRequest) -> Result<Self, Refusal> {
        if request.topic_name.trim().is_empty() {
            return Err(Refusal::TopicEmpty);
        }
        let start = match request.replay_preset() {
            ReplayPreset::Latest => Start::Tip,
            ReplayPreset::Earliest => Start::Earliest,
            ReplayPreset::Custom if request.replay_id.is_empty() => return Err(Refusal::ReplayIdMissing),
            ReplayPreset::Custom => Start::After(replay::decode(&request.replay_id).ok_or(Refusal::ReplayIdCorrupted)?),
        };
        Ok(Self { topic: request.topic_name.clone(), start })
    }

    /// # Errors
    /// A later request that names another topic.
    pub fn fits(&self, request: &FetchRequest) -> Result<(), Refusal> {
        if request.topic_name.is_empty() || request.topic_name == self.topic {
            Ok(())
        } else {
            Err(Refusal::TopicMismatch)
        }
    }
}

/// How many events a request asks for; none if it only brings a token.
///
/// # Errors
/// When it asks for none and brings no token, or asks for fewer than none.
pub fn asked(request: &FetchRequest) -> Result<u32, Refusal> {
    match u32::try_from(request.num_requested) {
        Ok(0) if !request.auth_refresh.is_empty() => Ok(0),
        Ok(0) if *request == FetchRequest::default() => Err(Refusal::RequestInvalid),
        Ok(0) | Err(_) => Err(Refusal::CountInvalid),
        Ok(events) => Ok(events),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Patience = Patience { keepalive: Duration::from_secs(270), idle: Duration::from_secs(60) };

    fn first(preset: ReplayPreset, replay_id: &[u8]) -> FetchRequest {
        FetchRequest {
            topic_name: "/data/ChangeEvents".into(),
            replay_preset: preset.into(),
            replay_id: replay_id.to_vec().into(),
            num_requested: 1,
            ..FetchRequest::default()
        }
    }

    #[test]
    fn requests_add_up_to_no_more_than_a_hundred() {
        let now = Instant::now();
        let mut demand = Demand::new(now);
        demand.ask(40);
        demand.ask(40);
        assert_eq!(demand.pending(), 80);
        demand.ask(i32::MAX as u32);
        assert_eq!(demand.pending(), 100);
        demand.sent(30, now);
        assert_eq!(demand.pending(), 70);
        demand.ask(20);
        assert_eq!(demand.pending(), 90);
    }

    #[test]
    fn who_is_owed_events_gets_a_keepalive_and_who_is_owed_none_is_closed() {
        let now = Instant::now();
        let mut demand = Demand::new(now);
        assert_eq!(demand.due(PATIENCE), Due::Close(now + PATIENCE.idle));
        demand.ask(1);
        assert_eq!(demand.due(PATIENCE), Due::Keepalive(now + PATIENCE.keepalive));
        let later = now + Duration::from_secs(7);
        demand.sent(1, later);
        assert_eq!(demand.due(PATIENCE), Due::Close(later + PATIENCE.idle));
    }

    #[test]
    fn a_keepalive_takes_nothing_from_what_is_owed() {
        let now = Instant::now();
        let mut demand = Demand::new(now);
        demand.ask(5);
        demand.sent(0, now + Duration::from_secs(1));
        assert_eq!(demand.owed(), 5);
    }

    #[test]
    fn the_first_request_says_topic_and_start() {
        let opening = |preset, id: &[u8]| Opening::of(&first(preset, id)).map(|opening| opening.start);
        assert_eq!(opening(ReplayPreset::Latest, b"ignored"), Ok(Start::Tip));
        assert_eq!(opening(ReplayPreset::Earliest, b""), Ok(Start::Earliest));
        assert_eq!(opening(ReplayPreset::Custom, &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0]), Ok(Start::After(9)));
        assert_eq!(opening(ReplayPreset::Custom, b""), Err(Refusal::ReplayIdMissing));
        assert_eq!(opening(ReplayPreset::Custom, b"123"), Err(Refusal::ReplayIdCorrupted));
        let blank = FetchRequest { topic_name: " ".into(), ..first(ReplayPreset::Latest, b"") };
        assert_eq!(Opening::of(&blank), Err(Refusal::TopicEmpty));
    }

    #[test]
    fn later_requests_may_leave_the_topic_out_but_not_change_it() {
        let opening = Opening::of(&first(ReplayPreset::Latest, b"")).unwrap();
        let named = |topic: &str| opening.fits(&FetchRequest { topic_name: topic.into(), ..FetchRequest::default() });
        assert_eq!(named(""), Ok(()));
        assert_eq!(named("/data/ChangeEvents"), Ok(()));
        assert_eq!(named("/data/AccountChangeEvent"), Err(Refusal::TopicMismatch));
    }

    #[test]
    fn a_request_asks_for_something() {
        let request = |count, token: &str, topic: &str| {
            asked(&FetchRequest {
                num_requested: count,
                auth_refresh: token.into(),
                topic_name: topic.into(),
                ..FetchRequest::default()
            })
        };
        assert_eq!(request(7, "", ""), Ok(7));
        assert_eq!(request(0, "token", ""), Ok(0));
        assert_eq!(request(0, "", ""), Err(Refusal::RequestInvalid));
        assert_eq!(request(0, "", "/data/ChangeEvents"), Err(Refusal::CountInvalid));
        assert_eq!(request(-1, "token", ""), Err(Refusal::CountInvalid));
    }

    proptest! {
        #[test]
        fn what_is_owed_is_what_was_asked_for_less_what_was_sent(steps in prop::collection::vec((any::<bool>(), 0u32..250), 0..40)) {
            let now = Instant::now();
            let mut demand = Demand::new(now);
            let mut model = 0u32;
            for (asks, count) in steps {
                if asks {
                    demand.ask(count);
                    model = (model + count).min(MOST);
                } else {
                    let sent = count.min(demand.owed());
                    demand.sent(sent as usize, now);
                    model -= sent;
                }
                prop_assert_eq!(demand.owed(), model);
                prop_assert!(demand.owed() <= MOST);
            }
        }
    }
}
