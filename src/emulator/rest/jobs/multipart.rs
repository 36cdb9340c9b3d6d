//! `multipart/form-data`, as far as jobs need it.

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Of its `Content-Disposition`.
    pub name: Option<String>,
    pub content: &'a [u8],
}

/// What stands between the parts, if the content type says that there are any.
pub fn boundary(content_type: Option<&str>) -> Option<String> {
    let (kind, parameters) = content_type?.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// The value of `name="value"` or `name=value`, among others that are separated by semicolons.
fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The parts of a body; what is before the first boundary and behind the last is none. Lines may end with or without
/// a carriage return.
pub fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<Part<'a>> {
    let marker = format!("--{boundary}");
    let mut pieces = split(body, marker.as_bytes());
    if pieces.is_empty() {
        return Vec::new();
    }
    pieces.remove(0);
    pieces.into_iter().filter_map(part).collect()
}

/// What is between places where a line starts with a marker.
fn split<'a>(body: &'a [u8], marker: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = body.get(at..).and_then(|rest| find(rest, marker)) {
        let place = at + found;
        at = place + marker.len();
        if place == 0 || body.get(place - 1) == Some(&b'\n') {
            pieces.push(body.get(start..place).unwrap_or_default());
            start = at;
        }
    }
    pieces.push(body.get(start..).unwrap_or_default());
    pieces
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len().max(1)).position(|window| window == wanted)
}

/// From behind the boundary's mark to before the next.
fn part(piece: &[u8]) -> Option<Part<'_>> {
    if piece.starts_with(b"--") {
        return None; // the last boundary
    }
    let mut name = None;
    let mut rest = piece;
    let mut first = true;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let line = line.trim();
        rest = rest.get(end + 1..).unwrap_or_default();
        // The first line ends the boundary; an empty one behind it ends the headers.
        if !std::mem::take(&mut first) && line.is_empty() {
            break;
        }
        if let Some((header, value)) = line.split_once(':')
            && header.trim().eq_ignore_ascii_case("content-disposition")
        {
            name = parameter(value, "name");
        }
    }
    // The line break before a boundary belongs to it.
    let content = rest.strip_suffix(b"\n").unwrap_or(rest);
    Some(Part { name, content: content.strip_suffix(b"\r").unwrap_or(content) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_name_with_their_content_untouched() {
        let text = "--B\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{}\r\n--B\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name=\"content\"; filename=\"x\"\r\n\r\nA\n1--B\n\n\r\n--B--\r\n";
        let expected = [
            Part { name: Some("job".into()), content: b"{}" },
            Part { name: Some("content".into()), content: b"A\n1--B\n\n" },
        ];
        assert_eq!(parts(text.as_bytes(), "B"), expected);
        let bare = text.replace('\r', "");
        assert_eq!(parts(bare.as_bytes(), "B"), expected);
    }

    #[test]
    fn the_boundary_comes_from_the_content_type() {
        for (given, boundary) in [
            (Some("multipart/form-data; boundary=B"), Some("B")),
            (Some("multipart/form-data; charset=utf-8; boundary=\"a b\""), Some("a b")),
            (Some("multipart/form-data"), None),
            (Some("multipart/form-data; boundary="), None),
            (Some("application/json; boundary=B"), None),
            (None, None),
        ] {
            assert_eq!(super::boundary(given).as_deref(), boundary, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_multipart_has_no_parts() {
        for text in ["", "x", "--B", "--B--", "--B\r\n", "--B\r\nX: y\r\n"] {
            assert_eq!(parts(text.as_bytes(), "B"), [], "{text:?}");
        }
    }
}
