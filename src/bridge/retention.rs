//! Reads the retention clocks of all subscriptions every minute, and tells a person when the time runs out in which what
//! they miss can still be had. It asks the store alone, so it goes on while an org cannot be reached or a login fails.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::event::{Channel, OrgName, Timestamp};
use crate::org::Org;
use crate::status::Board;
use crate::store::{Store, StoreError, SubscriptionId, SubscriptionRow};
use crate::subscribe::retention::{RetentionClock, Warning, left};

const EVERY: Duration = Duration::from_secs(60);

/// The channels that are subscribed, by their org. Objects that are polled are not among them: the org keeps their rows,
/// so a late look loses nothing.
pub type Subscribed = BTreeMap<OrgName, Vec<Channel>>;

/// A subscription that was not live for so long that what it misses will soon be gone, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    pub org: OrgName,
    pub channel: Channel,
    pub warning: Warning,
    /// The last proof of being live, or the start.
    pub proof: Timestamp,
    pub left: Duration,
}

impl Alarm {
    /// Whole hours, rounded up.
    fn hours_left(&self) -> u64 {
        self.left.as_secs().div_ceil(3_600)
    }
}

/// What it means and what to do, for people.
impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, channel, warning, proof, left: _ } = self;
        match warning {
            Warning::Day | Warning::HalfDay | Warning::Hours => write!(
                f,
                "{channel} of org {org} was live last at {proof}. Nothing is lost yet: the org still has every event, but \
                 drops the oldest that are missing here within {} h. See `orgbridge status` and mend what keeps it from \
                 being live; it then catches up by itself",
                self.hours_left()
            ),
            Warning::Expired => write!(
                f,
                "{channel} of org {org} was live last at {proof}, which is longer ago than the org keeps events: some may \
                 never come. See `orgbridge status` and mend what keeps it from being live; it then goes on with what the \
                 org still has, and what may be missing stands as an open gap until its records are compared or read again"
            ),
        }
    }
}

/// The clocks of all subscriptions; pure.
#[derive(Debug, Default)]
struct Clocks(HashMap<SubscriptionId, RetentionClock>);

impl Clocks {
    /// What is to be told now. Rows of channels that are not subscribed any more say nothing.
    fn read(
        &mut self,
        rows: Vec<SubscriptionRow>,
        subscribed: &Subscribed,
        now: impl Fn(&OrgName) -> Timestamp,
    ) -> Vec<Alarm> {
        let of_config = |row: &SubscriptionRow| subscribed.get(&row.org).is_some_and(|all| all.contains(&row.channel));
        let due = |row: SubscriptionRow| {
            let (proof, retention, now) = (row.position.proof(), row.channel.retention(), now(&row.org));
            let warning = self.0.entry(row.id).or_default().due(proof, retention, now)?;
            let proof = proof?;
            let left = left(proof, retention, now);
            Some(Alarm { org: row.org, channel: row.channel, warning, proof, left })
        };
        rows.into_iter().filter(of_config).filter_map(due).collect()
    }
}

