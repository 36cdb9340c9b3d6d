//! `orgs`: where each org is and how to log in (facts: oauth.md sections 1 and 8, rest.md section 13).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use url::{Host, Url};

use super::super::tree::{Key, Kind, Node};
use super::super::walk::{Keys, Text, Walk, quoted};
use super::super::{ApiBudget, Login, OrgConfig, PubsubEndpoint};
use super::privacy;
use crate::event::{Channel, ChannelKind, OrgName, Transport};
use crate::privacy::Privacy;

pub(in super::super) const ORG: Keys = Keys {
    block: "an org",
    required: &["login_url", "client_credentials"],
    optional: &["client_name", "api_version", "transport", "pubsub", "journal", "privacy", "api_budget"],
};
pub(in super::super) const CLIENT_CREDENTIALS: Keys =
    Keys { block: "`client_credentials`", required: &["key", "secret"], optional: &[] };
pub(in super::super) const SECRET_FILE: Keys = Keys { block: "`secret`", required: &["file"], optional: &[] };

pub(in super::super) const BUDGET: Keys = Keys { block: "`api_budget`", required: &["keep"], optional: &[] };

const CLIENT_NAME: &str = "OrgBridge";
const API_VERSION: &str = "66.0";
/// Upserts of many records answer as we read them from here on (facts: rest.md sections 5 and 6).
const API_VERSION_MIN: u32 = 46;

/// In percent. With more kept for others the bridge could hardly work.
const KEEP_MAX: u8 = 95;

const MY_DOMAIN: &str = "use the My Domain URL, https://MyDomain.my.salesforce.com (Setup > My Domain)";

/// Each org by the name that is written, also those that have problems (None), so that references to them are good.
pub(super) type Orgs = BTreeMap<String, Option<OrgConfig>>;

pub(super) fn check(walk: &mut Walk<'_>, (key, node): (&Key, &Node), path: &Path) -> Option<Orgs> {
    let entries = walk.entries(node, &key.span, "`orgs`")?;
    if entries.is_empty() {
        walk.find(&key.span, "`orgs` names no org", "add a source org and a target org");
    }
    Some(entries.iter().map(|(key, node)| (key.text.clone(), org(walk, key, node, path))).collect())
}

fn org(walk: &mut Walk<'_>, key: &Key, node: &Node, path: &Path) -> Option<OrgConfig> {
    let name = walk.key_name::<OrgName>(key);
    let org = walk.block(node, &key.span, &ORG)?;
    let login_url = org.entry("login_url").and_then(|entry| {
        let text = walk.text(entry)?;
        login_url(walk, &text)
    });
    let login = org.entry("client_credentials").and_then(|entry| client_credentials(walk, entry, path));
    let client_name = match org.entry("client_name") {
        Some(entry) => client_name(walk, entry),
        None => Some(CLIENT_NAME.to_owned()),
    };
    let api_version = match org.entry("api_version") {
        Some(entry) => api_version(walk, entry),
        None => Some(API_VERSION.to_owned()),
    };
    let transport = org
        .entry("transport")
        .map(|entry| walk.choice(entry, &[("pubsub", Transport::Pubsub), ("cometd", Transport::Cometd)]));
    let pubsub = match org.entry("pubsub") {
        Some(entry) => pubsub(walk, entry),
        None => Some(PubsubEndpoint::default()),
    };
    let journal = match org.entry("journal") {
        Some(entry) => walk.list(entry).map(|items| journal(walk, entry.0, items)),
        None => Some(Vec::new()),
    };
    let privacy = match org.entry("privacy") {
        Some(entry) => privacy::check(walk, entry, path),
        None => Some(Privacy::default()),
    };
    let api_budget = match org.entry("api_budget") {
        Some(entry) => api_budget(walk, entry),
        None => Some(ApiBudget::default()),
    };
    // Without logins the org is there all the same, for its privacy holds for what is only tried.
    let lacks = walk.without;
    let or = |value: Option<String>| value.or_else(|| lacks.then(String::new));
    Some(OrgConfig {
        name: name?.value,
        login_url: login_url.or_else(|| Url::parse(NOWHERE).ok().filter(|_| lacks))?,
        login: login.or_else(|| lacks.then(|| Login::ClientCredentials { key: String::new(), secret: "".into() }))?,
        client_name: or(client_name)?,
        api_version: or(api_version)?,
        transport: match transport {
            Some(None) if lacks => None,
            Some(transport) => Some(transport?),
            None => None,
        },
        pubsub: pubsub.or_else(|| lacks.then(PubsubEndpoint::default))?,
        journal: journal?,
        privacy: privacy?,
        api_budget: api_budget?,
    })
}

