//! The three forms in which login answers can be asked for.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::refusal::Refusal;
use crate::wire::{Answer, Call, escaped};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    UrlEncoded,
    Xml,
}

impl Format {
    /// The parameter `format` counts, else `Accept`, else it is JSON.
    pub fn of(call: &Call, form: &HashMap<String, String>) -> Self {
        let named = form.get("format").map(String::as_str).or_else(|| call.parameter("format"));
        match named.map(str::to_ascii_lowercase).as_deref() {
            Some("json") => return Self::Json,
            Some("urlencoded") => return Self::UrlEncoded,
            Some("xml") => return Self::Xml,
            _ => {}
        }
        let accept = call.header("accept").unwrap_or_default();
        let first = accept.split(',').next().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match first {
            "application/xml" | "text/xml" => Self::Xml,
            "application/x-www-form-urlencoded" => Self::UrlEncoded,
            _ => Self::Json,
        }
    }

    pub fn answer(self, result: Result<Map<String, Json>, Refusal>) -> Answer {
        let answer = match result {
            Ok(body) => self.show(200, &body),
            // What stands before the org has no form of its own.
            Err(refusal) if refusal.status >= 500 => {
                let body = "<html><body><h1>Service not available</h1></body></html>";
                Answer::text(refusal.status, "text/html;charset=UTF-8", body)
            }
            Err(refusal) => self.refuse(&refusal),
        };
        answer.with("cache-control", "no-cache, no-store")
    }

    pub fn refuse(self, refusal: &Refusal) -> Answer {
        let body = Map::from_iter([
            ("error".to_owned(), json!(refusal.error)),
            ("error_description".to_owned(), json!(refusal.description)),
        ]);
        self.show(refusal.status, &body)
    }

    fn show(self, status: u16, body: &Map<String, Json>) -> Answer {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self {
            Self::Json => Answer::json(status, &Json::Object(body.clone())),
            Self::UrlEncoded => {
                let pairs = body.iter().map(|(key, value)| (key, text(value)));
                let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                Answer::text(status, "application/x-www-form-urlencoded;charset=UTF-8", encoded)
            }
            Self::Xml => {
                let elements: String =
                    body.iter().map(|(key, value)| format!("<{key}>{}</{key}>", escaped(&text(value)))).collect();
                let xml = format!(r#"<?xml version="1.0" encoding="UTF-8"?><OAuth>{elements}</OAuth>"#);
                Answer::text(status, "application/xml;charset=UTF-8", xml)
            }
        }
    }
}
