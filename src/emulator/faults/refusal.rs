//! The answer that refuses a request, in the form of the endpoint that it went to.

use serde_json::{Value as Json, json};

use crate::soap;
use crate::wire::{Answer, Call};

/// The names of the gRPC statuses, in the order of their numbers.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const INTERNAL: i32 = 13;
const UNAUTHENTICATED: i32 = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of HTTP.
    pub status: u16,
    pub code: Option<String>,
    pub message: Option<String>,
    /// Seconds for a `Retry-After` header.
    pub retry_after: Option<u64>,
    /// This page instead of the endpoint's own form, as a proxy sends it.
    pub body: Option<String>,
    /// The number of a gRPC status.
    pub grpc: i32,
    /// What follows `sfdc.platform.eventbus.grpc.` in the trailer `error-code`; `None`: no such trailer.
    pub error_code: Option<String>,
}

impl Refusal {
    /// The status that goes with a code of the platform (rest.md section 15).
    pub fn status_of(code: &str) -> Option<u16> {
        match code {
            "SERVER_UNAVAILABLE" => Some(503),
            "REQUEST_LIMIT_EXCEEDED" => Some(403),
            "INVALID_SESSION_ID" => Some(401),
            "UNKNOWN_EXCEPTION" => Some(500),
            _ => None,
        }
    }

    /// The number of a gRPC status that is a failure.
    pub fn grpc_code(name: &str) -> Option<i32> {
        let place = GRPC.iter().position(|known| *known == name).filter(|place| *place > 0);
        place.and_then(|place| i32::try_from(place).ok())
    }

    /// What the Pub/Sub API sends (streaming-pubsub.md section 6): a service that is unavailable has INTERNAL.
    pub fn usual_grpc(status: u16) -> i32 {
        if status == 401 { UNAUTHENTICATED } else { INTERNAL }
    }

    pub fn usual_error_code(status: u16) -> Option<&'static str> {
        match status {
            401 => Some("service.auth.error"),
            403 => Some("subscription.limit.exceeded"),
            502 | 504 => None,
            _ => Some("service.unavailable"),
        }
    }

    /// The refusal as an endpoint of HTTP makes it.
    pub fn answer(&self, call: &Call) -> Answer {
        let answer = match call.path().as_slice() {
            _ if self.body.is_some() || self.is_of_the_edge() => self.page(),
            ["services", "oauth2", ..] => self.login(),
            ["services", "Soap", kind, ..] => soap::refusal(self.status, kind, self.code(), &self.message()),
            ["cometd", ..] => self.bayeux(&call.body),
            _ => Answer::error(self.status, self.code(), &self.message()),
        };
        match self.retry_after {
            Some(seconds) => answer.with("retry-after", seconds.to_string()),
            None => answer,
        }
    }

    fn code(&self) -> &str {
        self.code.as_deref().unwrap_or(match self.status {
            503 => "SERVER_UNAVAILABLE",
            403 => "REQUEST_LIMIT_EXCEEDED",
            401 => "INVALID_SESSION_ID",
            404 => "NOT_FOUND",
            _ => "UNKNOWN_EXCEPTION",
        })
    }

    /// The text of the refusal.
    pub fn message(&self) -> String {
        let usual = || match self.status {
            503 => "Server is too busy.  Please try your request again later.",
            403 => "TotalRequests Limit exceeded.",
            401 => "Session expired or invalid",
            404 => "The requested resource does not exist",
            _ => "An unexpected error occurred.",
        };
        self.message.clone().unwrap_or_else(|| usual().to_owned())
    }

    /// Gateways know nothing of the platform's codes.
    fn is_of_the_edge(&self) -> bool {
        matches!(self.status, 502 | 504) && self.code.is_none()
    }

    /// As what stands before the org sends it.
    pub fn page(&self) -> Answer {
        let usual = || format!("<html><body><h1>{}</h1>{}</body></html>", self.status, self.message());
        let body = self.body.clone().unwrap_or_else(usual);
        Answer::text(self.status, "text/html;charset=UTF-8", body)
    }

    /// What stands before the org has no form of its own (oauth.md section 4).
    fn login(&self) -> Answer {
        if self.status >= 500 && self.code.is_none() {
            return self.page();
        }
        let body = json!({"error": self.code(), "error_description": self.message()});
        Answer::json(self.status, &body).with("cache-control", "no-cache, no-store")
    }

    /// Each message fails by itself. The outer error misleads, the reason is inside (streaming-cometd.md section 7).
    fn bayeux(&self, body: &[u8]) -> Answer {
        let messages = match serde_json::from_slice(body) {
            Ok(Json::Array(messages)) => messages,
            Ok(message) => vec![message],
            Err(_) => Vec::new(),
        };
        let reason = format!("{}::{}", self.status, self.message());
        let fail = |message: &Json| {
            let mut reply = json!({"channel": message.get("channel"), "id": message.get("id"), "successful": false,
                "error": "401::Authentication invalid", "ext": {"sfdc": {"failureReason": reason}},
                "advice": {"reconnect": "none", "interval": 0}});
            if let (Some(client), Some(reply)) = (message.get("clientId"), reply.as_object_mut()) {
                reply.insert("clientId".into(), client.clone());
            }
            reply
        };
        Answer::json(200, &messages.iter().map(fail).collect())
    }
}
