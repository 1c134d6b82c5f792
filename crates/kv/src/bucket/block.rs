//! The block that a bucket is: `length of its name, name, kind, body`.

use crate::entry::{Entry, read_varint, varint_size, write_varint};
use std::ops::Range;

/// What a bucket's block says.
#[derive(Debug)]
pub(super) struct Block<'m> {
    pub(super) name: &'m [u8],
    pub(super) body: Body<'m>,
}

/// Where a bucket's entries are.
#[derive(Debug)]
pub(super) enum Body<'m> {
    /// Here, one after the other.
    Compact(&'m [u8]),
    /// In the table of this number.
    Table(u32),
}

const COMPACT: u8 = 0;
const TABLE: u8 = 1;

impl<'m> Block<'m> {
    /// Reads the block at the start of `bytes`.
    pub(super) fn read(bytes: &'m [u8]) -> Block<'m> {
        let (length, at) = read_varint(bytes);
        let (name, rest) = bytes[at..].split_at(length);
        let body = match *rest {
            [TABLE, a, b, c, d, ..] => Body::Table(u32::from_le_bytes([a, b, c, d])),
            [COMPACT, a, b, ref entries @ ..] => {
                Body::Compact(&entries[..usize::from(u16::from_le_bytes([a, b]))])
            }
            _ => unreachable!("a bucket is compact or has a table"),
        };
        Block { name, body }
    }
}

/// Bytes of the block of a compact bucket.
pub(super) fn compact_size(name: &[u8], entries: usize) -> usize {
    varint_size(name.len()) + name.len() + 3 + entries
}

/// Bytes of the block of a bucket with a table.
pub(super) fn table_size(name: &[u8]) -> usize {
    varint_size(name.len()) + name.len() + 5
}

/// Writes the block of a compact bucket whose entries come in three parts.
pub(super) fn write_compact(block: &mut [u8], name: &[u8], parts: [&[u8]; 3]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut at = write_name(block, name, COMPACT);
    block[at..at + 2].copy_from_slice(&(length as u16).to_le_bytes());
    at += 2;
    for part in parts {
        block[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
}

/// Writes the block of a bucket with a table.
pub(super) fn write_table(block: &mut [u8], name: &[u8], number: u32) {
    let at = write_name(block, name, TABLE);
    block[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

fn write_name(block: &mut [u8], name: &[u8], kind: u8) -> usize {
    let at = write_varint(block, name.len());
    block[at..at + name.len()].copy_from_slice(name);
    block[at + name.len()] = kind;
    at + name.len() + 1
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
