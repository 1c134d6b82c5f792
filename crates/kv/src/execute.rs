//! One request is executed: those of the guide's protocol here, a command by the function of its name.

use crate::{
    Op, Outcome, Refusal, Reply, Request, Unit,
    budget::Budget,
    commands::{Run, list, value},
    look::Look,
    shard::{AtWork, Shard},
    subscription::End,
    target::Target,
};
use serde_bytes::Bytes;
use std::cell::Cell;

/// Executes one request in its bucket's shard. `at_work` says at any time whose crash a panic would be.
pub(crate) fn execute<'s>(
    shard: &'s mut Shard,
    look: Look<'s>,
    request: &'s Request<'_>,
    now: u64,
    at_work: &Cell<AtWork>,
    budget: &Budget,
) -> Reply<'s> {
    at_work.set(AtWork::Unit(Unit::Registry));
    let target = Target::new(shard, request.bucket, look, now);
    if request.op.takes_memory() && target.exceeds(budget) {
        return Reply::Refused(Refusal::OutOfMemory);
    }
    if let Some((registration, bucket)) = target.found() {
        at_work.set(AtWork::Bucket(registration, bucket));
    }
    let outcome = match request.op {
        Op::Command { command, args } => match command.run {
            Run::One(run) => run(target, args),
            Run::Several(_) => unreachable!("the store takes several shards for it"),
        },
        Op::Entries { part, cursor } => list(target.into_view(), part, cursor),
        Op::Watch => Ok(Reply::Number(target.watch() as i64)),
        op => execute_guide(target, op),
    };
    outcome.unwrap_or_else(Reply::Refused)
}

/// Executes what the guide's protocol asks for. It wants buckets to be created, and keeps them when they are empty.
fn execute_guide<'s>(mut target: Target<'s>, op: Op<'_>) -> Outcome<'s> {
    if op == Op::Create {
        target.create()?;
        return Ok(Reply::Done);
    }
    if !target.exists() {
        return Ok(Reply::NoBucket);
    }
    match op {
        Op::Get { key } => return value(target.into_view(), key),
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
            target.end(End::Dropped);
        }
        Op::Crash => panic!("a crash was asked for"),
        Op::Create | Op::Entries { .. } | Op::Watch | Op::Command { .. } => unreachable!("executed before"),
    }
    Ok(Reply::Done)
}
