//! A body of the Streaming API becomes messages or is refused, whatever it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orgbridge::subscribe::cometd::message;

fuzz_target!(|body: &[u8]| {
    let _ = message::parse(body);
});
