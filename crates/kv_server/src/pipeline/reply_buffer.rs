//! Rendered replies: their bytes, and the large values that go between them. Those are shared with the store,
//! and copied only when they are sent. As a vector it is the bytes alone.

use kv::LargeValue;
use std::ops::{Deref, DerefMut, Range};

/// Replies that are rendered but not written, except for the bytes of large values.
#[derive(Debug, Default)]
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    /// Large values, each with the number of `bytes` that go before it.
    large: Vec<(usize, LargeValue)>,
}

impl ReplyBuffer {
    /// Whether there are large values.
    #[inline]
    pub(crate) fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// Adds the bytes of a large value.
    pub(crate) fn push_large(&mut self, value: LargeValue) {
        self.large.push((self.bytes.len(), value));
    }

    /// Adds a part of other replies.
    pub(crate) fn extend_from(&mut self, other: &ReplyBuffer, range: Range<usize>) {
        for (at, value) in other.large.iter().filter(|(at, _)| range.contains(at)) {
            self.large.push((self.bytes.len() + at - range.start, value.clone()));
        }
        self.bytes.extend_from_slice(&other.bytes[range]);
    }

    /// Bytes of all replies.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.large_bytes()
    }

    /// Bytes of memory that are held, those that are shared with the store included.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.large_bytes()
    }

    fn large_bytes(&self) -> usize {
        self.large.iter().map(|(_, value)| value.len()).sum()
    }

    /// The bytes of all replies in order, with those of large values in pieces.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.large.iter().map(|(at, _)| *at));
        let ends = self.large.iter().map(|(at, _)| *at).chain([self.bytes.len()]);
        let values = self.large.iter().map(|(_, value)| Some(value)).chain([None]);
        starts.zip(ends).zip(values).flat_map(|((start, end), value)| {
            let pieces = value.into_iter().flat_map(LargeValue::slices);
            std::iter::once(&self.bytes[start..end]).chain(pieces)
        })
    }
}

impl From<Vec<u8>> for ReplyBuffer {
    fn from(bytes: Vec<u8>) -> ReplyBuffer {
        ReplyBuffer { bytes, large: Vec::new() }
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
        let mut replies = ReplyBuffer::default();
        replies.extend_from_slice(b"one");
        replies.push_large(large(b'a'));
        let first = replies.len();
        replies.extend_from_slice(b"two");
        replies.push_large(large(b'b'));
        replies.extend_from_slice(b"three");
        let (a, b) = (large(b'a').to_vec(), large(b'b').to_vec());
        let all = |replies: &ReplyBuffer| replies.slices().collect::<Vec<_>>().concat();
        assert!(all(&replies) == [b"one", &a[..], b"two", &b, b"three"].concat());
        assert_eq!(replies.size(), 11 + 600_000);
        let mut part = ReplyBuffer::default();
        part.extend_from_slice(b"+");
        part.extend_from(&replies, first..replies.len());
        assert!(all(&part)[..4] == *b"+two" || all(&part)[..2] == *b"+a");
    }
}
