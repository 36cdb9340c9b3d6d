//! The API budget of an org, shared by all stages that call it.
//!
//! [`publish::budget`](crate::publish::budget) decides, from what the org's answers say; here the org is asked for its limits
//! now and then, and the figures are shown. Logging in, event streams, describes and the looks at the limits are not held:
//! they are few, and without them nothing would go on by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::event::Timestamp;
use crate::org::{ApiUsage, CallError, Limits, Org, Quota};
use crate::publish::budget::{Allowance, Forecast, Governor, Why};
use crate::status::{ApiStatus, Board};
use crate::text::grouped;

/// How often the figures are brought up to date.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    org: Org,
    governor: Arc<Mutex<Governor>>,
}

impl Budget {
    pub fn new(org: Org) -> Self {
        let governor = Governor::new(org.config().api_budget, Instant::now());
        Self { org, governor: Arc::new(Mutex::new(governor)) }
    }

    /// Whether the org may be called now.
    pub fn allowance(&self) -> Allowance {
        self.governed(|governor, calls| governor.allowance(calls))
    }

    /// Until when it may not, if it may not, and why, in words.
    pub fn waiting(&self) -> Option<(Timestamp, String)> {
        self.governed(|governor, calls| {
            let Allowance::Wait { until, why } = governor.allowance(calls) else { return None };
            let figures = governor.figures(calls);
            let used = figures.map(|figures| {
                let (used, max) = (grouped(figures.used), grouped(figures.max));
                (format!("{used} of {max} calls used in 24 h"), figures.kept)
            });
            let why = match (why, used) {
                (Why::Kept, Some((used, Some(kept)))) => format!("{used}, {} are kept for others", grouped(kept)),
                (Why::Kept | Why::Refused, Some((used, _))) => format!("the org refuses more: {used}"),
                (Why::Kept | Why::Refused, None) => "the org refuses more".to_owned(),
            };
            let until = in_wall_time(until).minute();
            Some((until, format!("waiting for API budget until {} UTC ({why})", until.clock())))
        })
    }

    /// Asks the org for its limits, as often as the governor says, and shows the figures, until cancelled.
    pub async fn watch(self, board: Board, cancel: CancellationToken) {
        let name = self.org.name();
        let mut deliveries: Option<Quota> = None;
        let (mut waited, mut forbidden) = (false, false);
        let mut shown = None;
        loop {
            if self.governed(|governor, _| governor.next_look()) <= Instant::now() {
                let answer = tokio::select! {
                    () = cancel.cancelled() => return,
                    answer = self.org.limits() => answer,
                };
                match answer {
                    Ok(limits) => {
                        self.learn(limits);
                        deliveries = limits.deliveries;
                    }
                    Err(error @ CallError::Refused { status: 403, .. }) if error.limit().is_none() => {
                        if !std::mem::replace(&mut forbidden, true) {
                            warn!(
                                org = %name, %error,
                                "the org does not tell its limits: give the bridge's user 'View Setup and Configuration'. \
                                 API calls are watched all the same, deliveries of events are not"
                            );
                        }
                    }
                    Err(error) => debug!(org = %name, %error, "the org did not tell its limits"),
                }
                self.governed(|governor, calls| governor.looked(calls, Instant::now()));
            }
            let waiting = self.waiting();
            match &waiting {
                Some((_, why)) if !waited => warn!(org = %name, "{why}"),
                None if waited => info!(org = %name, "there is API budget again"),
                Some(_) | None => {}
            }
            waited = waiting.is_some();
            let now = (self.figures(waiting), deliveries);
            if shown.as_ref() != Some(&now) {
                board.org(name, |org| (org.api, org.deliveries) = now.clone());
                shown = Some(now);
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(SHOWN_EVERY) => {}
            }
        }
    }

    /// The header of each answer is younger; this is for an org that sends none.
    fn learn(&self, limits: Limits) {
        if let (None, Some(calls)) = (self.org.api_usage(), limits.api_requests) {
            let usage =
                ApiUsage { used: calls.used(), max: calls.max, at: Instant::now(), calls: self.org.api_calls() };
            self.governed(|governor, _| governor.observe(Some(usage), false));
        }
    }

    fn figures(&self, waiting: Option<(Timestamp, String)>) -> Option<ApiStatus> {
        let figures = self.governed(|governor, calls| governor.figures(calls))?;
        Some(ApiStatus {
            used: figures.used,
            limit: figures.max,
            kept: figures.kept,
            used_up_at: match figures.forecast {
                Some(Forecast::UsedUp { at }) => Some(in_wall_time(at).minute()),
                Some(Forecast::Enough) | None => None,
            },
            waiting,
        })
    }

    /// With what the org said last.
    fn governed<T>(&self, ask: impl FnOnce(&mut Governor, u64) -> T) -> T {
        // What the lock guards has no half-done state.
        let mut governor = self.governor.lock().unwrap_or_else(PoisonError::into_inner);
        governor.observe(self.org.api_usage(), self.org.refuses_for_today());
        ask(&mut governor, self.org.api_calls())
    }
}

fn in_wall_time(at: Instant) -> Timestamp {
    let now = Instant::now();
    let wall = Timestamp::now();
    if at >= now { wall.plus(at - now) } else { wall.minus(now - at) }
}
