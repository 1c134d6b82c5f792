//! What one request will look up is asked for step by step, so that its caller can do something else while memory answers:
//! what `warm` does for the requests of one batch, this does for those of many connections.

use super::Store;
use crate::{
    Request,
    memory::arena::Handle,
    memory::table::{Table, Then},
    shard::Shard,
    shard::lookup::Lookup,
    store::warm::table_of,
};
use std::hash::BuildHasher;

/// How far the memory that one request will need has been asked for.
#[derive(Debug)]
pub struct Prefetch<'r> {
    look: Lookup<'r>,
    next: Option<Step>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Step {
    Name,
    Bucket,
    Field,
    Entry,
}

impl Store {
    /// The approach to what a request will look up.
    pub fn approach<'r>(&self, request: &Request<'r>) -> Prefetch<'r> {
        let name = self.hasher.hash_one(request.bucket);
        Prefetch {
            look: Lookup { name, again: false, field: self.field(request) },
            next: (!request.spans_buckets()).then_some(Step::Name),
        }
    }

    /// Asks for what the request needs next; `false` when nothing is left to ask for. Between two steps, memory needs about
    /// as long as it takes to read from a socket.
    pub fn advance(&self, request: &Request<'_>, approach: &mut Prefetch<'_>) -> bool {
        approach.next.is_some()
            && approach.ask(&self.lock(self.shard_of(approach.look.name)), request).is_some()
    }
}

impl Prefetch<'_> {
    fn ask(&mut self, shard: &Shard, request: &Request<'_>) -> Option<()> {
        let names = shard.registry.names();
        match self.next.take()? {
            Step::Name if !shard.registry.is_latest(self.look.name) => {
                names.prefetch(names.first_line(self.look.name)?);
                self.next = Some(Step::Bucket);
            }
            Step::Bucket => {
                shard.memory.arena.prefetch(block(names, self.look.name)?);
                self.next = Some(Step::Field);
            }
            Step::Name | Step::Field => {
                let (fields, field) = self.fields(shard, request)?;
                fields.prefetch(fields.first_line(field)?);
                self.next = Some(Step::Entry);
            }
            Step::Entry => {
                let (fields, field) = self.fields(shard, request)?;
                shard.memory.arena.prefetch(block(fields, field)?);
            }
        }
        Some(())
    }

    /// The table in which the field will be looked up, and its hash.
    fn fields<'s>(&self, shard: &'s Shard, request: &Request<'_>) -> Option<(&'s Table, u64)> {
        let (_, field) = self.look.field?;
        Some((table_of(shard, self.look, request)?, field))
    }
}

/// The block that the first line of a look-up leads to.
fn block(table: &Table, hash: u64) -> Option<Handle> {
    match table.after(table.first_line(hash)?, hash) {
        Then::Block(block) => Some(block),
        Then::Line(_) | Then::End => None,
    }
}
