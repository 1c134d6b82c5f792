//! Brings what a batch will need into the processor's cache before any of it is needed. Look-ups go to memory three
//! or four times each; done ahead, one kind of step for all requests at a time, they wait together and not in turn.
//!
//! Ordinary reads do for this: a processor runs well ahead of a read whose value nothing depends on.

use crate::{
    Request, arena::Handle, bucket::Bucket, limits::BATCH_REQUESTS, registry::Look, shard::Shard,
    table::Table,
};
use arrayvec::ArrayVec;

/// Blocks that the requests of a batch will need.
type Blocks = ArrayVec<Handle, BATCH_REQUESTS>;

/// Reads ahead for requests that are all of this shard, and that look their buckets up like this.
pub(crate) fn warm(shard: &Shard, requests: &[Request<'_>], looks: &[Look]) {
    let (names, arena) = (shard.registry.names(), &shard.memory.arena);
    // The shorter a loop, the more of its reads are under way at the same time.
    let distinct = || looks.iter().filter(|look| !look.again);
    distinct().for_each(|look| names.touch(look.hash));
    let buckets: Blocks = distinct().filter_map(|look| names.candidate(look.hash)).collect();
    buckets.iter().for_each(|bucket| arena.touch(*bucket));
    let fields = fields(shard, requests, looks);
    fields.iter().for_each(|(table, hash)| table.touch(*hash));
    let entries: Blocks = fields.iter().filter_map(|(table, hash)| table.candidate(*hash)).collect();
    entries.iter().for_each(|entry| arena.touch(*entry));
}

/// The fields that the requests are about and that stand in a table: which one, and the field's hash.
fn fields<'s>(
    shard: &'s Shard,
    requests: &[Request<'_>],
    looks: &[Look],
) -> ArrayVec<(&'s Table, u64), BATCH_REQUESTS> {
    let (mut fields, mut table) = (ArrayVec::new(), None);
    for (request, look) in requests.iter().zip(looks) {
        if !look.again {
            let bucket = shard.registry.names().candidate(look.hash).map(Bucket);
            table = bucket.and_then(|bucket| bucket.table(&shard.memory));
        }
        if let (Some(table), Some(field)) = (table, request.op.field()) {
            fields.push((table, shard.memory.hash(field)));
        }
    }
    fields
}
