//! Which comparisons of the two sides there are to be: by a person's wish, or because it is time for one. They are rows of the store.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Entry;
use crate::budget::Budget;
use crate::config::{Config, PipelineConfig, Verify};
use crate::event::{OrgName, PipelineName, Timestamp};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::Org;
use crate::past::verify::{Sides, VerifyError, verify};
use crate::store::{JobEnd, JobEnded, Mend, PipelineRow, Store, StoreError, SubscriptionRow, Verification, Wish};

/// How soon one that failed is tried again.
const AGAIN: Duration = Duration::from_secs(3_600);

/// Compares what is wanted, one after the other, and what the config wants now and then, until cancelled. One that is broken off
/// begins anew with the next start.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(
    (config, orgs): (Config, BTreeMap<OrgName, Org>),
    entries: BTreeMap<OrgName, Entry>,
    store: S,
    asks: watch::Sender<u64>,
    every: Duration,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let mut asked = asks.subscribe();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = asked.changed() => {}
            () = tokio::time::sleep(every) => {}
        }
        let (rows, subscriptions) = (store.pipelines().await?, store.subscriptions().await?);
        let known = store.verifications().await?;
        for line in &config.pipelines {
            let Some(row) = rows.iter().find(|row| row.identity.name == line.name) else { continue };
            if is_due(&line.verify, row, &subscriptions, &known, Timestamp::now()) {
                let mend = if line.verify.repair { Mend::Differing } else { Mend::Nothing };
                let number = store.add_verification(row.id, Wish { sample: None, mend }, Timestamp::now()).await?;
                if number.is_some() {
                    info!(pipeline = %line.name, "it is time to compare both sides of the pipeline");
                }
            }
        }
        let wanted: Vec<Verification> =
            store.verifications().await?.into_iter().filter(|one| one.ended.is_none()).collect();
        for one in wanted {
            let Some(row) = rows.iter().find(|row| row.id == one.pipeline) else { continue };
            let Some(line) = config.pipelines.iter().find(|line| line.name == row.identity.name) else { continue };
            let (Some(source), Some(target)) = (entries.get(&line.from.org), entries.get(&line.to.org)) else {
                continue;
            };
            // An org that lets nobody in holds up its own pipelines alone.
            if !source.gate.is_open() || !target.gate.is_open() {
                continue;
            }
            let budgets = [Some(source.budget.clone()), Some(target.budget.clone())];
            let compared = compare((&config, &orgs), line, &store, &one, Meanwhile { live: true, budgets });
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                ended = compared => ended?,
            }
            // What is to be mended is a job now.
            if one.wish.mend != Mend::Nothing {
                asks.send_modify(|moved| *moved += 1);
            }
        }
    }
}

/// What goes on beside a comparison.
struct Meanwhile {
    /// Events are received.
    live: bool,
    budgets: [Option<Budget>; 2],
}

async fn compare<S: Store>(
    (config, orgs): (&Config, &BTreeMap<OrgName, Org>),
    line: &PipelineConfig,
    store: &S,
    one: &Verification,
    meanwhile: Meanwhile,
) -> Result<(), StoreError> {
    let (Some(source), Some(target)) = (orgs.get(&line.from.org), orgs.get(&line.to.org)) else { return Ok(()) };
    let same_keys = |other: &&PipelineConfig| other.name != line.name && other.to == line.to;
    let owns_keys = !config.pipelines.iter().any(|other| same_keys(&other));
    let outcome = async {
        let untyped = Mapping::new(line, config);
        let mapping = hydrate::typed(untyped, source, target)
            .await
            .map_err(|error| VerifyError::Call { org: source.name().clone(), error })?;
        let Meanwhile { live, budgets } = meanwhile;
        let polls = line.from.poll.is_some();
        let sides =
            Sides { source, target, mapping: &mapping, store, pipeline: one.pipeline, owns_keys, live, polls, budgets };
        verify(&sides, one.number, one.wish).await
    };
    let (how, why) = match outcome.await {
        Ok(counts) => {
            let differences = counts.differences();
            match differences {
                0 => info!(pipeline = %line.name, records = counts.records, "both sides of the pipeline agree"),
                _ => warn!(
                    pipeline = %line.name, records = counts.records, differences,
                    "the two sides of the pipeline differ: `orgbridge verify --last` tells where"
                ),
            }
            (JobEnd::Done, String::new())
        }
        Err(VerifyError::Store(error)) => return Err(error),
        Err(error) => {
            warn!(pipeline = %line.name, %error, "the two sides of a pipeline could not be compared");
            (JobEnd::Failed, error.to_string())
        }
    };
    store.verification_ended(one.number, JobEnded { at: Timestamp::now(), how, why }).await?;
    Ok(())
}

