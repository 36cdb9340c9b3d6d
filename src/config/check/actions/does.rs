//! What an action does, where its idempotency key goes along, and what becomes of its answer.

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::super::super::tree::{Key, Kind, Node};
use super::super::super::walk::{At, Block, Keys, Walk, quoted};
use super::super::super::{Does, KeyPlace, Logins, Method, Via, Webhook};
use super::super::orgs::{NOWHERE, is_loopback, secret};
use crate::event::{FieldName, FieldPath, ObjectName, OrgName};

pub(in super::super::super) const APEX_REST: Keys =
    Keys { block: "`apex_rest`", required: &["method", "path"], optional: &[] };
pub(in super::super::super) const WEBHOOK: Keys =
    Keys { block: "`webhook`", required: &["url", "secret"], optional: &[] };
pub(in super::super::super) const KEY_HEADER: Keys =
    Keys { block: "`idempotency_key`", required: &["header"], optional: &[] };
pub(in super::super::super) const ANSWER: Keys =
    Keys { block: "`answer`", required: &["fields"], optional: &["object", "record", "event"] };

/// What an action can do; it does one of these.
const KINDS: [&str; 5] = ["flow", "apex", "apex_rest", "event", "webhook"];
/// An HMAC with less can be guessed.
const SECRET_MIN: usize = 16;
/// The longest path of a URL that Salesforce takes is longer (16 KiB); what is longer than this is a mistake.
const PATH_MAX: usize = 2_000;

/// What becomes of an answer, as it is written.
pub(in super::super) enum Answer {
    /// Absent: of the record that triggered it.
    Record {
        object: Option<At<ObjectName>>,
        id: Option<At<FieldPath>>,
        fields: Vec<(FieldName, String)>,
    },
    Event {
        event: At<ObjectName>,
        fields: Vec<(FieldName, String)>,
    },
}

/// What is done, and where.
pub(super) struct Doing {
    /// Some(None): in no org.
    pub org: Option<Option<At<OrgName>>>,
    /// At the key that says it.
    pub does: Option<At<Does>>,
}

pub(super) fn check(walk: &mut Walk<'_>, action: &Block<'_>, path: &Path, logins: Logins) -> Doing {
    let kinds: Vec<_> = KINDS.iter().filter_map(|name| action.entry(name)).collect();
    let org = action.entry("org").map(|entry| walk.name::<OrgName>(entry));
    let [(key, node)] = kinds[..] else {
        if kinds.is_empty() && !KINDS.iter().any(|name| action.misspelt.contains(name)) {
            walk.find(&action.place, "nothing is done", format!("add one of: {}", KINDS.join(", ")));
        }
        if let Some((key, _)) = kinds.get(1) {
            let remedy = "keep one of them, and write another pipeline for the other";
            walk.find(&key.span, "an action does one thing", remedy);
        }
        return Doing { org: org.flatten().map(Some), does: None };
    };
    let via = match action.entry("via") {
        Some((via, _)) if key.text != "event" => {
            walk.find(&via.span, "`via` is for `event`", "remove it");
            None
        }
        Some(entry) => walk.choice(entry, &[("rest", Via::Rest), ("pubsub", Via::Pubsub)]),
        None => Some(Via::default()),
    };
    if key.text == "webhook" {
        if let Some((org, _)) = action.entry("org") {
            walk.find(&org.span, "a webhook is in no org", "remove `org`");
        }
        let webhook = webhook(walk, (key, node), path, logins);
        return Doing { org: Some(None), does: webhook.map(|webhook| at(Does::Webhook(webhook), key)) };
    }
    if org.is_none() && !action.misspelt.contains(&"org") {
        let remedy = "add `org:`, one of the names under `orgs`";
        walk.find(&key.span, format!("`{}` needs the org in which it is done", key.text), remedy);
    }
    let org = org.flatten();
    let does = in_org(walk, (key, node), org.as_ref(), via).map(|does| at(does, key));
    Doing { org: org.map(Some), does }
}

fn at<T>(value: T, key: &Key) -> At<T> {
    At { value, raw: key.text.clone(), span: key.span.clone() }
}

