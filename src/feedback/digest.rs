//! A digest of what failed, for a webhook: one message for all that changed since the last one, and none where nothing did.
//! It holds names, codes and numbers, never a value of a record.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Digest;
use crate::event::Timestamp;
use crate::privacy;
use crate::retry::Backoff;
use crate::status::Board;
use crate::store::{SentDigest, Store, StoreError, Which};
use crate::text::{counted, grouped};
use crate::webhook::{KEY_HEADER, NotPosted, Posted, Poster};

/// How long the receiver may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// Everything that waits for a person. What this says again is not told again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Picture {
    /// Failed records, by pipeline and code.
    pub failed: Vec<Failed>,
    /// Failed actions, by name.
    pub actions: Vec<FailedActions>,
    /// Pipelines and actions that halted or were paused, and why.
    pub halted: BTreeMap<String, String>,
    /// Gaps that are open.
    pub gaps: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub pipeline: String,
    pub code: String,
    pub records: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedActions {
    pub action: String,
    pub events: u64,
}

/// Tells until cancelled.
///
/// # Errors
/// When the store fails.
pub async fn run<S: Store>(
    digest: Digest,
    poster: Poster,
    store: S,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    let look = LOOK.min(digest.every);
    loop {
        let (last, now) = (store.digest().await?, Timestamp::now());
        let (mut wait, mut shown) = (look, None);
        let due = last.as_ref().is_none_or(|last| last.at.plus(digest.every) <= now);
        let before =
            last.as_ref().and_then(|last| serde_json::from_str::<Picture>(&last.said).ok()).unwrap_or_default();
        let picture = if due { picture(&store).await? } else { before.clone() };
        if picture != before {
            let said = json!(picture).to_string();
            let id = id(&said, last.map(|last| last.at));
            let body = message(&picture, &before, &id, now).to_string();
            let header = KEY_HEADER;
            let posted = tokio::select! {
                posted = poster.post(body, &header, &id) => posted,
                // It is told after the next start.
                () = cancel.cancelled() => return Ok(()),
            };
            match trouble(&posted) {
                None => {
                    store.digest_sent(&SentDigest { at: now, said }).await?;
                    backoff.reset();
                    info!("what failed was told to the digest's webhook");
                }
                Some(trouble) => {
                    warn!("the digest's webhook was not told what failed: {trouble}");
                    shown = Some(trouble);
                    wait = backoff.next_delay();
                }
            }
        }
        board.update(|status| status.digest_trouble = shown);
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn picture<S: Store>(store: &S) -> Result<Picture, StoreError> {
    let mut failed: BTreeMap<(String, String), u64> = BTreeMap::new();
    for cause in store.failed_causes(&Which::default()).await? {
        *failed.entry((cause.pipeline.to_string(), cause.code)).or_default() += cause.records;
    }
    let actions = store.actions().await?;
    let pipelines = store.pipelines().await?;
    let halted = pipelines.iter().map(|row| (&row.identity.name, &row.halted));
    let halted = halted.chain(actions.iter().map(|row| (&row.identity.name, &row.halted)));
    Ok(Picture {
        failed: failed.into_iter().map(|((pipeline, code), records)| Failed { pipeline, code, records }).collect(),
        halted: halted.filter_map(|(name, halted)| Some((name.to_string(), halted.as_ref()?.why.clone()))).collect(),
        actions: actions
            .iter()
            .filter(|row| row.failed > 0)
            .map(|row| FailedActions { action: row.identity.name.to_string(), events: row.failed })
            .collect(),
        gaps: u64::try_from(store.gaps().await?.len()).unwrap_or(u64::MAX),
    })
}

/// The same for the same news, however often they are posted.
fn id(said: &str, last: Option<Timestamp>) -> String {
    privacy::hashed(b"digest", &format!("{said} {}", last.map_or(0, |last| last.0))).chars().take(32).collect()
}

fn message(picture: &Picture, before: &Picture, id: &str, now: Timestamp) -> serde_json::Value {
    json!({
        "v": 1,
        "id": id,
        "at": now.to_string(),
        "text": text(picture, before),
        "failed": picture.failed,
        "actions": picture.actions,
        "halted": picture.halted,
        "gaps": picture.gaps,
    })
}

/// For people: each line says what it was before.
fn text(picture: &Picture, before: &Picture) -> String {
    if *picture == Picture::default() {
        return "orgbridge: all is well again, nothing has failed.".to_owned();
    }
    let (mut lines, total) = (Vec::new(), picture.failed.iter().map(|one| one.records).sum::<u64>());
    let was = |now: u64, before: u64| match before {
        _ if now == before => String::new(),
        0 => " (new)".to_owned(),
        before => format!(" (was {})", grouped(before)),
    };
    for one in &picture.failed {
        let same = |other: &&Failed| (&other.pipeline, &other.code) == (&one.pipeline, &one.code);
        let earlier = before.failed.iter().find(same).map_or(0, |other| other.records);
        let was = was(one.records, earlier);
        lines.push(format!("- {}: {} {}{was}", one.pipeline, grouped(one.records), one.code));
    }
    for one in &picture.actions {
        let earlier = before.actions.iter().find(|other| other.action == one.action).map_or(0, |other| other.events);
        lines.push(format!("- {}: {}{}", one.action, counted(one.events, "failed action"), was(one.events, earlier)));
    }
    for (name, why) in &picture.halted {
        lines.push(format!("- {name} is halted: {why}"));
    }
    if picture.gaps > 0 {
        let was = was(picture.gaps, before.gaps);
        lines.push(format!(
            "- {}: events may be missing that are not made up for yet{was}",
            counted(picture.gaps, "gap")
        ));
    }
    let head = match total {
        0 => "orgbridge needs a look:".to_owned(),
        total => format!("orgbridge: {}", counted(total, "failed record")),
    };
    format!("{head}\n{}\nMore: orgbridge status, orgbridge failed list", lines.join("\n"))
}

/// Why it counts as not told. Nothing of what the receiver says is shown: it may repeat its address.
fn trouble(posted: &Result<Posted, NotPosted>) -> Option<String> {
    match posted {
        Ok(posted) if posted.status.is_success() => None,
        Ok(posted) => Some(format!("it answered HTTP {}", posted.status.as_u16())),
        Err(NotPosted::Unusable) => Some("the request cannot be made".to_owned()),
        Err(NotPosted::Unreachable) => Some("it cannot be reached".to_owned()),
        Err(NotPosted::TimedOut | NotPosted::Cut) => Some("it did not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(pipeline: &str, code: &str, records: u64) -> Failed {
        Failed { pipeline: pipeline.to_owned(), code: code.to_owned(), records }
    }

    #[test]
    fn a_digest_says_what_is_new_and_what_it_was_before() {
        let before = Picture { failed: vec![failed("accounts", "TOO_LONG", 2)], ..Picture::default() };
        let picture = Picture {
            failed: vec![
                failed("accounts", "TOO_LONG", 1_200),
                failed("contacts", "FIELD_CUSTOM_VALIDATION_EXCEPTION", 3),
            ],
            actions: vec![FailedActions { action: "tell".to_owned(), events: 1 }],
            halted: [("cases".to_owned(), "too many deletes".to_owned())].into(),
            gaps: 1,
        };
        assert_eq!(
            text(&picture, &before),
            "orgbridge: 1,203 failed records\n\
             - accounts: 1,200 TOO_LONG (was 2)\n\
             - contacts: 3 FIELD_CUSTOM_VALIDATION_EXCEPTION (new)\n\
             - tell: 1 failed action (new)\n\
             - cases is halted: too many deletes\n\
             - 1 gap: events may be missing that are not made up for yet (new)\n\
             More: orgbridge status, orgbridge failed list"
        );
        assert_eq!(text(&Picture::default(), &before), "orgbridge: all is well again, nothing has failed.");
    }

    #[test]
    fn the_same_news_have_the_same_id_until_they_are_told() {
        let (first, again) = (id("x", None), id("x", None));
        assert_eq!(first, again);
        assert_ne!(first, id("x", Some(Timestamp(1))), "the same as long ago");
        assert_ne!(first, id("y", None));
    }

    #[test]
    fn a_picture_is_read_back_as_it_was_said_also_by_a_later_release() {
        let picture = Picture { failed: vec![failed("a", "B", 1)], gaps: 2, ..Picture::default() };
        let said = json!(picture).to_string();
        assert_eq!(serde_json::from_str::<Picture>(&said).unwrap(), picture);
        assert_eq!(serde_json::from_str::<Picture>(r#"{"gaps": 2, "later": 1}"#).unwrap().gaps, 2);
    }
}
