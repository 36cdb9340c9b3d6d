//! Words that were almost written right, and numbers as people read them.

/// What somebody who wrote `word` may have meant.
pub(crate) fn closest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let near = |candidate: &&str| distance(&word.to_lowercase(), &candidate.to_lowercase());
    let best = candidates.min_by_key(near)?;
    let allowed = (best.chars().count() / 3).max(1);
    (near(&best) <= allowed).then_some(best)
}

/// How many letters to insert, remove, replace, or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(100).collect(), b.chars().take(100).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    // Every index is below the length of its row: rows have one cell more than `b` has letters.
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

/// `98,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// An amount of data as people say it: `1.2 GB`.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", grouped(tenths / 10), tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// A length of time as people say it, rounded down.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        // Retention is spoken of in hours: three days of it are 72.
        7_200..432_000 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "record")), ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn the_digits_of_large_numbers_stand_in_groups() {
        assert_eq!([0, 999, 1_000, 98_765_432].map(grouped), ["0", "999", "1,000", "98,765,432"]);
    }

    #[test]
    fn an_amount_of_data_has_one_decimal() {
        let said = [0, 999, 1_000, 1_999_999, 2_345_000_000, 1_234_000_000_000].map(amount);
        assert_eq!(said, ["0 bytes", "999 bytes", "1.0 KB", "1.9 MB", "2.3 GB", "1,234.0 GB"]);
    }

    #[test]
    fn a_near_miss_is_recognised_and_a_far_one_is_not() {
        let keys = || ["login_url", "client_name", "key", "to"].into_iter();
        for (word, meant) in [
            ("login_uri", Some("login_url")),
            ("loginUrl", Some("login_url")),
            ("Key", Some("key")),
            ("too", Some("to")),
            ("ot", Some("to")),
            ("kye", Some("key")),
            ("when", None),
            ("", None),
            ("secret", None),
        ] {
            assert_eq!(closest(word, keys()), meant, "{word}");
        }
        assert_eq!(closest("x", std::iter::empty()), None);
    }
}
