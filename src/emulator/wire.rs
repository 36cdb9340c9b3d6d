//! A request and an answer, without the HTTP library's types in between.

mod order;

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};

pub use order::Ordered;

use super::org::SaveError;

/// The platform's general limit for a message.
pub const BODY_LIMIT: usize = 50 * 1024 * 1024;
/// What a URI may have, and a URI together with the headers.
const HEAD_LIMIT: usize = 16_384;
/// Shorter answers are not worth the work.
const WORTH_PACKING: usize = 1_024;

/// A request that has been read to its end.
#[derive(Debug)]
pub struct Call {
    pub method: Method,
    /// Percent-decoded, without empty ones: a trailing slash makes no difference.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// It came over TLS.
    pub secure: bool,
}

/// What the `Authorization` header of a call holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Authorization<'a> {
    Missing,
    /// Neither `Bearer T` nor `OAuth T`.
    Malformed,
    Token(&'a str),
}

impl Call {
    pub fn new(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        // `+` is a blank in a path too, which is why external ids have to encode it (rest.md section 5).
        let decode =
            |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let segments = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let mut call = Self { method, segments, query, headers, body, secure: false };
        // For clients without PATCH (rest.md section 1).
        if call.method == Method::POST
            && let Some(method) = call
                .parameter("_HttpMethod")
                .and_then(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok())
        {
            call.method = method;
        }
        call
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The access token, in any of the forms that clients use: `Bearer T`, `OAuth T`, or bare.
    pub fn token(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        Some(value.split_once(' ').map_or(value, |(_, token)| token.trim()))
    }

    /// The access token, in the two forms that the REST API takes.
    pub fn authorization(&self) -> Authorization<'_> {
        let Some(value) = self.header("authorization") else { return Authorization::Missing };
        match value.split_once(' ') {
            Some((scheme, token)) if ["bearer", "oauth"].contains(&scheme.to_ascii_lowercase().as_str()) => {
                Authorization::Token(token.trim())
            }
            _ => Authorization::Malformed,
        }
    }

    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Scheme, host and port as the client called them: what it can go on with.
    pub fn base(&self) -> String {
        format!("{}://{}", self.scheme(), self.host_and_port())
    }

    /// The host as the client called it, without the port.
    pub fn host_name(&self) -> &str {
        let host = self.host_and_port();
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        }
    }

    fn host_and_port(&self) -> &str {
        self.header("host").unwrap_or("127.0.0.1")
    }

    /// The path's segments as a slice pattern wants them.
    pub fn path(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }
}

/// What goes back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// No answer at all: the connection ends here.
    pub cut: bool,
}

impl Answer {
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), cut: false }
    }

    pub fn text(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }.with("content-type", content_type)
    }

    pub fn json(status: u16, body: &Json) -> Self {
        Self::text(status, "application/json;charset=UTF-8", Ordered(body).to_string())
    }

    pub fn cut() -> Self {
        Self { cut: true, ..Self::empty(500) }
    }

    /// The error body of the REST API: an array, `fields` only where there are some.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!([{"errorCode": code, "message": message}]))
    }

    /// A record's error as the answer of a request for that record alone.
    pub fn refused(error: &SaveError) -> Self {
        let status = match error.code {
            "NOT_FOUND" => 404,
            // A parent that is gone is a wrong value, not a wrong address.
            "ENTITY_IS_DELETED" if error.fields.is_empty() => 404,
            "INSUFFICIENT_ACCESS" | "INSUFFICIENT_ACCESS_OR_READONLY" => 403,
            _ => 400,
        };
        let item = |error: &SaveError| {
            let mut item = json!({"errorCode": error.code, "message": error.message});
            if let Some(item) = item.as_object_mut() {
                if !error.fields.is_empty() {
                    item.insert("fields".into(), json!(error.fields));
                }
                if let Some(result) = &error.duplicates {
                    item.insert("duplicateResut".into(), (**result).clone()); // misspelt as the platform has it
                }
            }
            item
        };
        Self::json(status, &std::iter::once(error).chain(&error.others).map(item).collect())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same JSON with line breaks and blanks; what is none stays as it is.
    pub fn pretty(mut self) -> Self {
        let json = |(name, value): &(&str, String)| *name == "content-type" && value.starts_with("application/json");
        if !self.headers.iter().any(json) {
            return self;
        }
        let plain = serde_json::from_str::<Json>(&self.body);
        if let Some(body) = plain.ok().and_then(|json| serde_json::to_string_pretty(&Ordered(&json)).ok()) {
            self.body = body;
        }
        self
    }

    /// `packed`: the client takes gzip.
    pub fn into_response(mut self, packed: bool) -> Response<Body> {
        let packed = if packed && self.body.len() > WORTH_PACKING { gzip(self.body.as_bytes()) } else { None };
        let body = match packed {
            Some(packed) => {
                self.headers.push(("content-encoding", "gzip".into()));
                Body::from(packed)
            }
            None => Body::from(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Text as HTML and XML can hold it, also between quotes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// The answer for a request whose URI or headers are longer than the platform's edge lets through; it is no JSON.
pub fn oversized(uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
    let line = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let page = |status: u16, reason: &str| {
        let body = format!("<h1>Bad Message {status}</h1><pre>reason: {reason}</pre>");
        Some(Answer::text(status, "text/html;charset=iso-8859-1", body))
    };
    match () {
        () if line > HEAD_LIMIT => page(414, "URI Too Long"),
        () if line + fields > HEAD_LIMIT => page(431, "Request Header Fields Too Large"),
        () => None,
    }
}
