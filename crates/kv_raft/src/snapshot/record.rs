//! A record as bytes.

use crate::{
    identity::take,
    limits::{SNAPSHOT_NAME_BYTES, SNAPSHOT_VALUE_BYTES},
};
use kv::{Database, FullName, Origin, Record, RecordValue};

/// The first byte of a record: its kind, and flags.
mod kind {
    pub(super) const MAP: u8 = 1;
    pub(super) const ENTRY: u8 = 2;
    pub(super) const STR: u8 = 3;
    pub(super) const EDITED_STR: u8 = 4;
    pub(super) const FRACTION_STR: u8 = 5;
    pub(super) const KEEP_WHEN_EMPTY: u8 = 0x10;
    pub(super) const EXPIRES: u8 = 0x20;
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRecord;

/// A record before its bytes: kind, database, expiry, and the lengths of its one or two parts.
struct Head {
    kind: u8,
    database: Database,
    expires_at_ms: Option<u64>,
    lengths: [usize; 2],
    /// Its own bytes.
    size: usize,
}

/// Passes the bytes of a record to `push`, in parts.
pub(super) fn encode(record: &Record<'_>, mut push: impl FnMut(&[u8])) {
    let nothing = RecordValue::Bytes(&[]);
    let (kind, full, expires_at_ms, first, second) = match *record {
        Record::Map { full, keep_when_empty, expires_at_ms } => {
            let keep = if keep_when_empty { kind::KEEP_WHEN_EMPTY } else { 0 };
            (kind::MAP | keep, Some(full), expires_at_ms, full.name, nothing)
        }
        Record::Entry { key, value, expires_at_ms } => (kind::ENTRY, None, expires_at_ms, key, value),
        Record::Str { full, value, origin, expires_at_ms } => {
            let kind = match origin {
                Origin::Set => kind::STR,
                Origin::Edited => kind::EDITED_STR,
                Origin::Fraction => kind::FRACTION_STR,
            };
            (kind, Some(full), expires_at_ms, full.name, value)
        }
    };
    push(&[kind | expires_at_ms.map_or(0, |_| kind::EXPIRES)]);
    if let Some(full) = full {
        push(&[full.database.index() as u8]);
    }
    if let Some(expires_at_ms) = expires_at_ms {
        push(&expires_at_ms.to_le_bytes());
    }
    push(&(first.len() as u32).to_le_bytes());
    if kind & !kind::KEEP_WHEN_EMPTY != kind::MAP {
        push(&(second.len() as u32).to_le_bytes());
    }
    push(first);
    match second {
        RecordValue::Bytes(bytes) => push(bytes),
        RecordValue::Large(large) => large.slices().for_each(push),
    }
}

/// The size of the record at the start of `bytes`; `None` if they are not all of it.
pub(super) fn size(bytes: &[u8]) -> Result<Option<usize>, NoRecord> {
    let head = read_head(bytes)?;
    let size = head.map(|head| head.size + head.lengths.iter().sum::<usize>());
    Ok(size.filter(|size| *size <= bytes.len()))
}

/// Decodes a record, which `bytes` are.
pub(super) fn decode(bytes: &[u8]) -> Result<Record<'_>, NoRecord> {
    let Head { kind, database, expires_at_ms, lengths, size } = read_head(bytes)?.ok_or(NoRecord)?;
    let (first, second) = bytes.get(size..).ok_or(NoRecord)?.split_at_checked(lengths[0]).ok_or(NoRecord)?;
    let full = FullName { database, name: first };
    let value = RecordValue::Bytes(second);
    let string = |origin| Record::Str { full, value, origin, expires_at_ms };
    Ok(match kind & !kind::KEEP_WHEN_EMPTY {
        kind::MAP => Record::Map { full, keep_when_empty: kind & kind::KEEP_WHEN_EMPTY != 0, expires_at_ms },
        kind::ENTRY => Record::Entry { key: first, value, expires_at_ms },
        kind::STR => string(Origin::Set),
        kind::EDITED_STR => string(Origin::Edited),
        kind::FRACTION_STR => string(Origin::Fraction),
        _ => return Err(NoRecord),
    })
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>, NoRecord> {
    let mut rest = bytes;
    let Some(kind) = take(&mut rest).map(|[kind]: [u8; 1]| kind) else { return Ok(None) };
    let expires = kind & kind::EXPIRES != 0;
    let kind = kind & !kind::EXPIRES;
    let is_map = kind & !kind::KEEP_WHEN_EMPTY == kind::MAP;
    if !is_map && !(kind::ENTRY..=kind::FRACTION_STR).contains(&kind) {
        return Err(NoRecord);
    }
    let has_database = kind != kind::ENTRY;
    let needed = usize::from(has_database) + if expires { 8 } else { 0 } + if is_map { 4 } else { 8 };
    if rest.len() < needed {
        return Ok(None);
    }
    let mut database = Database::ZERO;
    if has_database {
        let [index] = take(&mut rest).ok_or(NoRecord)?;
        database = Database::new(index.into()).ok_or(NoRecord)?;
    }
    let expires_at_ms = if expires { take(&mut rest).map(u64::from_le_bytes) } else { None };
    let mut length = |limit: usize| {
        let length = u32::from_le_bytes(take(&mut rest).ok_or(NoRecord)?) as usize;
        if length <= limit { Ok(length) } else { Err(NoRecord) }
    };
    let first = length(SNAPSHOT_NAME_BYTES)?;
    let second = if is_map { 0 } else { length(SNAPSHOT_VALUE_BYTES)? };
    Ok(Some(Head { kind, database, expires_at_ms, lengths: [first, second], size: 1 + needed }))
}
