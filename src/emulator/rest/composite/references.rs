//! `@{ref.path}`: what one subrequest takes from the answer of another.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// The answers so far, by reference id.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Json>);

impl Known {
    pub(super) fn learn(&mut self, reference: &str, body: Json) {
        self.0.insert(reference.to_owned(), body);
    }

    /// A text with every reference in it replaced.
    ///
    /// # Errors
    /// The platform's words for a reference that leads nowhere.
    pub(super) fn text(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("@{") {
            let Some((path, tail)) = after.split_once('}') else { break };
            out.push_str(before);
            match self.find(path)? {
                Json::String(value) => out.push_str(value),
                other => out.push_str(&other.to_string()),
            }
            rest = tail;
        }
        Ok(out + rest)
    }

    /// JSON with every reference in its texts replaced; keys stay as they are.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(super) fn json(&self, json: &Json) -> Result<Json, String> {
        match json {
            Json::String(text) => match whole(text) {
                // A number or a truth value keeps its type.
                Some(path) => self.find(path).cloned(),
                None => self.text(text).map(Json::String),
            },
            Json::Array(list) => list.iter().map(|item| self.json(item)).collect::<Result<_, _>>().map(Json::Array),
            Json::Object(map) => {
                let fill = |(key, value): (&String, &Json)| Ok((key.clone(), self.json(value)?));
                map.iter().map(fill).collect::<Result<Map<_, _>, String>>().map(Json::Object)
            }
            other => Ok(other.clone()),
        }
    }

    fn find(&self, path: &str) -> Result<&Json, String> {
        let name = name_of(path);
        let missing = || format!("Invalid reference specified. No value for {path} found in {name}");
        let mut value = self.0.get(name).ok_or_else(missing)?;
        let mut rest = path.get(name.len()..).unwrap_or_default();
        while !rest.is_empty() {
            let step = if let Some(index) = rest.strip_prefix('[') {
                let (index, tail) = index.split_once(']').ok_or_else(missing)?;
                rest = tail;
                index.parse::<usize>().ok().and_then(|index| value.get(index))
            } else {
                let key = rest.strip_prefix('.').ok_or_else(missing)?;
                let end = key.find(['.', '[']).unwrap_or(key.len());
                let (key, tail) = key.split_at(end);
                rest = tail;
                value.get(key)
            };
            value = step.ok_or_else(missing)?;
        }
        match value {
            Json::Null => Err(missing()),
            value => Ok(value),
        }
    }
}

/// The reference ids that a JSON value names.
pub(super) fn named(json: &Json, found: &mut Vec<String>) {
    match json {
        Json::String(text) => named_in(text, found),
        Json::Array(list) => list.iter().for_each(|item| named(item, found)),
        Json::Object(map) => map.values().for_each(|item| named(item, found)),
        _ => {}
    }
}

pub(super) fn named_in(text: &str, found: &mut Vec<String>) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("@{") {
        let Some((path, tail)) = after.split_once('}') else { return };
        found.push(name_of(path).to_owned());
        rest = tail;
    }
}

fn name_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// The path of a text that is one reference and nothing else.
fn whole(text: &str) -> Option<&str> {
    let path = text.strip_prefix("@{")?.strip_suffix('}')?;
    (!path.contains(['{', '}'])).then_some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        known.learn("a", json!({"id": "001", "n": 5, "list": [{"Id": "x"}, {"Id": "y"}], "nothing": null}));
        known.learn("many", json!([{"id": "1"}, {"id": "2"}]));
        known
    }

    #[test]
    fn references_lead_into_objects_and_arrays() {
        let known = known();
        assert_eq!(known.text("/sobjects/@{a.id}/x@{many[1].id}"), Ok("/sobjects/001/x2".into()));
        let body = json!({"A": "@{a.list[1].Id}", "N": "@{a.n}", "T": "n=@{a.n}", "L": ["@{many[0].id}"], "B": true});
        assert_eq!(known.json(&body), Ok(json!({"A": "y", "N": 5, "T": "n=5", "L": ["1"], "B": true})));
        assert_eq!(known.text("no @{end"), Ok("no @{end".into()));
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named() {
        for path in ["b.id", "a.ID", "a.list[2].Id", "a.list[x]", "many[0", "a.nothing", "a..id", ""] {
            let message = format!("Invalid reference specified. No value for {path} found in {}", name_of(path));
            assert_eq!(known().text(&format!("@{{{path}}}")), Err(message), "{path}");
        }
    }

    #[test]
    fn the_references_of_a_body_are_found() {
        let mut found = Vec::new();
        named(&json!({"a": ["@{x.id} @{y[0].id}"], "b": {"c": "@{z.id}"}}), &mut found);
        assert_eq!(found, ["x", "y", "z"]);
    }
}
