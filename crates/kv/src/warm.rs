//! Brings what a batch will need into the processor's cache before any of it is needed. Look-ups go to memory three
//! or four times each; done ahead, one kind of step for all requests at a time, they wait together and not in turn.
//!
//! Ordinary reads do for this: a processor runs well ahead of a read whose value nothing depends on.

use crate::{Request, bucket::Bucket, limits::BATCH_REQUESTS, shard::Shard};
use arrayvec::ArrayVec;

/// Reads ahead for requests that are all of this shard, and whose buckets' names have these hashes.
pub(crate) fn warm(shard: &Shard, requests: &[Request<'_>], hashes: &[u64]) {
    let names = shard.registry.names();
    let mut distinct = ArrayVec::<u64, BATCH_REQUESTS>::new();
    for hash in hashes {
        if distinct.last() != Some(hash) {
            names.touch(*hash);
            distinct.push(*hash);
        }
    }
    for hash in &distinct {
        if let Some(handle) = names.candidate(*hash) {
            shard.memory.arena.touch(handle);
        }
    }
    let mut fields = ArrayVec::<_, BATCH_REQUESTS>::new();
    let mut last = (0, None);
    for (request, hash) in requests.iter().zip(hashes) {
        let Some(field) = request.op.field() else { continue };
        if last.0 != *hash {
            let bucket = names.candidate(*hash).map(Bucket);
            last = (*hash, bucket.and_then(|bucket| bucket.table(&shard.memory)));
        }
        if let Some(table) = last.1 {
            fields.push((table, shard.memory.hash(field)));
        }
    }
    // The shorter a loop, the more of its reads are under way at the same time.
    for (table, hash) in &fields {
        table.touch(*hash);
    }
    let candidates = fields.iter().filter_map(|(table, hash)| table.candidate(*hash));
    let entries: ArrayVec<_, BATCH_REQUESTS> = candidates.collect();
    for entry in entries {
        shard.memory.arena.touch(entry);
    }
}
