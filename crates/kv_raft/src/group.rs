//! A group as bytes: all that was waiting when an entry of the log was made. docs/disk-format.md describes
//! each byte.
//!
//! A group begins with its version and its terms; the rest are steps, one after the other. Requests are
//! decoded where they lie, without a copy. A group that waits has requests that only read as well: the node
//! that proposed it executes them between the others, and they are left out of the log.

mod codes;
pub(crate) mod encode;

use crate::limits::{GROUP_BYTES, SMALL_BATCH_REQUESTS, STEP_REQUESTS};
use codes::{SPLIT_VERSION, VERSION, op, step};
use kv::{
    Args, Command, Database, EntryTerms, FullName, Kind, LargeValue, LoadMode, Op, Projection, Request,
    TransactionLimits, Watcher, free_buffer,
};
use std::{num::NonZeroU64, ops::Deref};
use tokio::task::block_in_place;

/// The bytes of a group. Giving many of them back to the system takes time, so another thread does it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupBytes(pub(crate) Vec<u8>);

impl Deref for GroupBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for GroupBytes {
    fn drop(&mut self) {
        free_buffer(std::mem::take(&mut self.0));
    }
}

/// Runs, on a thread of the ranges, what takes time for each byte of a group. If there are many, another
/// thread runs the other tasks of this one meanwhile.
pub(crate) fn process<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    if bytes < GROUP_BYTES { run() } else { block_in_place(run) }
}

/// What a group executes at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'g> {
    /// Requests one after the other.
    Batch(Vec<Request<'g>>),
    /// Requests as one, unless a watched bucket has changed.
    Transaction {
        /// Watched buckets, with their versions.
        watched: Vec<(FullName<'g>, u64)>,
        /// The requests.
        requests: Vec<Request<'g>>,
    },
    /// The end of all buckets of a database, or of all of them.
    Flush(Option<Database>),
    /// The end of all watches that came over a link, or of all of them.
    EndWatches(Option<u64>),
    /// The end of the range from a name on: what it has there becomes another range.
    Split(Split<'g>),
}

/// A range that begins with the last names of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split<'g> {
    /// The first of these names.
    pub(crate) at: &'g [u8],
    /// The id of the new range.
    pub(crate) range: u64,
    /// The ids of its replicas, each after that of the replica that it comes from.
    pub(crate) replicas: Vec<(u64, u64)>,
}

impl<'g> Step<'g> {
    /// Its requests.
    pub(crate) fn requests(&self) -> &[Request<'g>] {
        match self {
            Step::Batch(requests) | Step::Transaction { requests, .. } => requests,
            Step::Flush(_) | Step::EndWatches(_) | Step::Split(_) => &[],
        }
    }

    /// The names of all its buckets.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'g [u8]> {
        let watched = match self {
            Step::Transaction { watched, .. } => &**watched,
            _ => &[],
        };
        watched.iter().map(|(full, _)| full.name).chain(self.requests().iter().flat_map(Request::names))
    }

    /// Whether it is a batch of few requests, none of which has a large value.
    pub(crate) fn is_small_batch(&self) -> bool {
        matches!(self, Step::Batch(requests) if requests.len() <= SMALL_BATCH_REQUESTS
            && !requests.iter().any(|request| LargeValue::holds(request.op.payload_bytes())))
    }
}

/// Why bytes are not a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Written by another version of this program.
    #[error(
        "a group of version {0}, and this release knows version {SPLIT_VERSION}: use a release that knows version {0}"
    )]
    Version(u8),
    /// A command that this release does not have.
    #[error("a command that this release does not have: {0}; use the release that wrote it")]
    Command(String),
    /// The bytes end in the middle of a group.
    #[error("a part of a group")]
    Incomplete,
    /// Anything else.
    #[error("bytes that are no group")]
    Damaged,
}

/// Decodes the steps of a group one by one.
#[derive(Debug)]
pub(crate) struct Steps<'g> {
    rest: &'g [u8],
}

/// Decodes the terms of a group. The second value decodes its steps.
pub(crate) fn decode(group: &[u8]) -> Result<(EntryTerms, Steps<'_>), Malformed> {
    let mut steps = Steps { rest: group };
    match steps.byte()? {
        VERSION | SPLIT_VERSION => {}
        version => return Err(Malformed::Version(version)),
    }
    let stamp_ms = steps.number()?;
    let mut size = || usize::try_from(steps.number()?).map_err(|_| Malformed::Damaged);
    let limits = TransactionLimits { entries: size()?, bytes: size()? };
    Ok((EntryTerms { stamp_ms, limits }, steps))
}

/// Whether a group may begin with these bytes.
pub(crate) fn is_beginning(bytes: &[u8]) -> bool {
    let steps = decode(bytes).and_then(|(_, mut steps)| steps.try_for_each(|step| step.map(drop)));
    matches!(steps, Ok(()) | Err(Malformed::Incomplete))
}

