//! `/composite/graph`: composites side by side, each all or nothing; the references tell the order of their nodes.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value as Json, json};

use super::references::{named, named_in};
use super::{HALTED, Subrequest, as_one, subrequests};
use crate::rest::{Context, Request};
use crate::wire::Answer;

const GRAPHS: usize = 75;
/// In all graphs together.
const NODES: usize = 500;
const DEPTH: usize = 15;
/// Combinations of method and object.
const KINDS: usize = 15;
/// After so many failed graphs no further one is tried.
const FAILURES: usize = 14;

struct Graph {
    id: String,
    nodes: Vec<Subrequest>,
    /// In which the nodes are done.
    order: Vec<usize>,
}

pub(super) fn handle(context: &mut Context, request: &Request) -> Result<Answer, Answer> {
    let body = request.body()?;
    let Some(list) = body.get("graphs").and_then(Json::as_array) else {
        return Err(Answer::error(400, "INVALID_INPUT", "The request is missing the required parameter graphs"));
    };
    within(list.len(), GRAPHS, "graphs")?;
    let graphs = list.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    within(graphs.iter().map(|graph| graph.nodes.len()).sum(), NODES, "nodes")?;
    let mut ids = BTreeSet::new();
    if let Some(double) = graphs.iter().find(|graph| !ids.insert(graph.id.as_str())) {
        let message = format!("Duplicate graphId provided in the request: {}", double.id);
        return Err(Answer::error(400, "INVALID_INPUT", &message));
    }
    let mut failures = 0;
    let mut results = Vec::with_capacity(graphs.len());
    for graph in &graphs {
        let (items, good) = match failures < FAILURES {
            true => as_one(context, request, &graph.nodes, &graph.order),
            false => {
                let halted = Answer::error(400, "PROCESSING_HALTED", HALTED);
                (graph.nodes.iter().map(|node| node.item(&halted)).collect(), false)
            }
        };
        failures += usize::from(!good);
        results.push(json!({"graphId": graph.id, "graphResponse": {"compositeResponse": items},
            "isSuccessful": good}));
    }
    Ok(Answer::json(200, &json!({"graphs": results})))
}

fn within(count: usize, limit: usize, what: &str) -> Result<(), Answer> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("The request can’t contain more than {limit} {what}.");
    Err(Answer::error(400, "LIMIT_EXCEEDED", &message))
}

fn read(json: &Json) -> Result<Graph, Answer> {
    let invalid = |message: String| Answer::error(400, "INVALID_INPUT", &message);
    let id = json.get("graphId").and_then(Json::as_str).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| invalid("The request is missing the required parameter graphId".into()))?.to_owned();
    let nodes = subrequests(json)?;
    let mut kinds = BTreeSet::new();
    for node in &nodes {
        let path = node.url.split('?').next().unwrap_or_default();
        let mut segments = path.split('/').filter(|part| !part.is_empty()).skip(3);
        let (Some("sobjects"), Some(object)) = (segments.next(), segments.next()) else {
            return Err(invalid(format!("The URL '{}' is not allowed in a graph", node.url)));
        };
        kinds.insert((node.method.to_ascii_uppercase(), object.to_ascii_lowercase()));
    }
    within(kinds.len(), KINDS, "kinds of nodes in a graph")?;
    let order = order(&nodes).map_err(|circle| invalid(format!("The node '{circle}' refers to itself")))?;
    let (order, depth) = order;
    within(depth, DEPTH, "levels in a graph")?;
    Ok(Graph { id, nodes, order })
}

/// The nodes so that each comes behind those that it refers to, and how many levels that makes.
fn order(nodes: &[Subrequest]) -> Result<(Vec<usize>, usize), String> {
    let places: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(place, node)| (node.reference.as_str(), place)).collect();
    let needs = |node: &Subrequest| {
        let mut names = Vec::new();
        named_in(&node.url, &mut names);
        named(&node.body, &mut names);
        // What is not there at all is told when the node is done.
        names.iter().filter_map(|name| places.get(name.as_str()).copied()).collect::<BTreeSet<usize>>()
    };
    let needs: Vec<BTreeSet<usize>> = nodes.iter().map(needs).collect();
    let mut done: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut levels = 0;
    while done.len() < nodes.len() {
        let free = needs
            .iter()
            .enumerate()
            .filter(|(place, needs)| !done.contains(place) && needs.iter().all(|need| done.contains(need)));
        let free: Vec<usize> = free.map(|(place, _)| place).collect();
        if free.is_empty() {
            let stuck = nodes.iter().enumerate().find(|(place, _)| !done.contains(place));
            return Err(stuck.map(|(_, node)| node.reference.clone()).unwrap_or_default());
        }
        done.extend(free);
        levels += 1;
    }
    Ok((done, levels))
}
