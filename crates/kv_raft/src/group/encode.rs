//! Encodes groups.

use super::{
    GroupBytes, Malformed, Split, Step,
    codes::{SPLIT_VERSION, VERSION, op, step},
    decode,
};
use crate::limits::COPY_BYTES;
use kv::{Database, EntryTerms, FullName, Kind, LoadMode, Op, Projection, Request};
use std::num::NonZeroU64;
use tokio::task::yield_now;

/// Bytes of the beginning of a group: its version and its terms.
pub(super) const TERMS_BYTES: usize = 1 + 3 * 8;

/// Appends the beginning of a group, whose terms are known when it is proposed.
pub(crate) fn begin(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + TERMS_BYTES, VERSION);
}

/// Sets the terms of a group.
pub(crate) fn set_terms(group: &mut [u8], terms: EntryTerms) {
    let numbers = [terms.stamp_ms, terms.limits.entries as u64, terms.limits.bytes as u64];
    for (place, number) in group[1..TERMS_BYTES].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Appends a batch of the first requests, up to `end` bytes of the group, but at least one. Returns how many.
pub(crate) fn encode_batch(requests: &[Request<'_>], end: usize, bytes: &mut Vec<u8>) -> usize {
    begin_batch(bytes);
    encode_requests(requests, end, bytes)
}

/// Begins a batch, which [`copy_requests`] completes.
pub(crate) fn begin_batch(bytes: &mut Vec<u8>) {
    bytes.push(step::BATCH);
}

/// Appends a transaction.
pub(crate) fn encode_transaction(
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    bytes: &mut Vec<u8>,
) {
    begin_transaction(watched, bytes);
    encode_requests(requests, usize::MAX, bytes);
}

/// Begins a transaction, which [`copy_requests`] completes.
pub(crate) fn begin_transaction(watched: &[(FullName<'_>, u64)], bytes: &mut Vec<u8>) {
    bytes.push(step::TRANSACTION);
    encode_count(watched.len(), bytes);
    for (full, version) in watched {
        bytes.push(full.database.index() as u8);
        encode_bytes(full.name, bytes);
        encode_number(*version, bytes);
    }
}

/// Appends all requests of a step, a piece at a time. Other tasks run between two pieces.
pub(crate) async fn copy_requests(requests: &[Request<'_>], bytes: &mut Vec<u8>) {
    encode_count(requests.len(), bytes);
    let mut end = bytes.len() + COPY_BYTES;
    for request in requests {
        let mut rest = encode_head(request, bytes);
        loop {
            if bytes.len() >= end {
                yield_now().await;
                end = bytes.len() + COPY_BYTES;
            }
            let (piece, left) = rest.split_at(rest.len().min(end - bytes.len()));
            bytes.extend_from_slice(piece);
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
    }
}

/// Appends a flush.
pub(crate) fn encode_flush(database: Option<Database>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&[step::FLUSH, database.map_or(u8::MAX, |database| database.index() as u8)]);
}

/// Appends the end of the watches that came over a link; `None`: of all.
pub(crate) fn encode_end_watches(link: Option<u64>, bytes: &mut Vec<u8>) {
    bytes.push(step::END_WATCHES);
    encode_number(link.unwrap_or(u64::MAX), bytes);
}

/// Appends a split to a group.
pub(crate) fn encode_split(split: &Split<'_>, group: &mut Vec<u8>) {
    group[0] = SPLIT_VERSION;
    group.push(step::SPLIT);
    encode_bytes(split.at, group);
    encode_number(split.range, group);
    encode_count(split.replicas.len(), group);
    for (from, to) in &split.replicas {
        encode_number(*from, group);
        encode_number(*to, group);
    }
}

/// The group as it goes into the log: without the requests that only read. Its steps are the same.
pub(crate) fn without_reads(group: &[u8]) -> Result<GroupBytes, Malformed> {
    let (_, steps) = decode(group)?;
    let mut bytes = group[..TERMS_BYTES].to_vec();
    let logged = |requests: Vec<_>| -> Vec<_> {
        requests.into_iter().filter(|request: &Request<'_>| is_logged(&request.op)).collect()
    };
    for step in steps {
        match step? {
            Step::Batch(requests) => {
                encode_batch(&logged(requests), usize::MAX, &mut bytes);
            }
            Step::Transaction { watched, requests } => {
                encode_transaction(&watched, &logged(requests), &mut bytes);
            }
            Step::Flush(database) => encode_flush(database, &mut bytes),
            Step::EndWatches(link) => encode_end_watches(link, &mut bytes),
            Step::Split(split) => encode_split(&split, &mut bytes),
        }
    }
    Ok(GroupBytes(bytes))
}

/// Whether a range executes the operation at once: it changes nothing, and is not for the log.
#[inline]
pub fn is_immediate(op: &Op<'_>) -> bool {
    op.is_read() && !matches!(op, Op::Watch { .. })
}

/// Whether a request with this operation goes into the log. [`Op::Crash`] does not: it would crash again
/// whenever the log is executed.
pub(crate) fn is_logged(op: &Op<'_>) -> bool {
    !is_immediate(op) && *op != Op::Crash
}

fn encode_requests(requests: &[Request<'_>], end: usize, bytes: &mut Vec<u8>) -> usize {
    let (start, mut encoded) = (bytes.len(), 0);
    encode_count(0, bytes);
    for request in requests {
        if encoded > 0 && bytes.len() >= end {
            break;
        }
        encode_request(request, bytes);
        encoded += 1;
    }
    bytes[start..start + 4].copy_from_slice(&(encoded as u32).to_le_bytes());
    encoded
}

fn encode_request(request: &Request<'_>, bytes: &mut Vec<u8>) {
    let rest = encode_head(request, bytes);
    bytes.extend_from_slice(rest);
}

/// Appends a request up to the only part of it that may be large, which follows, and is returned.
fn encode_head<'a>(request: &Request<'a>, bytes: &mut Vec<u8>) -> &'a [u8] {
    bytes.extend_from_slice(&[request.database.index() as u8, op_code(&request.op)]);
    encode_bytes(request.bucket, bytes);
    match request.op {
        Op::Put { key, value } => {
            encode_bytes(key, bytes);
            return announce(value, bytes);
        }
        Op::Delete { key } | Op::Get { key } => encode_bytes(key, bytes),
        Op::Command { command, args } => {
            encode_bytes(command.spec.name.as_bytes(), bytes);
            return announce(args.bulks(), bytes);
        }
        Op::Watch { watcher } | Op::Unwatch { watcher } => {
            encode_number(watcher.link, bytes);
            encode_number(watcher.connection, bytes);
        }
        Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents } => {
            bytes.extend_from_slice(&[mode_code(mode), kind_code(kind), u8::from(keep_when_empty)]);
            encode_number(expires_at_ms.map_or(0, NonZeroU64::get), bytes);
            return announce(contents.bulks(), bytes);
        }
        Op::Keys { cursor } | Op::MemoryUsage { cursor } => encode_number(cursor, bytes),
        Op::Entries { projection, cursor } => {
            bytes.push(projection_code(projection));
            encode_number(cursor, bytes);
        }
        Op::RandomEntries { projection, cursor, count } => {
            bytes.push(projection_code(projection));
            encode_number(cursor, bytes);
            encode_number(u64::from(count), bytes);
        }
        Op::Create | Op::Drop | Op::Show | Op::Crash => {}
    }
    &[]
}

fn op_code(op: &Op<'_>) -> u8 {
    match op {
        Op::Create => op::CREATE,
        Op::Put { .. } => op::PUT,
        Op::Delete { .. } => op::DELETE,
        Op::Drop => op::DROP,
        Op::Command { .. } => op::COMMAND,
        Op::Watch { .. } => op::WATCH,
        Op::Unwatch { .. } => op::UNWATCH,
        Op::Load { .. } => op::LOAD,
        Op::Get { .. } => op::GET,
        Op::Show => op::SHOW,
        Op::Keys { .. } => op::KEYS,
        Op::Entries { .. } => op::ENTRIES,
        Op::RandomEntries { .. } => op::RANDOM_ENTRIES,
        Op::MemoryUsage { .. } => op::MEMORY_USAGE,
        Op::Crash => op::CRASH,
    }
}

fn projection_code(projection: Projection) -> u8 {
    match projection {
        Projection::Keys => 0,
        Projection::Values => 1,
        Projection::Both => 2,
    }
}

fn mode_code(mode: LoadMode) -> u8 {
    match mode {
        LoadMode::New => 0,
        LoadMode::Replace => 1,
        LoadMode::Append => 2,
    }
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Map => 0,
        Kind::Str => 1,
    }
}

fn encode_count(count: usize, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn encode_bytes(added: &[u8], bytes: &mut Vec<u8>) {
    announce(added, bytes);
    bytes.extend_from_slice(added);
}

/// Appends the length of what follows, which is returned.
fn announce<'a>(following: &'a [u8], bytes: &mut Vec<u8>) -> &'a [u8] {
    encode_count(following.len(), bytes);
    following
}

fn encode_number(number: u64, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&number.to_le_bytes());
}