fn in_org(
    walk: &mut Walk<'_>,
    (key, node): (&Key, &Node),
    org: Option<&At<OrgName>>,
    via: Option<Via>,
) -> Option<Does> {
    let org = || org.map(|org| org.value.clone());
    Some(match key.text.as_str() {
        "flow" => {
            let name = walk.name((key, node))?.value;
            Does::Flow { org: org()?, name }
        }
        "apex" => {
            let name = walk.name((key, node))?.value;
            Does::Apex { org: org()?, name }
        }
        "apex_rest" => {
            let (method, path) = apex_rest(walk, (key, node))?;
            Does::ApexRest { org: org()?, method, path }
        }
        _ => {
            let event = event(walk, (key, node))?.value;
            Does::Event { org: org()?, event, via: via? }
        }
    })
}

/// A platform event by its API name.
fn event(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<ObjectName>> {
    let event = walk.name::<ObjectName>(entry)?;
    if event.value.as_str().ends_with("__c") {
        let remedy = "write its API name, which ends in __e";
        walk.find(&event.span, format!("`{}` is no platform event", quoted(&event.raw)), remedy);
        return None;
    }
    Some(event)
}

fn apex_rest(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<(Method, String)> {
    let block = walk.block(node, &key.span, &APEX_REST)?;
    let method = block.entry("method").and_then(|entry| {
        walk.choice(entry, &[("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)])
    });
    let path = block.entry("path").and_then(|entry| path(walk, entry));
    Some((method?, path?))
}

/// Below `/services/apexrest`.
fn path(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<String> {
    let text = walk.text(entry)?;
    let remedy = "write what is behind /services/apexrest, as in the class's urlMapping: /accounts, /accounts/{Number}";
    let mut refuse = |message: &str| {
        walk.find(&text.span, message, remedy);
        None
    };
    let path = text.value.as_str();
    if !path.starts_with('/') || path.len() > PATH_MAX {
        return refuse("`path` must begin with /, and be no longer than 2000 characters");
    }
    if path.starts_with("/services/") {
        return refuse("`path` begins behind /services/apexrest");
    }
    if path.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '#' | '\\' | '"' | '<' | '>')) {
        return refuse("`path` has a character that no path has; write it as %20");
    }
    if path.split(['/', '?']).any(|segment| matches!(segment, "." | "..")) {
        return refuse("`path` leads elsewhere");
    }
    if names_in(path).is_none() {
        return refuse("`path` has a { that begins no field's name");
    }
    Some(text.value)
}

/// The inputs that a path names. None: some brace stands for none.
pub(super) fn names_in(path: &str) -> Option<Vec<FieldName>> {
    let (mut names, mut rest) = (Vec::new(), path);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        if before.contains('}') {
            return None;
        }
        names.push(name.parse().ok()?);
        rest = after;
    }
    (!rest.contains('}')).then_some(names)
}

/// Neither the address nor the secret is ever quoted: both may be what lets somebody in.
pub(in super::super) fn webhook(
    walk: &mut Walk<'_>,
    entry: (&Key, &Node),
    path: &Path,
    logins: Logins,
) -> Option<Webhook> {
    walk.without = logins == Logins::MayLack;
    let webhook = signed(walk, entry, path);
    walk.without = false;
    webhook
}

fn signed(walk: &mut Walk<'_>, (key, node): (&Key, &Node), path: &Path) -> Option<Webhook> {
    let lacks = walk.without;
    let block = walk.block(node, &key.span, &WEBHOOK)?;
    let url = block.entry("url").and_then(|entry| url(walk, entry));
    let secret = block.entry("secret").and_then(|entry| {
        let (span, secret) = secret(walk, entry, path)?;
        if secret.len() < SECRET_MIN {
            let remedy = "take at least 16 bytes of random, and give the receiver the same";
            walk.find(&span, "the secret is so short that it can be guessed", remedy);
            return None;
        }
        Some(SecretString::from(secret))
    });
    Some(Webhook {
        url: url.or_else(|| Url::parse(NOWHERE).ok().filter(|_| lacks))?,
        secret: secret.or_else(|| lacks.then(|| "".into()))?,
    })
}

fn url(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Url> {
    let text = walk.text(entry)?;
    let mut refuse = |message: &str, remedy: &str| {
        walk.find(&text.span, message, remedy);
        None
    };
    let Ok(url) = Url::parse(text.value.trim()) else {
        return refuse("`url` is no address", "write https://host/path");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "`url` has a user or password in it",
            "remove it: the receiver knows the bridge by the signature",
        );
    }
    match url.scheme() {
        "https" => Some(url),
        "http" if is_loopback(&url) => Some(url),
        "http" => refuse("`url` is not encrypted", "write https://; http is for this machine only"),
        _ => refuse("`url` must start with https://", "write https://host/path"),
    }
}

/// The name of an input, or `{ header: Name }`.
pub(super) fn key_place(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<KeyPlace>> {
    if !matches!(node.kind, Kind::Map(_)) {
        let name = walk.name::<FieldName>((key, node))?;
        return Some(At { value: KeyPlace::Input(name.value), raw: name.raw, span: name.span });
    }
    let block = walk.block(node, &key.span, &KEY_HEADER)?;
    let text = walk.text(block.entry("header")?)?;
    let own = |name: &str| {
        let name = name.to_ascii_lowercase();
        let others = ["authorization", "host", "cookie", "connection", "transfer-encoding", "expect", "accept"];
        let families = ["content-", "sforce-", "x-orgbridge-", "proxy-"];
        others.contains(&name.as_str()) || families.iter().any(|family| name.starts_with(family))
    };
    let parsed = text.value.parse::<reqwest::header::HeaderName>();
    if parsed.is_err() || text.value.len() > 80 {
        let remedy = "letters, digits and -: Idempotency-Key";
        walk.find(&text.span, "this is no name of a header", remedy);
        return None;
    }
    if own(&text.value) {
        let remedy = "take a name of your own: Idempotency-Key";
        walk.find(&text.span, "this header has a meaning already", remedy);
        return None;
    }
    Some(At { value: KeyPlace::Header(text.value), raw: text.raw, span: text.span })
}

pub(super) fn answer(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<Answer>> {
    let block = walk.block(node, &key.span, &ANSWER)?;
    let object = block.entry("object").map(|entry| walk.name::<ObjectName>(entry));
    let id = block.entry("record").map(|entry| walk.name::<FieldPath>(entry));
    let event = block.entry("event").map(|entry| event(walk, entry));
    let fields = block.entry("fields").and_then(|entry| answered(walk, entry));
    if let (Some(_), Some((key, _))) = (&event, block.entry("object").or_else(|| block.entry("record"))) {
        let remedy = "keep `event`, or `object` and `record`";
        walk.find(&key.span, "an answer goes to a record or into an event", remedy);
        return None;
    }
    let fields = fields?;
    let value = match event {
        Some(event) => Answer::Event { event: event?, fields },
        None => Answer::Record {
            object: match object {
                Some(object) => Some(object?),
                None => None,
            },
            id: match id {
                Some(id) => Some(id?),
                None => None,
            },
            fields,
        },
    };
    Some(at(value, key))
}

/// Fields of the source, each with the output that fills it.
fn answered(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Vec<(FieldName, String)>> {
    let entries = walk.entries(node, &key.span, "`fields`")?;
    if entries.is_empty() {
        walk.find(&key.span, "nothing of the answer is taken", "write a line `Field__c: output`, or remove `answer`");
        return None;
    }
    let mut fields: Vec<Option<(FieldName, String)>> = Vec::new();
    for (at, (key, node)) in entries.iter().enumerate() {
        let same = |(other, _): &(Key, std::rc::Rc<Node>)| other.text.eq_ignore_ascii_case(&key.text);
        if entries.iter().take(at).any(same) {
            let remedy = "keep one; upper and lower case do not make it another field";
            walk.find(&key.span, format!("the field `{}` is filled twice", quoted(&key.text)), remedy);
        }
        let field = walk.key_name::<FieldName>(key).map(|field| field.value);
        let output = walk.text((key, node)).map(|text| text.value);
        fields.push(field.zip(output));
    }
    fields.into_iter().collect()
}
