//! What is judged of a request before anybody asks what it wants: its suffix, its content type, its encoding, its JSON.

use std::io::Read;

use axum::body::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value as Json;

use super::{jobs, not_found};
use crate::wire::{Answer, BODY_LIMIT, Call};

/// From this version on the suffixes `.json` and `.xml` are not understood any more.
const NO_SUFFIX: u32 = 58;

/// Makes a call plain: no suffix, no compression.
///
/// # Errors
/// The answer for a call that cannot be read.
pub fn admit(call: &mut Call, version: u32) -> Result<(), Answer> {
    let data = call.segments.get(1).is_some_and(|family| family == "data");
    if let Some(last) = call.segments.last_mut().filter(|_| data) {
        let suffix = [".json", ".xml"].into_iter().find(|suffix| last.ends_with(suffix));
        match suffix {
            Some(".json") if version < NO_SUFFIX => last.truncate(last.len() - ".json".len()),
            // As a value that ends like a file name, too.
            Some(_) => return Err(not_found()),
            None => {}
        }
    }
    if call.body.is_empty() {
        return Ok(());
    }
    if !is_expected(call) {
        let given = call.header("content-type").unwrap_or_default();
        let message = format!("Content-Type header specified in HTTP request is not supported: {given}");
        return Err(Answer::error(415, "UNSUPPORTED_MEDIA_TYPE", &message));
    }
    match call.header("content-encoding").map(str::trim) {
        None | Some("" | "identity") => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => {
            call.body = inflated(&call.body, if jobs::is_upload(call) { jobs::UPLOAD_LIMIT } else { BODY_LIMIT })?;
            Ok(())
        }
        Some(encoding) => {
            let message = format!("Content-Encoding header specified in HTTP request is not supported: {encoding}");
            Err(Answer::error(415, "UNSUPPORTED_MEDIA_TYPE", &message))
        }
    }
}

/// What the body is, as its header says; empty where it says nothing.
fn content_type(call: &Call) -> &str {
    call.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

/// Whether the body is to be read as JSON.
pub fn is_json(call: &Call) -> bool {
    let kind = content_type(call);
    !jobs::is_upload(call) && (kind.is_empty() || kind.eq_ignore_ascii_case("application/json"))
}

/// Whether the content type is one that the resource takes.
fn is_expected(call: &Call) -> bool {
    let kind = content_type(call);
    match () {
        () if kind.is_empty() => true,
        () if jobs::is_upload(call) => kind.eq_ignore_ascii_case("text/csv"),
        () => {
            kind.eq_ignore_ascii_case("application/json")
                || (jobs::is_creation(call) && kind.eq_ignore_ascii_case("multipart/form-data"))
        }
    }
}

fn inflated(body: &Bytes, limit: usize) -> Result<Bytes, Answer> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match GzDecoder::new(body.as_ref()).take(most).read_to_end(&mut plain) {
        Ok(_) if plain.len() > limit => Err(too_large(limit)),
        Ok(_) => Ok(plain.into()),
        Err(_) => Err(Answer::error(400, "JSON_PARSER_ERROR", "The request body is not in gzip format")),
    }
}

/// A body above what may be sent, in bytes.
pub fn too_large(limit: usize) -> Answer {
    let message = format!("The request body is larger than {limit} bytes");
    Answer::error(413, "EXCEEDED_MAX_SIZE_REQUEST", &message)
}

/// The body as JSON; `Null` where there is none.
///
/// # Errors
/// What is wrong with it, in the words of the platform's parser.
pub fn json(body: &[u8]) -> Result<Json, String> {
    if body.is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let wanted = |part: &str| text.contains(part);
        if error.is_eof() {
            return format!(
                "Unexpected end-of-input in the middle of the JSON document at [line:{line}, column:{column}]"
            );
        }
        let expected = if wanted("key must be a string") {
            "was expecting double-quote to start field name"
        } else if wanted("expected `:`") {
            "was expecting a colon to separate field name and value"
        } else if wanted("`}`") {
            "was expecting comma to separate OBJECT entries"
        } else if wanted("`]`") {
            "was expecting comma to separate ARRAY entries"
        } else if wanted("control character") {
            "has to be escaped using backslash to be included in string value"
        } else if wanted("trailing characters") {
            "was expecting the end of the JSON document"
        } else {
            "expected a valid value (number, String, array, object, 'true', 'false' or 'null')"
        };
        let found = character(body, line, column);
        let code = u32::from(found);
        format!("Unexpected character ('{found}' (code {code})): {expected} at [line:{line}, column:{column}]")
    })
}

/// The character at a place, both numbers from 1 up.
fn character(body: &[u8], line: usize, column: usize) -> char {
    let line = body.split(|byte| *byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let rest = line.get(column.saturating_sub(1)..).unwrap_or_default();
    // A character has at most four bytes.
    let start = String::from_utf8_lossy(rest.get(..4).unwrap_or(rest)).into_owned();
    start.chars().next().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_told_with_its_character_and_place() {
        for (body, message) in [
            (
                r#"{"Name": x}"#,
                "Unexpected character ('x' (code 120)): expected a valid value (number, String, array, object, 'true', 'false' or 'null') at [line:1, column:10]",
            ),
            (
                "{x}",
                "Unexpected character ('x' (code 120)): was expecting double-quote to start field name at [line:1, column:2]",
            ),
            (
                "{\"a\": 1,\n \"b\" 2}",
                "Unexpected character ('2' (code 50)): was expecting a colon to separate field name and value at [line:2, column:6]",
            ),
            (
                r#"{"a": 1 "b": 2}"#,
                "Unexpected character ('\"' (code 34)): was expecting comma to separate OBJECT entries at [line:1, column:9]",
            ),
            (
                "[1 2]",
                "Unexpected character ('2' (code 50)): was expecting comma to separate ARRAY entries at [line:1, column:4]",
            ),
            (r#"{"a":"#, "Unexpected end-of-input in the middle of the JSON document at [line:1, column:5]"),
        ] {
            assert_eq!(json(body.as_bytes()), Err(message.to_owned()), "{body}");
        }
        assert_eq!(json(b""), Ok(Json::Null));
    }

    #[test]
    fn a_body_that_inflates_beyond_the_limit_is_refused() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![b' '; 1024 * 1024];
        for _ in 0..51 {
            packed.write_all(&zeros).unwrap();
        }
        let packed = Bytes::from(packed.finish().unwrap());
        assert_eq!(inflated(&packed, BODY_LIMIT).unwrap_err().status, 413);
        assert_eq!(inflated(&Bytes::from_static(b"no gzip"), BODY_LIMIT).unwrap_err().status, 400);
    }
}
