//! Asks a source org's own tables whether its events told the truth.
//!
//! Every so often, for each object that a pipeline reads from a subscription: which records changed, and did an event
//! tell of each? Only a subscription that says that it is live is judged, and what is missing gets a second look, for
//! an event may be late. `window` decides what is looked at; this is the loop that asks.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::budget::Budget;
use crate::event::{Arrival, Channel, ChannelKind, FieldName, ObjectName, Timestamp, Window, WindowCause};
use crate::org::{CallError, Changed, Member, Org};
use crate::status::Board;
use crate::store::{GapKind, Store, StoreError, SubscriptionId};
use crate::subscribe::found;

mod window;

/// How long an event may be on its way.
pub const BUS_MARGIN: Duration = Duration::from_secs(120);
/// What is missing is looked for again after this.
pub const SECOND_LOOK: Duration = Duration::from_secs(30);
/// How soon it is looked whether there is API budget again; no call is made for that.
const BUDGET_AGAIN: Duration = Duration::from_secs(5);
/// Rows of one probe; a busier object is caught up with by the next ones.
const ROWS_MAX: usize = 20_000;
/// Records that are named; if more are missing, a window says so.
const NAMED_MAX: usize = 2_000;
const ORIGIN: &str = "orgbridge/probe";

/// An object that pipelines read from a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub subscription: SubscriptionId,
    pub channel: Channel,
    pub object: ObjectName,
    /// Of the source, that the pipelines read.
    pub fields: BTreeSet<FieldName>,
    /// Up to where the subscription was live before; none at its first start.
    pub live_until: Option<Timestamp>,
}

/// What the probes of one source org work with.
pub struct Probe<S> {
    pub org: Org,
    pub budget: Budget,
    pub store: S,
    /// Of this org.
    pub board: Board,
    /// The same channel as the subscription's.
    pub arrivals: mpsc::Sender<(Channel, Arrival)>,
    /// Grows when a subscription was found deaf.
    pub nudge: watch::Sender<u64>,
    pub every: Duration,
    /// [`BUS_MARGIN`] and [`SECOND_LOOK`] but in tests.
    pub margin: Duration,
    pub second_look: Duration,
    pub cancel: CancellationToken,
}

struct Watched {
    subject: Subject,
    due: Instant,
    /// The first time at which it was seen live.
    first: Option<Timestamp>,
    /// Why it cannot be probed; said once.
    impossible: Option<String>,
    /// The object on its channel, as it was last seen there; none before the first time, or where the user may not know.
    member: Option<Member>,
    /// That the channel's members may not be read was said.
    unreadable: bool,
    /// Some field could not be seen; also before the first look, for it may have been so when the bridge stopped.
    was_hidden: bool,
}

/// Probes until cancelled, each object once in each interval, evenly spread over it.
///
/// # Errors
/// When the store fails. What the org refuses is said in the log and asked again in the next interval.
pub async fn run<S: Store>(probe: Probe<S>, subjects: Vec<Subject>) -> Result<(), StoreError> {
    let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX).max(1);
    let (start, step) = (Instant::now(), probe.every / count);
    let mut watched: Vec<Watched> = (1..)
        .zip(subjects)
        .map(|(i, subject)| Watched {
            first: subject.live_until,
            subject,
            due: start + step * i,
            impossible: None,
            member: None,
            unreadable: false,
            was_hidden: true,
        })
        .collect();
    let mut status = probe.board.watch();
    loop {
        for one in &mut watched {
            one.first = one.first.or_else(|| probe.board.live_until(&one.subject.channel));
        }
        let all_seen = watched.iter().all(|one| one.first.is_some());
        let Some(next) = watched.iter_mut().min_by_key(|one| one.due) else {
            probe.cancel.cancelled().await;
            return Ok(());
        };
        tokio::select! {
            () = probe.cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(next.due) => {
                if probe.budget.waiting().is_some() {
                    next.due = Instant::now() + BUDGET_AGAIN;
                    continue;
                }
                next.due = Instant::now() + probe.every;
                tokio::select! {
                    () = probe.cancel.cancelled() => return Ok(()),
                    done = probe.look(next) => match done {
                        Ok(()) => {}
                        Err(Trouble::Store(error)) => return Err(error),
                        Err(Trouble::JournalGone) => return Ok(()),
                        Err(Trouble::Call(error)) => {
                            let (channel, object) = (&next.subject.channel, &next.subject.object);
                            warn!(%channel, %object, %error, "the truth probe got no answer; it asks again in its next turn");
                        }
                    },
                }
            }
            // Ends with the board, of which the probe holds a clone.
            Ok(()) = status.changed(), if !all_seen => {}
        }
    }
}

