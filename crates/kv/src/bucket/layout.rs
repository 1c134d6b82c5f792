//! The block that a bucket is: `length of its name, name, kind, when it expires (if it does), body`.

use crate::memory::entry::{Entry, read_time, read_varint, varint_size, write_varint};
use std::ops::Range;

/// What a bucket's block says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'m> {
    pub(super) head: Head<'m>,
    pub(super) body: Body<'m>,
}

/// What every bucket has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'m> {
    pub(super) name: &'m [u8],
    /// It stays when its last entry goes.
    pub(super) kept: bool,
    /// When it expires, in milliseconds since 1970.
    pub(super) expires_at_ms: Option<u64>,
}

/// Where a bucket's contents are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'m> {
    /// A few entries, here, one after the other.
    Compact(&'m [u8]),
    /// Entries, in the table of this number.
    Table(u32),
    /// A single value, here.
    Str(&'m [u8]),
}

const COMPACT: u8 = 0;
const TABLE: u8 = 1;
const STR: u8 = 2;
const KIND: u8 = 0x0f;
const KEPT: u8 = 0x10;
const EXPIRES: u8 = 0x20;

/// The name in the block at the start of `bytes`.
#[inline]
pub(super) fn name(bytes: &[u8]) -> &[u8] {
    start(bytes).0
}

/// When the bucket of the block at the start of `bytes` expires.
pub(super) fn expires_at_ms(bytes: &[u8]) -> Option<u64> {
    let (_, kind, rest) = start(bytes);
    (kind & EXPIRES != 0).then(|| read_time(rest))
}

/// What every block starts with: the name, the kind, and what follows them.
#[inline]
fn start(bytes: &[u8]) -> (&[u8], u8, &[u8]) {
    let (length, at) = read_varint(bytes);
    let (name, rest) = bytes[at..].split_at(length);
    (name, rest[0], &rest[1..])
}

impl<'m> Block<'m> {
    /// Reads the block at the start of `bytes`.
    pub(super) fn read(bytes: &'m [u8]) -> Block<'m> {
        let (name, kind, rest) = start(bytes);
        let expires_at_ms = (kind & EXPIRES != 0).then(|| read_time(rest));
        Block { head: Head { name, kept: kind & KEPT != 0, expires_at_ms }, body: Body::read(bytes) }
    }

    /// Bytes of the block.
    pub(super) fn size(&self) -> usize {
        self.head.size() + self.body.size()
    }

    /// Writes the block at the start of `bytes`.
    pub(super) fn write(&self, bytes: &mut [u8]) {
        let at = self.head.write(bytes, self.body.kind());
        self.body.write(&mut bytes[at..]);
    }
}

impl Head<'_> {
    /// Writes the head, and of what kind the body is; returns the bytes it took.
    pub(super) fn write(&self, bytes: &mut [u8], kind: u8) -> usize {
        let mut at = write_varint(bytes, self.name.len());
        bytes[at..at + self.name.len()].copy_from_slice(self.name);
        at += self.name.len();
        bytes[at] = kind | if self.kept { KEPT } else { 0 } | self.expires_at_ms.map_or(0, |_| EXPIRES);
        at += 1;
        if let Some(expires_at_ms) = self.expires_at_ms {
            bytes[at..at + 8].copy_from_slice(&expires_at_ms.to_le_bytes());
            at += 8;
        }
        at
    }

    /// Bytes of what stands before the body.
    pub(super) fn size(&self) -> usize {
        varint_size(self.name.len()) + self.name.len() + 1 + self.expires_at_ms.map_or(0, |_| 8)
    }
}

impl<'m> Body<'m> {
    /// Reads the body of the block at the start of `bytes`.
    #[inline(always)]
    pub(super) fn read(bytes: &'m [u8]) -> Body<'m> {
        let (_, kind, rest) = start(bytes);
        let rest = if kind & EXPIRES == 0 { rest } else { &rest[8..] };
        match kind & KIND {
            COMPACT => {
                let length = u16::from_le_bytes([rest[0], rest[1]]);
                Body::Compact(&rest[2..2 + usize::from(length)])
            }
            STR => {
                let (length, at) = read_varint(rest);
                Body::Str(&rest[at..at + length])
            }
            _ => Body::Table(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]])),
        }
    }

    /// Writes the body at the start of `bytes`.
    #[inline(always)]
    pub(super) fn write(&self, bytes: &mut [u8]) {
        match self {
            Body::Compact(entries) => {
                bytes[..2].copy_from_slice(&(entries.len() as u16).to_le_bytes());
                bytes[2..2 + entries.len()].copy_from_slice(entries);
            }
            Body::Table(number) => bytes[..4].copy_from_slice(&number.to_le_bytes()),
            Body::Str(value) => {
                let at = write_varint(bytes, value.len());
                bytes[at..at + value.len()].copy_from_slice(value);
            }
        }
    }

    /// What the head says of it.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Body::Compact(_) => COMPACT,
            Body::Table(_) => TABLE,
            Body::Str(_) => STR,
        }
    }

    /// Bytes of the body.
    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        match self {
            Body::Compact(entries) => 2 + entries.len(),
            Body::Table(_) => 4,
            Body::Str(value) => varint_size(value.len()) + value.len(),
        }
    }
}

/// The entries of a compact bucket and where each stands.
pub(super) fn walk(entries: &[u8]) -> impl Iterator<Item = (Range<usize>, Entry<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = entries.get(at..).filter(|rest| !rest.is_empty())?;
        let entry = Entry::read(rest);
        let start = at;
        at += entry.size();
        Some((start..at, entry))
    })
}
