//! A difference, ended by a zero, and an old text: they become a new text or are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orgbridge::event::TextDiff;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (diff, old) = text.split_once('\0').unwrap_or((text, "a\r\nb\nc"));
    let _ = TextDiff::new(diff).apply(old);
});
