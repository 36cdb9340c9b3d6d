//! Which versions of the API there are, and what each of them offers at its root (rest.md section 1).

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, not_allowed, not_found};
use crate::wire::Answer;

/// The newest version; older ones answer too.
pub const NEWEST: u32 = 68;
const OLDEST: u32 = 31;
/// Up to here answers carry a warning.
const DEPRECATED: u32 = 40;

/// What stands at the root of a version, besides the identity of the caller.
const RESOURCES: [&str; 39] = [
    "actions",
    "analytics",
    "appMenu",
    "async-queries",
    "chatter",
    "commerce",
    "compactLayouts",
    "composite",
    "connect",
    "consent",
    "contact-tracing",
    "dedupe",
    "event",
    "folders",
    "jobs",
    "jsonxform",
    "knowledgeManagement",
    "licensing",
    "limits",
    "localizedvalue",
    "metadata",
    "nouns",
    "parameterizedSearch",
    "payments",
    "process",
    "query",
    "queryAll",
    "quickActions",
    "recent",
    "search",
    "serviceTemplates",
    "smartdatadiscovery",
    "sobjects",
    "support",
    "tabs",
    "theme",
    "tooling",
    "ui-api",
    "wave",
];

/// The number in `v66.0`.
///
/// # Errors
/// The answer for a version that is gone, or was never there.
pub fn number(segment: &str) -> Result<u32, Answer> {
    let number = segment.strip_prefix('v').and_then(|rest| rest.strip_suffix(".0"));
    // Written in one way only: neither `v066.0` nor `v+66.0`.
    let number = number.and_then(|text| text.parse::<u32>().ok().filter(|number| number.to_string() == text));
    match number {
        Some(number) if (OLDEST..=NEWEST).contains(&number) => Ok(number),
        Some(number) if number < OLDEST => {
            let message = format!("API version {number}.0 is not supported any more. The oldest one is {OLDEST}.0.");
            Err(Answer::error(410, "UNSUPPORTED_API_VERSION", &message))
        }
        _ => Err(not_found()),
    }
}

/// Every version in ascending order; needs no token and is not counted.
pub fn list() -> Answer {
    let list = (OLDEST..=NEWEST).map(|n| {
        // Three releases a year; version 58 was Summer '23.
        let season = ["Spring", "Summer", "Winter"].get((n % 3) as usize).copied().unwrap_or_default();
        let year = if n % 3 == 2 { (n - 2) / 3 + 5 } else { n / 3 + 4 };
        json!({"label": format!("{season} '{year}"), "url": format!("/services/data/v{n}.0"),
            "version": format!("{n}.0")})
    });
    Answer::json(200, &list.collect::<Json>())
}

/// Marks the answers of versions that will go.
pub fn warned(answer: Answer, number: u32) -> Answer {
    match number {
        ..=DEPRECATED => {
            let text =
                format!("299 - \"API version {number}.0 is deprecated and will be retired. Use a newer version.\"");
            answer.with("warning", text)
        }
        _ => answer,
    }
}

/// What a version offers.
pub(super) fn resources(context: &Context, request: &Request) -> Result<Answer, Answer> {
    if !matches!(request.call.method.as_str(), "GET" | "HEAD") {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    let path = |name: &str| json!(format!("/services/data/v{}.0/{name}", request.version));
    let mut map: Map<String, Json> = RESOURCES.iter().map(|name| ((*name).to_owned(), path(name))).collect();
    let identity = format!("{}/id/{}/{}", request.call.base(), context.org.id, request.user);
    map.insert("identity".into(), identity.into());
    Ok(Answer::json(200, &Json::Object(map)))
}