impl<'g> Iterator for Steps<'g> {
    type Item = Result<Step<'g>, Malformed>;

    /// The next step. After an error there is none.
    fn next(&mut self) -> Option<Result<Step<'g>, Malformed>> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}

impl<'g> Steps<'g> {
    fn step(&mut self) -> Result<Step<'g>, Malformed> {
        match self.byte()? {
            step::BATCH => self.requests().map(Step::Batch),
            step::TRANSACTION => {
                let mut watched = Vec::new();
                for _ in 0..self.count()? {
                    watched.push((self.full_name()?, self.number()?));
                }
                Ok(Step::Transaction { watched, requests: self.requests()? })
            }
            step::FLUSH => match self.byte()? {
                u8::MAX => Ok(Step::Flush(None)),
                index => database(index).map(|database| Step::Flush(Some(database))),
            },
            step::END_WATCHES => {
                let link = self.number()?;
                Ok(Step::EndWatches((link != u64::MAX).then_some(link)))
            }
            step::SPLIT => {
                let (at, range) = (self.bytes()?, self.number()?);
                let replicas = (0..self.count()?).map(|_| Ok((self.number()?, self.number()?)));
                let replicas = replicas.collect::<Result<_, _>>()?;
                Ok(Step::Split(Split { at, range, replicas }))
            }
            _ => Err(Malformed::Damaged),
        }
    }

    fn requests(&mut self) -> Result<Vec<Request<'g>>, Malformed> {
        let count = self.count()?;
        let mut requests = Vec::new();
        for _ in 0..count {
            let (database, code) = (database(self.byte()?)?, self.byte()?);
            let bucket = self.bytes()?;
            requests.push(Request { database, bucket, op: self.op(code)? });
        }
        Ok(requests)
    }

    fn op(&mut self, code: u8) -> Result<Op<'g>, Malformed> {
        Ok(match code {
            op::CREATE => Op::Create,
            op::PUT => Op::Put { key: self.bytes()?, value: self.bytes()? },
            op::DELETE => Op::Delete { key: self.bytes()? },
            op::DROP => Op::Drop,
            op::COMMAND => Op::Command { command: command(self.bytes()?)?, args: Args::new(self.bytes()?) },
            op::WATCH => Op::Watch { watcher: self.watcher()? },
            op::UNWATCH => Op::Unwatch { watcher: self.watcher()? },
            op::LOAD => self.load()?,
            op::GET => Op::Get { key: self.bytes()? },
            op::SHOW => Op::Show,
            op::KEYS => Op::Keys { cursor: self.number()? },
            op::ENTRIES => Op::Entries { projection: self.projection()?, cursor: self.number()? },
            op::RANDOM_ENTRIES => Op::RandomEntries {
                projection: self.projection()?,
                cursor: self.number()?,
                count: u32::try_from(self.number()?).map_err(|_| Malformed::Damaged)?,
            },
            op::MEMORY_USAGE => Op::MemoryUsage { cursor: self.number()? },
            op::CRASH => Op::Crash,
            _ => return Err(Malformed::Damaged),
        })
    }

    fn projection(&mut self) -> Result<Projection, Malformed> {
        match self.byte()? {
            0 => Ok(Projection::Keys),
            1 => Ok(Projection::Values),
            2 => Ok(Projection::Both),
            _ => Err(Malformed::Damaged),
        }
    }

    fn load(&mut self) -> Result<Op<'g>, Malformed> {
        let mode = match self.byte()? {
            0 => LoadMode::New,
            1 => LoadMode::Replace,
            2 => LoadMode::Append,
            _ => return Err(Malformed::Damaged),
        };
        let kind = match self.byte()? {
            0 => Kind::Map,
            1 => Kind::Str,
            _ => return Err(Malformed::Damaged),
        };
        let keep_when_empty = self.byte()? != 0;
        let expires_at_ms = NonZeroU64::new(self.number()?);
        Ok(Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents: Args::new(self.bytes()?) })
    }

    fn full_name(&mut self) -> Result<FullName<'g>, Malformed> {
        Ok(FullName { database: database(self.byte()?)?, name: self.bytes()? })
    }

    fn watcher(&mut self) -> Result<Watcher, Malformed> {
        Ok(Watcher { link: self.number()?, connection: self.number()? })
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        if count > STEP_REQUESTS { Err(Malformed::Damaged) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<&'g [u8], Malformed> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Incomplete)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed::Incomplete)?;
        self.rest = rest;
        Ok(*array)
    }
}

fn database(index: u8) -> Result<Database, Malformed> {
    Database::new(usize::from(index)).ok_or(Malformed::Damaged)
}

fn command(name: &[u8]) -> Result<&'static Command, Malformed> {
    let found = str::from_utf8(name).ok().and_then(Command::find);
    found.ok_or_else(|| Malformed::Command(name.escape_ascii().to_string()))
}

#[cfg(test)]
mod tests;
