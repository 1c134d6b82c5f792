//! Reassembles a large message from its fragments. A link carries one such message at a time.

use crate::{error::ProtocolError, limits::MESSAGE_BYTES};
use std::mem::take;

/// A large message whose last fragment has not arrived.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    bytes: Vec<u8>,
    /// Bytes of the whole message.
    length: usize,
    /// Complete messages so far.
    messages: u64,
}

impl Reassembly {
    /// Adds a fragment, after which `remaining` bytes follow. Returns the message if that is 0.
    pub(crate) fn push(&mut self, remaining: u32, fragment: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        let length = self.bytes.len() + fragment.len() + remaining as usize;
        if self.bytes.is_empty() {
            if length > MESSAGE_BYTES {
                let error = format!("a message of {length} bytes; the limit is {MESSAGE_BYTES}");
                return Err(ProtocolError(error));
            }
            self.bytes.reserve_exact(length);
            self.length = length;
        }
        if length != self.length || fragment.is_empty() {
            return Err(ProtocolError("a fragment that does not continue its message".into()));
        }
        self.bytes.extend_from_slice(fragment);
        self.messages += u64::from(remaining == 0);
        Ok((remaining == 0).then(|| take(&mut self.bytes)))
    }

    /// The message that has begun to arrive, and how many of its bytes have arrived.
    pub(crate) fn arriving(&self) -> Option<(u64, usize)> {
        (!self.bytes.is_empty()).then_some((self.messages, self.bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_reassembled_one_after_the_other() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.push(5, b"sug").unwrap(), None);
        assert_eq!(reassembly.push(3, b"ar").unwrap(), None);
        assert_eq!(reassembly.push(0, b"...").unwrap().as_deref(), Some(&b"sugar..."[..]));
        assert_eq!(reassembly.push(0, b"salt").unwrap().as_deref(), Some(&b"salt"[..]));
    }

    #[test]
    fn a_length_beyond_the_limit_takes_no_memory() {
        let mut reassembly = Reassembly::default();
        assert!(reassembly.push(MESSAGE_BYTES as u32, b"x").is_err());
        assert_eq!(reassembly.bytes.capacity(), 0);
    }

    #[test]
    fn a_fragment_with_a_different_length_or_without_bytes_is_refused() {
        for (remaining, fragment) in [(4, &b"ar"[..]), (2, b"ar"), (5, b"")] {
            let mut reassembly = Reassembly::default();
            reassembly.push(5, b"sug").unwrap();
            assert!(reassembly.push(remaining, fragment).is_err(), "{remaining}");
        }
    }
}
