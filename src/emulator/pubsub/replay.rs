//! Replay ids as they travel: 8 bytes, big-endian, and two zeros (streaming-pubsub.md section 5).

use bytes::Bytes;

/// Behind the number in every id that the server makes.
const TAIL: [u8; 2] = [0, 0];

/// The id as the server sends it: 10 bytes.
pub fn encode(id: i64) -> Bytes {
    let [a, b, c, d, e, f, g, h] = id.to_be_bytes();
    Bytes::copy_from_slice(&[a, b, c, d, e, f, g, h, TAIL[0], TAIL[1]])
}

/// The number of an id that a client sends; `None` for what no server made. Clients that know the first 8 bytes only
/// are understood as well.
pub fn decode(id: &[u8]) -> Option<i64> {
    let (number, tail) = id.split_first_chunk()?;
    (tail.is_empty() || tail == TAIL).then(|| i64::from_be_bytes(*number)).filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_ten_bytes_and_is_understood_with_eight() {
        let id = encode(0x12_d687);
        assert_eq!(&*id, [0, 0, 0, 0, 0, 0x12, 0xd6, 0x87, 0, 0]);
        assert_eq!(decode(&id), Some(0x12_d687));
        assert_eq!(decode(&id[..8]), Some(0x12_d687));
    }

    #[test]
    fn what_no_server_made_is_no_id() {
        for bytes in [&b""[..], b"1234567", b"12345678\0", b"12345678\0\x01", b"\xff2345678", b"12345678\0\0\0"] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
