//! JSON text written straight away, where building a tree first would cost too much: events, long answers.

use serde_json::Value as Json;

/// Appends a text in quotes.
pub fn string(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Json::from(text).to_string());
    }
}

/// Appends a name and its colon, with a comma in front of all but the first.
pub fn name(out: &mut String, name: &str) {
    if !out.is_empty() && !out.ends_with(['{', '[']) {
        out.push(',');
    }
    string(out, name);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_written_as_the_library_writes_them(text: String) {
            let mut out = String::new();
            string(&mut out, &text);
            prop_assert_eq!(out, json!(text).to_string());
        }
    }

    #[test]
    fn names_and_texts_make_an_object() {
        let mut out = String::from("{");
        for (key, given) in [("a", "1.50"), ("b\"", "ü\n")] {
            name(&mut out, key);
            string(&mut out, given);
        }
        out.push('}');
        let read: Json = serde_json::from_str(&out).unwrap();
        assert_eq!(read, json!({"a": "1.50", "b\"": "ü\n"}));
    }
}