/// Adds one for each pipeline, or none at all and says why. One with the same wish that is not over is as good.
pub(super) async fn add<S: Store>(
    config: &Config,
    store: &S,
    names: &[PipelineName],
    wish: Wish,
) -> Result<Result<Vec<i64>, String>, StoreError> {
    let rows = match super::pipelines(config, store).await {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let known = store.verifications().await?;
    let mut wanted = Vec::new();
    for name in names {
        let Some(row) = rows.iter().find(|row| row.identity.name == *name) else {
            return Ok(Err(format!("the config has no pipeline {name}")));
        };
        let open = known.iter().find(|one| one.pipeline == row.id && one.ended.is_none());
        match open {
            Some(one) if one.wish != wish => {
                return Ok(Err(format!(
                    "{name} is being compared in another way just now; `orgbridge status` shows how far that is"
                )));
            }
            open => wanted.push((row.id, open.map(|one| one.number))),
        }
    }
    let mut numbers = Vec::new();
    for (pipeline, known) in wanted {
        let number = match known {
            Some(number) => Some(number),
            None => store.add_verification(pipeline, wish, Timestamp::now()).await?,
        };
        numbers.extend(number.map(|number| number.0));
    }
    Ok(Ok(numbers))
}

/// Compares these pipelines without a bridge. What changed since one ran is told as on its way.
///
/// # Errors
/// When the store fails. That nothing is to be compared is the inner error.
pub async fn verify_alone<S: Store>(
    config: &Config,
    orgs: &BTreeMap<OrgName, Org>,
    store: &S,
    names: &[PipelineName],
    wish: Wish,
) -> Result<Result<Vec<i64>, String>, StoreError> {
    // Whoever was at it is gone.
    for one in store.verifications().await?.into_iter().filter(|one| one.ended.is_none()) {
        let why = "it was broken off".to_owned();
        store.verification_ended(one.number, JobEnded { at: Timestamp::now(), how: JobEnd::Failed, why }).await?;
    }
    let numbers = match add(config, store, names, wish).await? {
        Ok(numbers) => numbers,
        Err(why) => return Ok(Err(why)),
    };
    let rows = store.pipelines().await?;
    for one in store.verifications().await?.into_iter().filter(|one| numbers.contains(&one.number.0)) {
        let row = rows.iter().find(|row| row.id == one.pipeline);
        let line = row.and_then(|row| config.pipelines.iter().find(|line| line.name == row.identity.name));
        if let Some(line) = line {
            let alone = Meanwhile { live: false, budgets: [None, None] };
            compare((config, orgs), line, store, &one, alone).await?;
        }
    }
    Ok(Ok(numbers))
}

/// Whether it is time: so long after the last one, or after the pipeline's events are received.
fn is_due(
    wanted: &Verify,
    row: &PipelineRow,
    subscriptions: &[SubscriptionRow],
    known: &[Verification],
    now: Timestamp,
) -> bool {
    let Some(every) = wanted.every else { return false };
    let own = || known.iter().filter(|one| one.pipeline == row.id);
    if own().any(|one| one.ended.is_none()) {
        return false;
    }
    let whole = |how: JobEnd| {
        let is_such = move |one: &&Verification| {
            one.wish.sample.is_none() && one.ended.as_ref().is_some_and(|ended| ended.how == how)
        };
        own().filter(is_such).map(|one| one.wanted_at).max()
    };
    if whole(JobEnd::Failed).is_some_and(|failed| failed.plus(AGAIN) > now) {
        return false;
    }
    let last = whole(JobEnd::Done).or_else(|| {
        let is_own = |one: &&SubscriptionRow| one.org == row.identity.source_org && one.channel == row.identity.channel;
        subscriptions.iter().find(is_own).and_then(|one| one.position.started_at)
    });
    last.is_some_and(|last| last.plus(every) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::given;
    use crate::store::{Sqlite, VerifyCounts};

    #[tokio::test]
    async fn a_comparison_is_due_so_long_after_the_last_one_or_after_events_are_received() {
        let store = Sqlite::in_memory().unwrap();
        let row = given::accounts(&store).await;
        let day = Duration::from_secs(24 * 3_600);
        let weekly = Verify { every: Some(7 * day), repair: false };
        let now = given::NOW;
        let due = async |wanted: &Verify, now| {
            let (subscriptions, known) = (store.subscriptions().await.unwrap(), store.verifications().await.unwrap());
            is_due(wanted, &row, &subscriptions, &known, now)
        };
        assert!(!due(&weekly, now.plus(9 * day)).await, "nothing is received yet");
        let subscription = given::subscribed(&store).await;
        store.start(subscription, now).await.unwrap();
        assert!(!due(&weekly, now.plus(6 * day)).await);
        assert!(due(&weekly, now.plus(7 * day)).await);
        assert!(!due(&Verify { every: None, repair: false }, now.plus(70 * day)).await);
        let later = now.plus(8 * day);
        let number = store.add_verification(row.id, Wish::default(), later).await.unwrap().unwrap();
        assert!(!due(&weekly, now.plus(70 * day)).await, "it is under way");
        let ended = JobEnded { at: later, how: JobEnd::Failed, why: String::new() };
        store.verification_moved(number, VerifyCounts::default(), Vec::new()).await.unwrap();
        store.verification_ended(number, ended).await.unwrap();
        let hour = Duration::from_secs(3_600);
        assert!(!due(&weekly, later.plus(hour / 2)).await, "it failed just now");
        assert!(due(&weekly, later.plus(hour)).await, "it was due, and is again");
        for (sample, due_again) in [(Some(9), true), (None, false)] {
            let wish = Wish { sample, ..Wish::default() };
            let number = store.add_verification(row.id, wish, later).await.unwrap().unwrap();
            let ended = JobEnded { at: later, how: JobEnd::Done, why: String::new() };
            store.verification_ended(number, ended).await.unwrap();
            assert_eq!(due(&weekly, later.plus(6 * day)).await, due_again, "a sample is no whole one");
        }
        assert!(due(&weekly, later.plus(7 * day)).await);
    }
}
