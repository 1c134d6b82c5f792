//! The parts of a large message, put together again as they come. There is one such message at a time.

use crate::{error::Malformed, limits::MESSAGE_BYTES};
use std::mem::take;

/// A large message of which the end is still to come.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// Bytes of the whole message.
    length: usize,
}

impl Assembly {
    /// Adds a part, after which so many bytes are left to come; returns the message when these are none.
    pub(crate) fn add(&mut self, left: u32, part: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let length = self.bytes.len() + part.len() + left as usize;
        if self.bytes.is_empty() {
            if length > MESSAGE_BYTES {
                return Err(Malformed(format!("a message of {length} bytes; {MESSAGE_BYTES} are allowed")));
            }
            self.bytes.reserve_exact(length);
            self.length = length;
        }
        if length != self.length || part.is_empty() {
            return Err(Malformed("a part that does not continue its message".into()));
        }
        self.bytes.extend_from_slice(part);
        Ok((left == 0).then(|| take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_put_together_one_after_the_other() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(5, b"sug").unwrap(), None);
        assert_eq!(assembly.add(3, b"ar").unwrap(), None);
        assert_eq!(assembly.add(0, b"...").unwrap().as_deref(), Some(&b"sugar..."[..]));
        assert_eq!(assembly.add(0, b"salt").unwrap().as_deref(), Some(&b"salt"[..]));
    }

    #[test]
    fn a_length_beyond_the_limit_takes_no_memory() {
        let mut assembly = Assembly::default();
        assert!(assembly.add(MESSAGE_BYTES as u32, b"x").is_err());
        assert_eq!(assembly.bytes.capacity(), 0);
    }

    #[test]
    fn a_part_that_says_another_length_or_nothing_is_refused() {
        for (left, part) in [(4, &b"ar"[..]), (2, b"ar"), (5, b"")] {
            let mut assembly = Assembly::default();
            assembly.add(5, b"sug").unwrap();
            assert!(assembly.add(left, part).is_err(), "{left}");
        }
    }
}
