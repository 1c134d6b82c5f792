//! Prefetching: loads the memory that requests will look up into the processor's cache before it is needed. A
//! lookup waits for memory three or four times; when several are prefetched, their waits overlap.
//!
//! [`prefetch_batch`] prefetches for a batch in one shard, and [`Store::prefetch_across_shards`] for one in
//! several: one kind of access at a time, for all its requests. [`Prefetch`] prefetches for a single request:
//! one access at a time, while its caller serves other connections in between. The callers choose the
//! requests: `batch`, and for a single one kv_server's `pipeline/batch.rs`.

use super::Store;
use crate::{
    limits::PREFETCH_REQUESTS,
    memory::{
        arena::{Arena, Handle},
        table::{Probe, Table},
    },
    request::Request,
    shard::{Shard, registry::Lookup},
};
use arrayvec::ArrayVec;
use std::hash::BuildHasher;

/// A lookup in a table, and the line that it reads next.
struct TableLookup<'s> {
    table: &'s Table,
    hash: u64,
    line: u32,
}

/// Lookups that are made together.
type TableLookups<'s> = ArrayVec<TableLookup<'s>, PREFETCH_REQUESTS>;

impl<'s> TableLookup<'s> {
    fn new(table: &'s Table, hash: u64) -> Option<TableLookup<'s>> {
        Some(TableLookup { table, hash, line: table.home_line(hash)? })
    }
}

/// Prefetches for requests that are about to be executed in this shard.
pub(super) fn prefetch_batch(shard: &Shard, requests: &[Request<'_>], lookups: &[Lookup<'_>]) {
    let (arena, names) = (&shard.memory.arena, shard.registry.name_table());
    let distinct = lookups.iter().filter(|lookup| !lookup.same_as_previous);
    prefetch_lookups(
        arena,
        distinct.filter_map(|lookup| TableLookup::new(names, lookup.name_hash)).collect(),
    );
    let (mut fields, mut table) = (TableLookups::new(), None);
    for (request, lookup) in requests.iter().zip(lookups) {
        if !lookup.same_as_previous {
            table = field_table(shard, *lookup, request);
        }
        if let (Some(table), Some((_, hash))) = (table, lookup.field) {
            fields.extend(TableLookup::new(table, hash));
        }
    }
    prefetch_lookups(arena, fields);
}

/// Prefetches the lines that the lookups read, and then the blocks that they find.
fn prefetch_lookups(arena: &Arena, mut lookups: TableLookups<'_>) {
    let mut blocks = ArrayVec::<_, PREFETCH_REQUESTS>::new();
    while !lookups.is_empty() {
        lookups.iter().for_each(|lookup| lookup.table.prefetch(lookup.line));
        lookups.retain(|lookup| match lookup.table.probe_line(lookup.line, lookup.hash) {
            Probe::Candidate(block) => {
                blocks.push(block);
                false
            }
            Probe::Chained(next) => {
                lookup.line = next;
                true
            }
            Probe::Absent => false,
        });
    }
    blocks.iter().for_each(|block| arena.prefetch(*block));
}

/// The table in which a request will look up its field, if there is one.
fn field_table<'s>(shard: &'s Shard, lookup: Lookup<'_>, request: &Request<'_>) -> Option<&'s Table> {
    lookup.field?;
    let (_, bucket) = shard.registry.lookup(&shard.memory, lookup, request.bucket)?;
    bucket.map(&shard.memory).ok()?.table()
}

/// The progress of the prefetch for one request.
#[derive(Debug)]
pub struct Prefetch<'r> {
    lookup: Lookup<'r>,
    next: Option<Access>,
}

/// The next access to memory of a request.
#[derive(Debug, Clone, Copy)]
enum Access {
    NameLine,
    Bucket,
    FieldLine,
    Entry,
}

impl Store {
    /// A prefetch for one request.
    pub fn prefetch<'r>(&self, request: &Request<'r>) -> Prefetch<'r> {
        let name_hash = self.hasher.hash_one(request.bucket);
        Prefetch {
            lookup: Lookup { name_hash, same_as_previous: false, field: self.hash_field(request) },
            next: (!request.spans_buckets()).then_some(Access::NameLine),
        }
    }

    /// Prefetches for the first requests, which are in several shards; one is locked for each access, so
    /// that no thread waits for long. Returns for how many.
    #[inline(never)]
    pub(super) fn prefetch_across_shards(&self, requests: &[Request<'_>]) -> usize {
        let requests = &requests[..requests.len().min(PREFETCH_REQUESTS)];
        let mut prefetches: ArrayVec<_, PREFETCH_REQUESTS> =
            requests.iter().map(|request| self.prefetch(request)).collect();
        let mut is_done = false;
        while !is_done {
            is_done = true;
            for (request, prefetch) in requests.iter().zip(&mut prefetches) {
                is_done &= !self.prefetch_step(request, prefetch);
            }
        }
        requests.len()
    }

    /// Prefetches what the request accesses next; `false` when there is nothing left. An access to memory
    /// takes about as long as a read from a socket, so do one of those between two steps.
    pub fn prefetch_step(&self, request: &Request<'_>, prefetch: &mut Prefetch<'_>) -> bool {
        prefetch.next.is_some() && {
            let shard = self.lock(self.shard_index(request.database, prefetch.lookup.name_hash));
            prefetch.step(&shard, request).is_some()
        }
    }
}

impl Prefetch<'_> {
    fn step(&mut self, shard: &Shard, request: &Request<'_>) -> Option<()> {
        let (names, name_hash) = (shard.registry.name_table(), self.lookup.name_hash);
        match self.next.take()? {
            Access::NameLine if !shard.registry.is_cached(name_hash) => {
                names.prefetch(names.home_line(name_hash)?);
                self.next = Some(Access::Bucket);
            }
            Access::Bucket => {
                shard.memory.arena.prefetch(candidate(names, name_hash)?);
                self.next = self.lookup.field.map(|_| Access::FieldLine);
            }
            // A cached name needs no line.
            Access::NameLine | Access::FieldLine => {
                let (fields, hash) = self.fields(shard, request)?;
                fields.prefetch(fields.home_line(hash)?);
                self.next = Some(Access::Entry);
            }
            Access::Entry => {
                let (fields, hash) = self.fields(shard, request)?;
                shard.memory.arena.prefetch(candidate(fields, hash)?);
            }
        }
        Some(())
    }

    /// The table in which the field will be looked up, and the field's hash.
    fn fields<'s>(&self, shard: &'s Shard, request: &Request<'_>) -> Option<(&'s Table, u64)> {
        let (_, hash) = self.lookup.field?;
        Some((field_table(shard, self.lookup, request)?, hash))
    }
}

/// The block that the first line of a lookup leads to.
fn candidate(table: &Table, hash: u64) -> Option<Handle> {
    match table.probe_line(table.home_line(hash)?, hash) {
        Probe::Candidate(block) => Some(block),
        Probe::Chained(_) | Probe::Absent => None,
    }
}