/// Until cancelled: at once, and then every minute. `now` is an org's time, `tell` gets each warning once.
async fn watch<S: Store>(
    store: S,
    subscribed: Subscribed,
    now: impl Fn(&OrgName) -> Timestamp,
    mut tell: impl FnMut(Alarm),
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let mut clocks = Clocks::default();
    loop {
        let rows = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            rows = store.subscriptions() => rows?,
        };
        clocks.read(rows, &subscribed, &now).into_iter().for_each(&mut tell);
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Watches the subscriptions of these orgs until cancelled; what is due goes to the log.
pub async fn run<S: Store>(
    store: S,
    orgs: BTreeMap<OrgName, Org>,
    subscribed: Subscribed,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let now = |name: &OrgName| orgs.get(name).map_or_else(Timestamp::now, Org::server_time);
    watch(store, subscribed, now, |alarm| log(&alarm, &board), cancel).await
}

fn log(alarm: &Alarm, board: &Board) {
    let Alarm { org, channel, warning, .. } = alarm;
    let (hours_left, state) = (alarm.hours_left(), shown(board, org, channel));
    match warning {
        Warning::Day | Warning::HalfDay | Warning::Hours => warn!(%org, %channel, hours_left, state, "{alarm}"),
        Warning::Expired => error!(%org, %channel, hours_left, state, "{alarm}"),
    }
}

/// What keeps the subscription from being live, as far as it is known: the org's trouble before the channel's.
fn shown(board: &Board, org: &OrgName, channel: &Channel) -> String {
    let status = board.watch();
    let status = status.borrow();
    let trouble = status.orgs.get(org).and_then(|org| org.trouble.clone());
    let state = || status.subscriptions.get(&(org.clone(), channel.clone())).map(|one| one.shown());
    trouble.or_else(state).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::Instant;

    use super::*;
    use crate::event::{Arrival, Transport};
    use crate::status::OrgStatus;
    use crate::store::{Position, Sqlite};
    use crate::subscribe::State;

    const HOUR: Duration = Duration::from_secs(3_600);
    const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

    fn org() -> OrgName {
        "source".parse().unwrap()
    }

    fn accounts() -> Channel {
        "/data/AccountChangeEvent".parse().unwrap()
    }

    fn subscribed(channels: &[&str]) -> Subscribed {
        [(org(), channels.iter().map(|channel| channel.parse().unwrap()).collect())].into()
    }

    fn row(number: i64, channel: &str, live_until: Option<Timestamp>) -> SubscriptionRow {
        SubscriptionRow {
            id: SubscriptionId(number),
            org: org(),
            channel: channel.parse().unwrap(),
            transport: Transport::Pubsub,
            position: Position { live_until, ..Position::default() },
            last_event: None,
            journaled: 0,
            open_gaps: 0,
        }
    }

    #[test]
    fn each_subscription_has_a_clock_of_its_own_and_the_retention_of_its_channel() {
        let mut clocks = Clocks::default();
        let rows = || {
            vec![
                row(1, "/data/AccountChangeEvent", Some(BEGIN)),
                row(2, "/topic/Invoices", Some(BEGIN)),
                row(3, "/data/ContactChangeEvent", Some(BEGIN.plus(40 * HOUR))),
                row(4, "/data/LeadChangeEvent", None),
            ]
        };
        let all = subscribed(&[
            "/data/AccountChangeEvent",
            "/topic/Invoices",
            "/data/ContactChangeEvent",
            "/data/LeadChangeEvent",
        ]);
        let mut read = |hour: u32| {
            let told = clocks.read(rows(), &all, |_| BEGIN.plus(HOUR * hour));
            told.into_iter().map(|alarm| (alarm.channel.to_string(), alarm.warning)).collect::<Vec<_>>()
        };
        let (accounts, invoices) = ("/data/AccountChangeEvent".to_owned(), "/topic/Invoices".to_owned());
        assert_eq!(read(11), []);
        assert_eq!(read(12), [(invoices.clone(), Warning::HalfDay)]);
        assert_eq!(read(49), [(accounts, Warning::Day), (invoices, Warning::Expired)]);
        assert_eq!(read(50), [], "each is told once");
    }

    #[test]
    fn a_channel_that_left_the_config_is_nobodys_any_more() {
        let rows = vec![row(1, "/data/AccountChangeEvent", Some(BEGIN)), row(2, "/poll/Asset", Some(BEGIN))];
        let told = Clocks::default().read(rows, &subscribed(&["/data/ContactChangeEvent"]), |_| BEGIN.plus(99 * HOUR));
        assert_eq!(told, []);
    }

    #[test]
    fn a_warning_says_what_it_means_and_what_to_do() {
        let alarm = |warning, left| Alarm { org: org(), channel: accounts(), warning, proof: BEGIN, left };
        assert_eq!(
            alarm(Warning::Hours, 2 * HOUR + Duration::from_secs(1)).to_string(),
            "/data/AccountChangeEvent of org source was live last at 2023-11-14T22:13:20.000Z. Nothing is lost yet: the \
             org still has every event, but drops the oldest that are missing here within 3 h. See `orgbridge status` and \
             mend what keeps it from being live; it then catches up by itself"
        );
        let expired = alarm(Warning::Expired, Duration::ZERO).to_string();
        assert!(expired.contains("some may never come") && expired.contains("open gap"), "{expired}");
    }

    #[test]
    fn what_keeps_a_subscription_from_being_live_is_told_with_the_org_first() {
        let board = Board::default();
        assert_eq!(shown(&board, &org(), &accounts()), "");
        board.of(&org()).subscription(&accounts(), |one| one.state = State::Refused { why: "no access".to_owned() });
        assert_eq!(shown(&board, &org(), &accounts()), "refused: no access");
        board.org(&org(), |shown| {
            *shown = OrgStatus { trouble: Some("login failed".to_owned()), ..OrgStatus::default() }
        });
        assert_eq!(shown(&board, &org(), &accounts()), "login failed");
    }

    /// A store with one subscription whose last proof is `BEGIN`.
    async fn store(directory: &tempfile::TempDir) -> (Sqlite, SubscriptionId) {
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        let id = store.subscription(&org(), &accounts()).await.unwrap().id;
        store.append(id, vec![Arrival::Live { until: BEGIN }], BEGIN).await.unwrap();
        (store, id)
    }

    /// Keeps the runtime busy, so that virtual time stands still while the store's own threads work.
    async fn no_time_passes<T>(work: impl Future<Output = T>) -> T {
        let spin = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = work => done,
            () = spin => unreachable!(),
        }
    }

    /// All that is told within so many hours, and in which hour. The org's time begins at `BEGIN`; `hourly` is done at the
    /// beginning of each hour.
    async fn told(store: &Sqlite, hours: u32, hourly: impl AsyncFn(Timestamp)) -> Vec<(Warning, u64)> {
        let (begin, told, cancel) = (Instant::now(), RefCell::new(Vec::new()), CancellationToken::new());
        let tell = |alarm: Alarm| told.borrow_mut().push((alarm.warning, begin.elapsed().as_secs() / 3_600));
        let looks = Cell::new(0);
        let now = |_: &OrgName| {
            looks.set(looks.get() + 1);
            BEGIN.plus(begin.elapsed())
        };
        let channels = subscribed(&["/data/AccountChangeEvent"]);
        let minutes = async {
            for minute in 0..hours * 60 {
                if minute % 60 == 0 {
                    hourly(BEGIN.plus(begin.elapsed())).await;
                }
                // The look of this minute is done before the next one begins.
                while looks.get() <= minute {
                    tokio::task::yield_now().await;
                }
                tokio::time::advance(EVERY).await;
            }
        };
        tokio::select! {
            ended = watch(store.clone(), channels, now, tell, cancel) => ended.unwrap(),
            () = no_time_passes(minutes) => {}
        }
        told.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_that_stays_away_is_warned_of_at_24_12_and_3_hours_and_when_it_is_too_late() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = store(&directory).await;
        let told = told(&store, 80, async |_| {}).await;
        let expected = [(Warning::Day, 48), (Warning::HalfDay, 60), (Warning::Hours, 69), (Warning::Expired, 72)];
        assert_eq!(told, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn four_quiet_days_of_a_subscription_that_is_live_are_no_reason_to_warn() {
        let directory = tempfile::tempdir().unwrap();
        let (store, id) = store(&directory).await;
        let live = async |until| {
            store.append(id, vec![Arrival::Live { until }], until).await.unwrap();
        };
        assert_eq!(told(&store, 96, live).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_at_the_start_is_told_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = store(&directory).await;
        let cancel = CancellationToken::new();
        let told = RefCell::new(Vec::new());
        let tell = |alarm: Alarm| {
            told.borrow_mut().push((alarm.warning, alarm.hours_left()));
            cancel.cancel();
        };
        let now = |_: &OrgName| BEGIN.plus(70 * HOUR);
        watch(store, subscribed(&["/data/AccountChangeEvent"]), now, tell, cancel.clone()).await.unwrap();
        assert_eq!(told.into_inner(), [(Warning::Hours, 2)]);
    }
}
