//! What one request will look up is asked for step by step, so that its caller can do something else while memory answers:
//! what `warm` does for the requests of one batch, this does for those of many connections.

use super::Store;
use crate::{
    Request,
    arena::Handle,
    look::Look,
    shard::Shard,
    table::{Table, Then},
};
use std::hash::BuildHasher;

/// How far the memory that one request will need has been asked for.
#[derive(Debug)]
pub struct Approach {
    name: u64,
    field: Option<u64>,
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
    pub fn approach(&self, request: &Request<'_>) -> Approach {
        Approach {
            name: self.hasher.hash_one(request.bucket),
            field: request.op.field().map(|field| self.hasher.hash_one(field)),
            next: (!request.is_for_several()).then_some(Step::Name),
        }
    }

    /// Asks for what the request needs next; `false` when nothing is left to ask for. Between two steps, memory needs about
    /// as long as it takes to read from a socket.
    pub fn advance(&self, request: &Request<'_>, approach: &mut Approach) -> bool {
        approach.next.is_some() && approach.ask(&self.lock(self.shard_of(approach.name)), request).is_some()
    }
}

impl Approach {
    fn ask(&mut self, shard: &Shard, request: &Request<'_>) -> Option<()> {
        let names = shard.registry.names();
        match self.next.take()? {
            Step::Name if !shard.registry.is_latest(self.name) => {
                names.prefetch(names.first_line(self.name)?);
                self.next = Some(Step::Bucket);
            }
            Step::Bucket => {
                shard.memory.arena.prefetch(block(names, self.name)?);
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
        let field = self.field?;
        let (_, bucket) = shard.registry.lookup(&shard.memory, Look::new(self.name), request.bucket)?;
        Some((bucket.table(&shard.memory)?, field))
    }
}

/// The block that the first line of a look-up leads to.
fn block(table: &Table, hash: u64) -> Option<Handle> {
    match table.after(table.first_line(hash)?, hash) {
        Then::Block(block) => Some(block),
        Then::Line(_) | Then::End => None,
    }
}
