//! Rendered replies: their bytes, and the large values that go between them. Those are shared with the store,
//! and copied only when they are sent. As a vector it is the bytes alone.

use super::{BoxFuture, buffers::Output};
use kv::LargeValue;
use std::{
    io,
    ops::{Deref, DerefMut, Range},
};

/// Replies that are rendered but not written, except for the bytes of large values.
#[derive(Debug, Default)]
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    large: Vec<LargePart>,
    large_bytes: usize,
    /// The number of `bytes` at which they are full; 0 once there is a large value.
    full_bytes: usize,
}

/// A large value among replies.
#[derive(Debug, Clone)]
pub(crate) struct LargePart {
    /// How many bytes go before it.
    pub(crate) at: usize,
    pub(crate) value: LargeValue,
    /// How it is written, unless its bytes are sent as they are.
    pub(crate) write: Option<WriteLarge>,
}

/// Writes a large value a piece at a time.
pub(crate) type WriteLarge = for<'o> fn(&'o LargeValue, &'o mut Output<'_>) -> BoxFuture<'o, io::Result<()>>;

impl ReplyBuffer {
    /// A buffer without replies that is full at `full_bytes`.
    pub(crate) fn full_at(full_bytes: usize) -> ReplyBuffer {
        ReplyBuffer { full_bytes, ..ReplyBuffer::default() }
    }

    /// Changes at how many bytes it is full.
    pub(crate) fn set_full_bytes(&mut self, full_bytes: usize) {
        self.full_bytes = full_bytes;
    }

    /// Whether the replies must be written before more are rendered.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.full_bytes
    }

    /// Whether there are large values.
    #[inline]
    pub(crate) fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// Adds a large value.
    pub(crate) fn push_large(&mut self, value: LargeValue, write: Option<WriteLarge>) {
        self.push_part(LargePart { at: self.bytes.len(), value, write });
    }

    /// Adds a part of other replies.
    pub(crate) fn extend_from(&mut self, other: &ReplyBuffer, range: Range<usize>) {
        for part in other.large.iter().filter(|part| range.contains(&part.at)) {
            self.push_part(LargePart { at: self.bytes.len() + part.at - range.start, ..part.clone() });
        }
        self.bytes.extend_from_slice(&other.bytes[range]);
    }

    fn push_part(&mut self, part: LargePart) {
        self.large_bytes += part.value.len();
        self.full_bytes = 0;
        self.large.push(part);
    }

    /// Bytes of all replies.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.large_bytes
    }

    /// Bytes of memory that are held, those that are shared with the store included.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.large_bytes
    }

    /// The large values, in order.
    pub(crate) fn large(&self) -> &[LargePart] {
        &self.large
    }
}

impl From<Vec<u8>> for ReplyBuffer {
    fn from(bytes: Vec<u8>) -> ReplyBuffer {
        ReplyBuffer { bytes, ..ReplyBuffer::default() }
    }
}

impl Deref for ReplyBuffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for ReplyBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_where_they_were_added() {
        let large = |byte: u8| LargeValue::copy_of(&vec![byte; 300_000]).expect("memory");
        let parts = |replies: &ReplyBuffer| {
            let parts = replies.large().iter().map(|part| (part.at, part.value.to_vec()[0]));
            (replies.to_vec(), parts.collect::<Vec<_>>())
        };
        let mut replies = ReplyBuffer::default();
        replies.extend_from_slice(b"one");
        replies.push_large(large(b'a'), None);
        replies.extend_from_slice(b".");
        let first = replies.len();
        replies.extend_from_slice(b"two");
        replies.push_large(large(b'b'), None);
        replies.extend_from_slice(b".");
        assert_eq!(parts(&replies), (b"one.two.".to_vec(), vec![(3, b'a'), (7, b'b')]));
        assert_eq!(replies.size(), 8 + 600_000);
        let mut part = ReplyBuffer::default();
        part.extend_from_slice(b"+");
        part.extend_from(&replies, first..replies.len());
        assert_eq!(parts(&part), (b"+two.".to_vec(), vec![(4, b'b')]));
        assert_eq!(part.size(), 5 + 300_000);
    }
}
