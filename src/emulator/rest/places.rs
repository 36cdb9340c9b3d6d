//! Where in a request's text a value stands, for errors that name the line and the column.

/// Line and column, from 1 up, of the value that a path of keys and indexes leads to.
pub(super) fn of(text: &[u8], path: &[String]) -> Option<(usize, usize)> {
    let mut reader = Reader { text, at: 0 };
    for step in path {
        reader.descend(step)?;
    }
    reader.blanks();
    let before = text.get(..reader.at)?;
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    Some((line, reader.at - start + 1))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Goes to the value under a key, or at an index.
    fn descend(&mut self, step: &str) -> Option<()> {
        self.blanks();
        let object = self.peek()? == b'{';
        self.at += 1;
        for place in 0_usize.. {
            self.blanks();
            let found = if object {
                let key = self.string()?;
                self.take(b':')?;
                key == step
            } else {
                step.parse() == Ok(place)
            };
            if found {
                return Some(());
            }
            self.skip()?;
            self.take(b',')?;
        }
        None
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_slice(self.text.get(start..self.at)?).ok()
    }

    /// Passes over a value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    let rest = self.text.get(self.at..)?;
                    let end =
                        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b'}' | b']' | b':' | b'"');
                    self.at += rest.iter().position(end).unwrap_or(rest.len()).max(1);
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_value_is_found_by_keys_and_indexes() {
        let text = b"{\"a\": {\"x\\\"y\": [1, true]},\n \"records\": [ {\"Name\" : \"A, ]}\", \"n\":-1.5e3},\n  {\"Name\": 7} ] }";
        let find = |path: &str| {
            let path: Vec<String> = path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
            of(text, &path)
        };
        assert_eq!(find("records.1.Name"), Some((3, 12)));
        assert_eq!(find("records.0.n"), Some((2, 38)));
        assert_eq!(find("a.x\"y.1"), Some((1, 20)));
        assert_eq!(find(""), Some((1, 1)));
        assert_eq!(find("records.2.Name"), None);
        assert_eq!(find("b"), None);
        assert_eq!(of(b"", &["a".into()]), None);
        assert_eq!(of(b"{\"a", &["a".into()]), None);
        assert_eq!(of(b"[1,", &["4".into()]), None);
    }
}
