//! What the orgs say of the objects that pipelines read and write, kept up to date in their mappings.
//!
//! Asked at the start, and again when there is reason to doubt it: the target refused a field, or the schema of the source's
//! events is another than before. While nobody doubts, nothing is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::event::{ObjectName, OrgName};
use crate::mapping::{Mapping, Types};
use crate::org::{CallError, Org};
use crate::retry::Backoff;
use crate::store::PipelineId;

/// Describes that are asked for at once.
const AT_ONCE: usize = 4;
/// How long one may take: a source that is silent must not keep a target waiting.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// An object that is doubted again is asked for at most this often.
const AGAIN: Duration = Duration::from_secs(60);
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Of an object that the user may not see this is how often it is asked for.
const RETRY_MAX: Duration = Duration::from_secs(600);

type Object = (OrgName, ObjectName);

/// A mapping with newer types for a pipeline.
pub type Remapped = (PipelineId, Arc<Mapping>);

/// For saying that what is known of an object may not hold any more.
#[derive(Debug, Clone)]
pub struct Doubts(mpsc::UnboundedSender<Object>);

/// What [`run`] hears of.
pub type Doubted = mpsc::UnboundedReceiver<Object>;

impl Doubts {
    pub fn new() -> (Self, Doubted) {
        let (doubts, doubted) = mpsc::unbounded_channel();
        (Self(doubts), doubted)
    }

    /// What is said when the bridge stops is of no use any more.
    pub fn raise(&self, org: &OrgName, object: &ObjectName) {
        drop(self.0.send((org.clone(), object.clone())));
    }
}

/// The two ends of a pipeline, and the mapping between them.
#[derive(Clone)]
pub struct Ends {
    pub id: PipelineId,
    pub source: Org,
    pub target: Org,
    /// The objects of the source org that are named as parents.
    pub sources: BTreeSet<ObjectName>,
    /// As the config has it.
    pub mapping: Mapping,
    /// Where a newer one goes.
    pub to: mpsc::UnboundedSender<Remapped>,
}

impl Ends {
    fn objects(&self) -> impl Iterator<Item = (&Org, &ObjectName)> {
        let sources = self.sources.iter().map(|object| (&self.source, object));
        sources.chain([(&self.target, &self.mapping.target_object)])
    }

    /// With all that is known by now.
    fn typed(&self) -> Arc<Mapping> {
        let target = self.target.known_describe(&self.mapping.target_object);
        let sources: Vec<_> = self.sources.iter().filter_map(|object| self.source.known_describe(object)).collect();
        let sources = sources.iter().map(AsRef::as_ref);
        let types = Types::new(self.mapping.target_fields(), target.as_deref(), sources);
        Arc::new(self.mapping.clone().with_types(Arc::new(types)))
    }

    fn reads(&self, (org, object): &Object) -> bool {
        self.source.name() == org && self.mapping.source_object == *object
    }
}

fn objects(pipelines: &[Ends]) -> BTreeMap<Object, Org> {
    let all = pipelines.iter().flat_map(Ends::objects);
    all.map(|(org, object)| ((org.name().clone(), object.clone()), org.clone())).collect()
}

/// The mappings to begin with, in the same order. An object that cannot be described is doubted: its pipelines begin
/// without it, and it is asked for again.
pub async fn first(pipelines: &[Ends], doubts: &Doubts) -> Vec<Arc<Mapping>> {
    let ask = |((_, object), org): (Object, Org)| async move {
        if let Err(why) = described(org.describe(&object)).await {
            warn!(org = %org.name(), %object, %why, "not described: until it is, values are written as they come");
            doubts.raise(org.name(), &object);
        }
    };
    futures_util::stream::iter(objects(pipelines)).for_each_concurrent(AT_ONCE, ask).await;
    pipelines.iter().map(Ends::typed).collect()
}

async fn described<T>(asked: impl Future<Output = Result<T, CallError>>) -> Result<T, String> {
    match timeout(ANSWER_MAX, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER_MAX:?}")),
    }
}

/// Asks for what is doubted and hands out newer mappings, until cancelled.
pub async fn run(pipelines: Vec<Ends>, mut doubted: Doubted, cancel: CancellationToken) {
    let orgs = objects(&pipelines);
    let mut due: BTreeMap<Object, Instant> = BTreeMap::new();
    let mut asked: HashMap<Object, Instant> = HashMap::new();
    let mut failing: HashMap<Object, Backoff> = HashMap::new();
    loop {
        let next = due.iter().min_by_key(|(_, at)| **at).map(|(object, at)| (object.clone(), *at));
        let come = async {
            match &next {
                Some((_, at)) => sleep_until(*at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            object = doubted.recv() => {
                let Some(object) = object else { return };
                // Who changes fields in the one org often does so in the other.
                let targets = pipelines.iter().filter(|ends| ends.reads(&object));
                let targets = targets.map(|one| (one.target.name().clone(), one.mapping.target_object.clone()));
                for object in targets.chain([object.clone()]).filter(|object| orgs.contains_key(object)) {
                    let now = Instant::now();
                    let at = asked.get(&object).map_or(now, |last| now.max(*last + AGAIN));
                    due.entry(object).or_insert(at);
                }
            }
            () = come => {
                let Some((object, _)) = next else { continue };
                due.remove(&object);
                let Some(org) = orgs.get(&object) else { continue };
                asked.insert(object.clone(), Instant::now());
                let answer = tokio::select! {
                    () = cancel.cancelled() => return,
                    answer = described(org.refresh_describe(&object.1)) => answer,
                };
                if let Err(why) = answer {
                    if !failing.contains_key(&object) && org.known_describe(&object.1).is_some() {
                        warn!(org = %object.0, object = %object.1, %why, "not described anew; it is asked again");
                    }
                    let backoff = failing.entry(object.clone()).or_insert_with(|| Backoff::new(RETRY_FIRST, RETRY_MAX));
                    due.insert(object, Instant::now() + backoff.next_delay());
                    continue;
                }
                if failing.remove(&object).is_some() {
                    info!(org = %object.0, object = %object.1, "described after all");
                }
                let concerned = |ends: &&Ends| {
                    ends.objects().any(|(org, of)| *org.name() == object.0 && *of == object.1)
                };
                for ends in pipelines.iter().filter(concerned) {
                    // A pipeline that has ended needs none.
                    drop(ends.to.send((ends.id, ends.typed())));
                }
            }
        }
    }
}
