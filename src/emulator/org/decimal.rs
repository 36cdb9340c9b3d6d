//! Numbers by their exact decimal value, whatever their notation: `1.50`, `15e-1`.

use std::cmp::Ordering;

/// `0.digits × 10^exponent`, without zeros at either end; zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Digits with an optional sign, point and exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_start_matches('0');
        let exponent = i64::from(exponent) + i64::try_from(whole.len()).ok()?
            - i64::try_from(all.len() - significant.len()).ok()?;
        let digits = significant.trim_end_matches('0').to_owned();
        let zero = digits.is_empty();
        Some(Self { negative: negative && !zero, digits, exponent: if zero { 0 } else { exponent } })
    }

    fn to_f64(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// As a whole number of units of `10^-scale`.
    fn scaled(&self, scale: i64) -> Option<i128> {
        let zeros = self.exponent + scale - i64::try_from(self.digits.len()).ok()?;
        if self.digits.is_empty() {
            return Some(0);
        }
        let factor = 10_i128.checked_pow(u32::try_from(zeros).ok()?)?;
        let value = self.digits.parse::<i128>().ok()?.checked_mul(factor)?;
        Some(if self.negative { -value } else { value })
    }

    /// Exact while it fits 38 digits; beyond, as near as a float is.
    pub fn sum(numbers: &[Self]) -> serde_json::Number {
        let scales = numbers.iter().map(|n| i64::try_from(n.digits.len()).unwrap_or(i64::MAX) - n.exponent);
        let scale = scales.max().unwrap_or(0).max(0);
        let exact = numbers.iter().try_fold(0_i128, |sum, n| sum.checked_add(n.scaled(scale)?));
        match exact.and_then(|sum| written(sum, usize::try_from(scale).ok()?).parse().ok()) {
            Some(number) => number,
            None => float(numbers.iter().map(Self::to_f64).sum()),
        }
    }

    pub fn average(numbers: &[Self]) -> serde_json::Number {
        let sum = Self::sum(numbers).to_string().parse::<f64>().unwrap_or(f64::NAN);
        #[expect(clippy::cast_precision_loss, reason = "no org has so many rows")]
        let count = numbers.len() as f64;
        float(sum / count)
    }
}

fn float(value: f64) -> serde_json::Number {
    serde_json::Number::from_f64(value).unwrap_or_else(|| 0.into())
}

fn written(units: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if units < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| match (a.digits.is_empty(), b.digits.is_empty()) {
            (false, false) => (a.exponent, &a.digits).cmp(&(b.exponent, &b.digits)),
            (a, b) => b.cmp(&a),
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Decimal;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn notation_does_not_matter() {
        for (a, b) in
            [("1.50", "15e-1"), ("0", "-0.00"), ("100", "1E2"), ("+7", "007"), ("0.001", "1e-3"), (".5", "0.5")]
        {
            assert_eq!(of(a), of(b), "{a} {b}");
        }
        assert!(of("9007199254740993") > of("9007199254740992"), "beyond what a float tells apart");
        for text in ["", "-", "e5", "1e", "1.2.3", "abc", "1e99999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let sum = |texts: &[&str]| Decimal::sum(&texts.iter().map(|text| of(text)).collect::<Vec<_>>()).to_string();
        assert_eq!(sum(&["0.1", "0.2"]), "0.3");
        assert_eq!(sum(&["-5", "4.75", "0.25"]), "0");
        assert_eq!(sum(&["1e3", "-0.05"]), "999.95");
        assert_eq!(sum(&["1e300", "1"]).parse::<f64>().unwrap(), 1e300);
        assert_eq!(Decimal::average(&[of("1"), of("2")]).to_string(), "1.5");
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_numbers(a in -100_000_i64..100_000, b in -100_000_i64..100_000, place in 0_usize..8) {
            let text = |n: i64| super::written(n.into(), place);
            prop_assert_eq!(of(&text(a)).cmp(&of(&text(b))), a.cmp(&b));
        }
    }
}
