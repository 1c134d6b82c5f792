//! The byte layout of an entry: the lengths of its key and value as base-128 varints, the expiry (if there
//! is one) in milliseconds since 1970, the key, and the value. The lowest bit of the first varint is set if
//! there is an expiry. A large value is elsewhere: a mark stands for its length, and the block says where it
//! is. The block of a string holds its value in the same way.

use crate::limits::{CHUNK_BYTES, LARGE_VALUE_BYTES, NAME_BYTES};

/// A key and its value, borrowed from a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The key.
    pub(crate) key: &'a [u8],
    /// The value.
    pub(crate) value: Value<'a>,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
}

impl<'a> Entry<'a> {
    /// Size in bytes.
    pub(crate) fn size(&self) -> usize {
        let lengths = varint_size(self.key.len() << 1) + varint_size(self.value.mark());
        lengths + self.expires_at_ms.map_or(0, |_| 8) + self.key.len() + self.value.stored_len()
    }

    /// Whether it has expired by `now_ms`.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms)
    }

    /// Writes the entry at the start of `bytes`.
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let mut offset = write_varint(bytes, self.key.len() << 1 | usize::from(self.expires_at_ms.is_some()));
        offset += write_varint(&mut bytes[offset..], self.value.mark());
        if let Some(expires_at_ms) = self.expires_at_ms {
            bytes[offset..offset + 8].copy_from_slice(&expires_at_ms.to_le_bytes());
            offset += 8;
        }
        let (key, rest) = bytes[offset..].split_at_mut(self.key.len());
        key.copy_from_slice(self.key);
        self.value.write(rest);
    }

    /// Reads the entry at the start of `bytes`.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8]) -> Entry<'a> {
        let (key_head, mut offset) = read_varint(bytes);
        let (mark, more) = read_varint(&bytes[offset..]);
        offset += more;
        let mut expires_at_ms = None;
        if key_head & 1 == 1 {
            expires_at_ms = Some(read_time(&bytes[offset..]));
            offset += 8;
        }
        let (key, rest) = bytes[offset..].split_at(key_head >> 1);
        Entry { key, value: Value::read(mark, rest), expires_at_ms }
    }
}

/// A value, borrowed from a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// In the block.
    Bytes(&'a [u8]),
    /// In pieces; the arena that has the block knows them.
    Large(LargeRef),
}

/// Identifies a large value of an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LargeRef {
    pub(super) index: u32,
    pub(super) len: u32,
}

/// Stands for the length of a large value. No block has as many bytes, so reading needs no check but that of
/// where the value ends.
const LARGE_MARK: usize = (1 << 28) - 1;
const _: () = assert!(LARGE_MARK > CHUNK_BYTES + NAME_BYTES + LARGE_VALUE_BYTES);

/// Bytes of a [`LargeRef`].
const REF_BYTES: usize = 8;

impl<'a> Value<'a> {
    /// Length in bytes.
    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Value::Bytes(bytes) => bytes.len(),
            Value::Large(LargeRef { len, .. }) => len as usize,
        }
    }

    /// The bytes, if it is not large.
    #[inline]
    pub(crate) fn small(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Large(_) => None,
        }
    }

    /// Where it is, if it is large.
    #[inline]
    pub(crate) fn large(self) -> Option<LargeRef> {
        match self {
            Value::Bytes(_) => None,
            Value::Large(at) => Some(at),
        }
    }

    /// What precedes it in a block.
    #[inline]
    pub(crate) fn mark(self) -> usize {
        match self {
            Value::Bytes(bytes) => bytes.len(),
            Value::Large(_) => LARGE_MARK,
        }
    }

    /// Bytes that it takes in a block, after its mark.
    #[inline]
    pub(crate) fn stored_len(self) -> usize {
        match self {
            Value::Bytes(bytes) => bytes.len(),
            Value::Large(_) => REF_BYTES,
        }
    }

    /// Bytes that it takes outside of its block.
    pub(crate) fn outside_bytes(self) -> usize {
        if self.large().is_some() { self.len() } else { 0 }
    }

    /// Writes it at the start of `block`.
    #[inline]
    pub(crate) fn write(self, block: &mut [u8]) {
        match self {
            Value::Bytes(bytes) => block[..bytes.len()].copy_from_slice(bytes),
            Value::Large(LargeRef { index, len }) => {
                block[..4].copy_from_slice(&index.to_le_bytes());
                block[4..REF_BYTES].copy_from_slice(&len.to_le_bytes());
            }
        }
    }

    /// Reads the value at the start of `block`, whose mark is `mark`.
    #[inline(always)]
    pub(crate) fn read(mark: usize, block: &'a [u8]) -> Value<'a> {
        match block.get(..mark) {
            Some(bytes) => Value::Bytes(bytes),
            None => Value::Large(LargeRef::read(block)),
        }
    }
}

impl LargeRef {
    #[cold]
    fn read(block: &[u8]) -> LargeRef {
        let number = |at: usize| u32::from_le_bytes(*block[at..].first_chunk().expect("four bytes"));
        LargeRef { index: number(0), len: number(4) }
    }
}

/// Reads a time at the start of `bytes`.
pub(crate) fn read_time(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a time has eight bytes"))
}

/// The size of a length as a varint, in bytes.
#[inline]
pub(crate) fn varint_size(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        _ => (usize::BITS - length.leading_zeros()).div_ceil(7) as usize,
    }
}

/// Writes a length at the start of `bytes` as a varint; returns its size.
#[inline]
pub(crate) fn write_varint(bytes: &mut [u8], mut length: usize) -> usize {
    let mut offset = 0;
    while length >= 0x80 {
        bytes[offset] = length as u8 | 0x80;
        length >>= 7;
        offset += 1;
    }
    bytes[offset] = length as u8;
    offset + 1
}

/// Reads a length at the start of `bytes`; returns it and its size as a varint.
#[inline]
pub(crate) fn read_varint(bytes: &[u8]) -> (usize, usize) {
    if bytes[0] < 0x80 {
        return (usize::from(bytes[0]), 1);
    }
    let (mut length, mut offset) = (0, 0);
    loop {
        length |= usize::from(bytes[offset] & 0x7f) << (7 * offset);
        offset += 1;
        if bytes[offset - 1] < 0x80 {
            return (length, offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_reads_back(
            key: Vec<u8>,
            value in proptest::collection::vec(any::<u8>(), 0..400),
            expires_at_ms: Option<u64>,
        ) {
            let entry = Entry { key: &key, value: Value::Bytes(&value), expires_at_ms };
            let mut bytes = vec![0; entry.size() + 3];
            entry.write(&mut bytes);
            prop_assert_eq!(Entry::read(&bytes), entry);
        }

        #[test]
        fn varints_read_back(length in 0_usize..1 << 40) {
            let mut bytes = [0; 10];
            prop_assert_eq!(write_varint(&mut bytes, length), varint_size(length));
            prop_assert_eq!(read_varint(&bytes), (length, varint_size(length)));
        }
    }
}
