//! The other end of a session: a server that answers as it is told.

use serde_json::json;

use super::super::*;
use super::{ACCOUNTS, SERVER, start};
use crate::event::Timestamp;
use crate::event::{ReplayFrom, ReplayId};
use crate::subscribe::cometd::message::LONG_POLLING;

/// A server that answers as it is told, and notes what it was asked.
pub(super) struct ScriptedOrg {
    pub(super) session: Session,
    pub(super) begin: Instant,
    pub(super) now: Instant,
    pub(super) asked: Vec<Request>,
    pub(super) events: Vec<Event>,
    pub(super) notices: Vec<Notice>,
    pub(super) earliest_fits: bool,
}

impl ScriptedOrg {
    pub(super) fn new(from: ReplayFrom) -> Self {
        Self::with(vec![start(ACCOUNTS, from)])
    }

    pub(super) fn with(channels: Vec<ChannelStart>) -> Self {
        let now = Instant::now();
        let session = Session::new(channels, Timings::default(), now);
        let mut org = Self {
            session,
            begin: now,
            now,
            asked: Vec::new(),
            events: Vec::new(),
            notices: Vec::new(),
            earliest_fits: true,
        };
        org.note();
        assert_eq!(org.notices, [Notice::NeedsToken]);
        org.session.handle_token(org.now);
        org.note();
        org
    }

    /// With all channels subscribed, and the first held connect out.
    pub(super) fn live(from: ReplayFrom) -> Self {
        let mut org = Self::new(from);
        org.run_until_held();
        org
    }

    pub(super) fn note(&mut self) {
        while let Some(request) = self.session.poll_transmit() {
            self.asked.push(request);
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
        while let Some(notice) = self.session.poll_notice() {
            // The day's deliveries allow everything, unless a test says otherwise.
            if let Notice::NeedsFallback(channel) = &notice {
                self.session.handle_fallback(channel, self.earliest_fits, SERVER, self.now);
                continue;
            }
            self.notices.push(notice);
        }
        while let Some(request) = self.session.poll_transmit() {
            self.asked.push(request);
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    pub(super) fn last(&self) -> &Request {
        self.asked.last().unwrap()
    }

    pub(super) fn server_time(&self) -> Timestamp {
        SERVER.plus(self.now.duration_since(self.begin))
    }

    pub(super) fn answer(&mut self, messages: Json) -> &mut Self {
        self.answer_unread_since(messages, self.now)
    }

    /// A frame that may have lain unread for a while.
    pub(super) fn answer_unread_since(&mut self, messages: Json, since: Instant) -> &mut Self {
        let batch = message::parse(messages.to_string().as_bytes()).unwrap();
        let heard = Heard { since, server_time: SERVER.plus(since.duration_since(self.begin)) };
        self.session.handle_messages(batch, heard, self.now);
        self.note();
        self
    }

    /// How long the session waits for what is out.
    pub(super) fn patience(&self) -> Duration {
        self.session.poll_timeout().unwrap() - self.now
    }

    pub(super) fn reply(&mut self, fields: Json) -> &mut Self {
        self.reply_with(vec![], fields)
    }

    /// Answers the request that is out, with events before the reply.
    pub(super) fn reply_with(&mut self, mut messages: Vec<Json>, fields: Json) -> &mut Self {
        let request = self.last();
        let mut reply = json!({"channel": request.message["channel"], "id": request.id, "successful": true});
        if request.meta == Meta::Handshake {
            reply["clientId"] = json!(format!("client{}", request.id));
            reply["supportedConnectionTypes"] = json!([LONG_POLLING]);
        }
        for (name, value) in fields.as_object().unwrap() {
            reply[name] = value.clone();
        }
        messages.push(reply);
        self.answer(Json::Array(messages))
    }

    pub(super) fn refuse(&mut self, error: &str) -> &mut Self {
        self.reply(json!({"successful": false, "error": error, "advice": {"reconnect": "none", "interval": 0}}))
    }

    /// Until the session has nothing to do but to wait for the answer to a held connect.
    pub(super) fn run_until_held(&mut self) -> &mut Self {
        for _ in 0..50 {
            if self.holds() {
                return self;
            }
            match &self.session.phase {
                Phase::Out(_) => {
                    self.reply(json!({}));
                }
                Phase::AwaitToken => {
                    self.session.handle_token(self.now);
                    self.note();
                }
                Phase::AwaitUpgrade => {
                    self.session.handle_upgrade(true, self.now);
                    self.note();
                }
                Phase::Idle { .. } | Phase::NoToken { .. } | Phase::Stopped => self.wait(),
            }
        }
        panic!("the session does not settle: {:?}", self.session.phase);
    }

    pub(super) fn holds(&self) -> bool {
        matches!(&self.session.phase, Phase::Out(Outstanding { kind: Kind::Connect { held: true }, .. }))
    }

    /// Until the next deadline.
    pub(super) fn wait(&mut self) {
        if let Some(at) = self.session.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.session.handle_timeout(self.now);
        self.note();
    }

    pub(super) fn pass(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self.session.handle_timeout(self.now);
        self.note();
        self
    }

    /// The replay map's value of each subscribe, oldest first.
    pub(super) fn asked_from(&self) -> Vec<String> {
        let subscribes = self.asked.iter().filter(|request| request.meta == Meta::Subscribe);
        subscribes.map(|request| request.message["ext"]["replay"].to_string()).collect()
    }

    pub(super) fn count(&self, meta: Meta) -> usize {
        self.asked.iter().filter(|request| request.meta == meta).count()
    }

    pub(super) fn received(&self) -> Vec<ReplayId> {
        let changes = self.events.iter().filter_map(|event| match event {
            Event::Change(change) => Some(change.replay_id.clone()),
            _ => None,
        });
        changes.collect()
    }

    pub(super) fn last_id_minus(&self, behind: u64) -> String {
        let last: u64 = self.last().id.parse().unwrap();
        last.saturating_sub(behind).to_string()
    }
}
