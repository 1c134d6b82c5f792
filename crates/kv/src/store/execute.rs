//! One request is executed: those of the guide's protocol here, a command by the function of its name.

use crate::{
    CommandError, CommandResult, Component, Op, Reply, Request,
    budget::Budget,
    commands::{hash, hash_scan, spec::Run},
    pubsub::bucket_changes::EndReason,
    shard::bucket_mut::BucketMut,
    shard::lookup::Lookup,
    shard::{PanicScope, Shard},
};
use serde_bytes::Bytes;
use std::cell::Cell;

/// Executes one request in its bucket's shard. `panic_scope` says at any time whose crash a panic would be.
pub(crate) fn execute<'s>(
    shard: &'s mut Shard,
    look: Lookup<'s>,
    request: &'s Request<'_>,
    now: u64,
    panic_scope: &Cell<PanicScope>,
    budget: &Budget,
) -> Reply<'s> {
    panic_scope.set(PanicScope::Component(Component::Registry));
    let target = BucketMut::new(shard, request.bucket, look, now);
    if request.op.allocates() && target.exceeds(budget) {
        return Reply::Error(CommandError::OutOfMemory);
    }
    if let Some((registration, bucket)) = target.found() {
        panic_scope.set(PanicScope::Bucket(registration, bucket));
    }
    let outcome = match request.op {
        Op::Command { command, args } => match command.run {
            Run::One(run) => run(target, args),
            Run::Multi(_) => unreachable!("the store takes several shards for it"),
        },
        Op::Entries { projection, cursor } => hash_scan::page(target.into_view(), projection, cursor),
        Op::Watch => Ok(Reply::Number(target.watch() as i64)),
        op => execute_guide(target, op),
    };
    outcome.unwrap_or_else(Reply::Error)
}

/// Executes what the guide's protocol asks for. It wants buckets to be created, and keeps them when they are empty.
fn execute_guide<'s>(mut target: BucketMut<'s>, op: Op<'_>) -> CommandResult<'s> {
    if op == Op::Create {
        target.create()?;
        return Ok(Reply::Done);
    }
    if !target.exists() {
        return Ok(Reply::NoBucket);
    }
    match op {
        Op::Get { key } => return hash::value(target.into_view(), key),
        Op::Keys { cursor } => {
            let (entries, next) = target.into_view().entries(cursor)?;
            let keys = entries.iter().map(|entry| Bytes::new(entry.key)).collect();
            return Ok(Reply::Keys { keys, next });
        }
        Op::Put { key, value } => {
            target.set_field(key, value, None)?;
        }
        Op::Delete { key } => {
            target.delete_field(key)?;
        }
        Op::Drop => {
            target.end(EndReason::Dropped);
        }
        Op::Crash => panic!("a crash was asked for"),
        Op::Create | Op::Entries { .. } | Op::Watch | Op::Command { .. } => unreachable!("executed before"),
    }
    Ok(Reply::Done)
}