/// What the channel's members say of an object.
struct Capture {
    /// It is not captured.
    trouble: Option<String>,
    /// Rows without an event may have been left out on purpose.
    may_filter: bool,
}

enum Trouble {
    Store(StoreError),
    Call(CallError),
    JournalGone,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl<S: Store> Probe<S> {
    async fn look(&self, one: &mut Watched) -> Result<(), Trouble> {
        let capture = self.capture(one).await?;
        let Subject { subscription, channel, object, fields, .. } = &one.subject;
        let described = self.org.describe_now(object).await?;
        let hidden: Vec<&str> = fields.iter().map(FieldName::as_str).filter(|field| !described.has(field)).collect();
        let mut behind = capture.trouble;
        if !hidden.is_empty() {
            let why = format!(
                "{object}: the bridge's user cannot see {}: give it read access to these fields",
                hidden.join(", ")
            );
            self.open(&one.subject, WindowCause::Access, GapKind::Access, None, &why).await?;
            behind = Some(why);
            one.was_hidden = true;
        } else if std::mem::take(&mut one.was_hidden) {
            self.is_over(&one.subject, GapKind::Access).await?;
        }
        let impossible = (!described.object.queryable || !described.has("SystemModstamp"))
            .then(|| format!("{object}: it cannot be queried by SystemModstamp, so nothing can check its events"));
        if impossible != one.impossible {
            if let Some(why) = &impossible {
                warn!(%channel, %why, "no truth probe");
            }
            one.impossible.clone_from(&impossible);
        }
        if impossible.is_some() {
            self.show(channel, object, behind.or(impossible));
            return Ok(());
        }
        if capture.may_filter {
            // What a filter leaves out would be taken for missing.
            self.show(channel, object, behind);
            return Ok(());
        }
        let (Some(first), Some(live_until)) = (one.first, self.board.live_until(channel)) else { return Ok(()) };
        let last = self.store.probed(*subscription, object).await?.unwrap_or(first);
        let now = self.org.server_time();
        let Some((from, to)) = window::window(last, live_until, now, self.margin, first.min(last)) else {
            return Ok(());
        };
        let deletions = described.has("IsDeleted");
        let changes = self.org.changed(object, from, to, ROWS_MAX, deletions).await?;
        let until = changes.complete_until;
        let missing = self.missing(*subscription, &changes.rows).await?;
        if missing.is_empty() {
            info!(%channel, %object, rows = changes.rows.len(), %until, "truth probe: nothing is missing");
        } else {
            let why = format!("{object}: {} changed records of which no event told", missing.len());
            warn!(%channel, %object, missing = missing.len(), %from, %until, "truth probe: events are missing");
            if missing.len() > NAMED_MAX {
                self.hand_over(
                    channel,
                    Arrival::Window(Window {
                        cause: WindowCause::Missed,
                        object: Some(object.clone()),
                        from: Some(from),
                        to: Some(until),
                        why: why.clone(),
                    }),
                )
                .await?;
            } else {
                for row in &missing {
                    let change = found::change(channel, object, row, ORIGIN);
                    self.hand_over(channel, Arrival::Found { change, missed: true }).await?;
                }
            }
            behind = behind.or(Some(why));
            // The stream looked healthy all the time.
            self.nudge.send_modify(|count| *count = count.wrapping_add(1));
        }
        self.show(channel, object, behind);
        self.hand_over(channel, Arrival::Probed { object: object.clone(), until }).await
    }

    /// Whether the channel still carries the object as before, as far as the user may read that.
    async fn capture(&self, one: &mut Watched) -> Result<Capture, Trouble> {
        let Subject { channel, object, .. } = &one.subject;
        // On a channel of one object there are neither filters nor enrichment.
        let shared = channel.kind() == ChannelKind::Objects;
        let custom = channel.as_str() != "/data/ChangeEvents" && shared;
        let members = match self.org.members(channel).await {
            Ok(members) => members,
            Err(error) => {
                if !std::mem::replace(&mut one.unreadable, true) {
                    info!(%channel, %error, "the channel's members cannot be read: give the bridge's user View Setup \
                        and Configuration, and it will notice when an object is not captured any more");
                }
                return Ok(Capture { trouble: None, may_filter: custom });
            }
        };
        one.unreadable = false;
        let was_captured = one.member.is_some();
        let Some(member) = members.into_iter().find(|member| member.object == *object) else {
            let place = if custom {
                format!("a member of {channel}")
            } else {
                "selected in Setup > Change Data Capture".to_owned()
            };
            let why = format!("{object}: it is not {place}, so nothing tells of its changes");
            one.member = None;
            self.open(&one.subject, WindowCause::Capture, GapKind::Capture, None, &why).await?;
            // Its records are still looked for.
            return Ok(Capture { trouble: Some(why), may_filter: custom });
        };
        let may_filter = shared && member.filter.is_some();
        if let Some(before) = one.member.replace(member.clone()).filter(|before| shared && *before != member) {
            let what = if before.filter == member.filter { "enrichment" } else { "filter" };
            let why = format!("{object}: the {what} of its channel member has changed");
            let now = Some(self.org.server_time());
            self.open(&one.subject, WindowCause::Capture, GapKind::Capture, now, &why).await?;
        }
        if !was_captured {
            self.is_over(&one.subject, GapKind::Capture).await?;
        }
        Ok(Capture { trouble: None, may_filter })
    }

    /// What opened a window is over: from here on nothing is missing because of it.
    async fn is_over(&self, subject: &Subject, kind: GapKind) -> Result<(), Trouble> {
        for gap in self.store.gaps().await? {
            let is_own = gap.subscription == subject.subscription && gap.object.as_ref() == Some(&subject.object);
            if is_own && gap.kind == kind && gap.to.is_none() {
                self.store.gap_ends(gap.id, self.org.server_time()).await?;
            }
        }
        Ok(())
    }

    /// The rows of which no event told, not even a little later.
    async fn missing(&self, id: SubscriptionId, rows: &[Changed]) -> Result<Vec<Changed>, Trouble> {
        let asked = |rows: &[Changed]| rows.iter().map(|row| (row.record, window::told_from(row.at))).collect();
        let missing: BTreeSet<_> = self.store.unjournaled(id, asked(rows)).await?.into_iter().collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Changed> = rows.iter().filter(|row| missing.contains(&row.record)).copied().collect();
        tokio::time::sleep(self.second_look).await;
        let missing: BTreeSet<_> = self.store.unjournaled(id, asked(&rows)).await?.into_iter().collect();
        Ok(rows.into_iter().filter(|row| missing.contains(&row.record)).collect())
    }

    /// Opens a window from the last probe on, which goes on if its end is not known, unless one of this kind goes on already,
    /// also from before a restart.
    async fn open(
        &self,
        subject: &Subject,
        cause: WindowCause,
        kind: GapKind,
        to: Option<Timestamp>,
        why: &str,
    ) -> Result<(), Trouble> {
        let Subject { subscription, channel, object, .. } = subject;
        let open = self.store.gaps().await?;
        let known = |gap: &crate::store::Gap| {
            // One whose end is known is another.
            let is_own = gap.subscription == *subscription && gap.object.as_ref() == Some(object);
            is_own && gap.kind == kind && gap.to.is_none()
        };
        if open.iter().any(known) {
            return Ok(());
        }
        warn!(%channel, %why, "truth probe");
        let window = Window {
            cause,
            object: Some(object.clone()),
            from: self.store.probed(*subscription, object).await?,
            to,
            why: why.to_owned(),
        };
        self.hand_over(channel, Arrival::Window(window)).await
    }

    async fn hand_over(&self, channel: &Channel, arrival: Arrival) -> Result<(), Trouble> {
        self.arrivals.send((channel.clone(), arrival)).await.map_err(|_| Trouble::JournalGone)
    }

    fn show(&self, channel: &Channel, object: &ObjectName, behind: Option<String>) {
        self.board.subscription(channel, |shown| {
            // Another object of the channel keeps what was said of it.
            let ours = shown.behind.as_ref().is_none_or(|why| why.starts_with(&format!("{object}: ")));
            if behind.is_some() || ours {
                shown.behind = behind;
            }
        });
    }
}
