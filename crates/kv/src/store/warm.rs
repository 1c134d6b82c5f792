//! Brings what a batch will need into the processor's cache before any of it is needed. Look-ups go to memory three
//! or four times each; done ahead, one kind of step for all requests at a time, they wait together and not in turn.

use crate::{
    Request,
    limits::AHEAD_REQUESTS,
    memory::arena::Arena,
    memory::table::{Table, Then},
    shard::Shard,
    shard::lookup::Lookup,
};
use arrayvec::ArrayVec;

/// A look-up on its way through a table.
struct Step<'s> {
    table: &'s Table,
    hash: u64,
    line: u32,
}

/// Look-ups that are made together.
type Steps<'s> = ArrayVec<Step<'s>, AHEAD_REQUESTS>;

/// Prefetches for requests that are all of this shard, and that look their buckets up like this.
pub(crate) fn warm(shard: &Shard, requests: &[Request<'_>], lookups: &[Lookup<'_>]) {
    let names = lookups.iter().filter(|look| !look.again);
    prefetch(
        &shard.memory.arena,
        names.filter_map(|look| first(shard.registry.names(), look.name)).collect(),
    );
    let (mut fields, mut table) = (Steps::new(), None);
    for (request, look) in requests.iter().zip(lookups) {
        if !look.again {
            table = table_of(shard, *look, request);
        }
        if let (Some(table), Some((_, hash))) = (table, look.field) {
            fields.extend(first(table, hash));
        }
    }
    prefetch(&shard.memory.arena, fields);
}

/// The table in which a request will look its field up, if it has one.
pub(crate) fn table_of<'s>(shard: &'s Shard, look: Lookup<'_>, request: &Request<'_>) -> Option<&'s Table> {
    look.field?;
    let (_, bucket) = shard.registry.lookup(&shard.memory, look, request.bucket)?;
    bucket.table(&shard.memory)
}

fn first(table: &Table, hash: u64) -> Option<Step<'_>> {
    Some(Step { table, hash, line: table.first_line(hash)? })
}

/// Prefetches the lines that look-ups pass through, and then the blocks that they find.
fn prefetch(arena: &Arena, mut steps: Steps<'_>) {
    let mut blocks = ArrayVec::<_, AHEAD_REQUESTS>::new();
    while !steps.is_empty() {
        steps.iter().for_each(|step| step.table.prefetch(step.line));
        steps.retain(|step| match step.table.after(step.line, step.hash) {
            Then::Block(block) => {
                blocks.push(block);
                false
            }
            Then::Line(next) => {
                step.line = next;
                true
            }
            Then::End => false,
        });
    }
    blocks.iter().for_each(|block| arena.prefetch(*block));
}