/// `off`, or `{ keep: 20% }`, or `{ keep: 5000 }`.
fn api_budget(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<ApiBudget> {
    if let Kind::Map(_) = node.kind {
        let block = walk.block(node, &key.span, &BUDGET)?;
        return keep(walk, block.entry("keep")?);
    }
    let text = walk.text((key, node))?;
    if text.value == "off" {
        return Some(ApiBudget::Off);
    }
    let message = format!("`api_budget` cannot be `{}`", quoted(&text.raw));
    walk.find(&text.span, message, "write { keep: 20% }, { keep: 5000 }, or off");
    None
}

fn keep(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<ApiBudget> {
    let text = walk.text(entry)?;
    let value = text.value.trim();
    let kept = match value.strip_suffix('%') {
        Some(share) => share.trim().parse().ok().filter(|share| *share <= KEEP_MAX).map(ApiBudget::Percent),
        None => value.parse().ok().map(ApiBudget::Calls),
    };
    if kept.is_none() {
        walk.find(
            &text.span,
            "`keep` must be a share of the org's API calls, or a number of them",
            format!("write 20% (at most {KEEP_MAX}%), or a number of calls: 5000"),
        );
    }
    kept
}

/// Where an org is of which no login is known.
pub(super) const NOWHERE: &str = "https://unknown.invalid";

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Never quotes the URL: people paste passwords into them.
fn login_url(walk: &mut Walk<'_>, text: &Text) -> Option<Url> {
    let mut refuse = |message: &str, remedy: &str| {
        walk.find(&text.span, message, remedy);
        None
    };
    let Ok(url) = Url::parse(text.value.trim()) else {
        return refuse("`login_url` is not a URL", MY_DOMAIN);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("`login_url` has a user or password in it", "remove it; keys belong under client_credentials");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return refuse("`login_url` goes on behind the host", "leave away everything behind the host");
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return refuse("`login_url` is not encrypted", "write https://; http is for this machine only"),
        _ => return refuse("`login_url` must start with https://", MY_DOMAIN),
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let not_for_api = [".lightning.force.com", ".my.site.com", ".my.salesforce-setup.com", ".salesforce-setup.com"];
    if let Some(domain) = not_for_api.iter().find_map(|suffix| host.strip_suffix(suffix)) {
        // What came out of a variable is not shown.
        let remedy = if text.expanded {
            MY_DOMAIN.to_owned()
        } else {
            format!("did you mean https://{domain}.my.salesforce.com?")
        };
        return refuse("`login_url` is a host for browsers, not for programs", &remedy);
    }
    if matches!(host, "login.salesforce.com" | "test.salesforce.com") {
        return refuse("login.salesforce.com and test.salesforce.com take no client credentials", MY_DOMAIN);
    }
    if host.ends_with(".salesforce.com") && !host.ends_with(".my.salesforce.com") {
        return refuse("`login_url` is not a My Domain host", MY_DOMAIN);
    }
    Some(url)
}

fn client_credentials(walk: &mut Walk<'_>, (key, node): (&Key, &Node), path: &Path) -> Option<Login> {
    let block = walk.block(node, &key.span, &CLIENT_CREDENTIALS)?;
    let key = block.entry("key").and_then(|entry| {
        let text = walk.text(entry)?;
        if text.value.trim().is_empty() {
            walk.find(&text.span, "the consumer key is empty", "copy it from the app in Setup");
            return None;
        }
        Some(text.value)
    });
    let secret = block.entry("secret").and_then(|entry| {
        let (span, secret) = secret(walk, entry, path)?;
        if secret.trim().is_empty() {
            walk.find(&span, "the consumer secret is empty", "copy it from the app in Setup");
            return None;
        }
        Some(secret.into())
    });
    Some(Login::ClientCredentials { key: key?, secret: secret? })
}

/// A secret that is written there, or in a file; and its place.
pub(super) fn secret(walk: &mut Walk<'_>, entry: (&Key, &Node), path: &Path) -> Option<(Range<usize>, String)> {
    let (key, node) = entry;
    if let Kind::Map(_) = node.kind {
        let block = walk.block(node, &key.span, &SECRET_FILE)?;
        let file = walk.text(block.entry("file")?)?;
        match (walk.read)(&super::beside(path, &file.value)) {
            Ok(mut content) => {
                // What an editor or `echo` adds.
                if content.ends_with('\n') {
                    content.pop();
                    if content.ends_with('\r') {
                        content.pop();
                    }
                }
                Some((file.span, content))
            }
            Err(_) if walk.without => None,
            Err(error) => {
                walk.find(
                    &file.span,
                    format!("the secret file cannot be read: {}", super::super::why(&error)),
                    "a relative path starts at the folder of this config; the bridge's user must be allowed to read it",
                );
                None
            }
        }
    } else {
        let text = walk.text(entry)?;
        Some((text.span, text.value))
    }
}

fn client_name(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<String> {
    let text = walk.text(entry)?;
    let valid = (1..=64).contains(&text.value.len())
        && text.value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | ';' | '=' | '/'));
    if valid {
        return Some(text.value);
    }
    walk.find(
        &text.span,
        "`client_name` is not a name that Salesforce takes",
        "up to 64 letters, digits, -, _ and ., without blanks, commas or semicolons",
    );
    None
}

fn api_version(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<String> {
    let text = walk.text(entry)?;
    let number = text.value.strip_suffix(".0").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    match number.map(str::parse::<u32>) {
        Some(Ok(number)) if (API_VERSION_MIN..=999).contains(&number) => Some(format!("{number}.0")),
        Some(Ok(_)) => {
            walk.find(
                &text.span,
                "this API version cannot be used",
                format!("write {API_VERSION_MIN}.0 or later, for example \"{API_VERSION}\""),
            );
            None
        }
        _ => {
            walk.find(
                &text.span,
                "`api_version` is not an API version",
                format!("write it with .0, for example \"{API_VERSION}\""),
            );
            None
        }
    }
}

fn pubsub(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<PubsubEndpoint> {
    let text = walk.text(entry)?;
    match text.value.trim() {
        "global" => return Some(PubsubEndpoint::Global),
        "germany" => return Some(PubsubEndpoint::Germany),
        _ => {}
    }
    let mut refuse = |message: &str| {
        walk.find(&text.span, message, "write global, germany, or an address: https://host:7443");
        None
    };
    let Ok(url) = Url::parse(text.value.trim()) else { return refuse("`pubsub` is no address") };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("`pubsub` has a user or password in it");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return refuse("`pubsub` goes on behind the host");
    }
    match url.scheme() {
        "https" => Some(PubsubEndpoint::Address(url)),
        "http" if is_loopback(&url) => Some(PubsubEndpoint::Address(url)),
        "http" => refuse("`pubsub` is not encrypted, and not on this machine"),
        _ => refuse("`pubsub` is no address"),
    }
}

fn journal(walk: &mut Walk<'_>, key: &Key, items: &[Rc<Node>]) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::new();
    for item in items {
        let Some(channel) = walk.name::<Channel>((key, item)) else { continue };
        match channel.value.kind() {
            ChannelKind::Poll | ChannelKind::Other => walk.find(
                &channel.span,
                "there is no channel of this kind",
                "write /event/Name__e, /topic/Name, /u/name, /data/AccountChangeEvent or /data/Name__chn",
            ),
            _ if channels.contains(&channel.value) => {
                walk.find(&channel.span, "the channel is named twice", "remove one of them");
            }
            ChannelKind::Object
            | ChannelKind::Objects
            | ChannelKind::Events
            | ChannelKind::PushTopic
            | ChannelKind::Generic => channels.push(channel.value),
        }
    }
    channels
}
