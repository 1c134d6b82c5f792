//! The value of an entry or a string as its block holds it: the bytes themselves, or where a large value is.
//! Its length, or a mark, precedes it as a varint.

use crate::limits::{CHUNK_BYTES, LARGE_VALUE_BYTES, NAME_BYTES};

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
