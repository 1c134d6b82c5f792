//! A group as bytes: all that was waiting when an entry of the log was made. docs/disk-format.md describes
//! each byte.
//!
//! A group begins with its version and its terms; the rest are steps, one after the other. Requests are
//! decoded where they lie, without a copy.

use crate::limits::STEP_REQUESTS;
use kv::{
    Args, Command, Database, EntryTerms, FullName, Kind, LoadMode, Op, Request, TransactionLimits, Watcher,
};
use std::num::NonZeroU64;

/// The first byte of an encoded group.
const VERSION: u8 = 1;

/// The first byte of a step.
mod step {
    pub(super) const BATCH: u8 = 1;
    pub(super) const TRANSACTION: u8 = 2;
    pub(super) const FLUSH: u8 = 3;
}

/// The second byte of a request, after its database.
mod op {
    pub(super) const CREATE: u8 = 1;
    pub(super) const PUT: u8 = 2;
    pub(super) const DELETE: u8 = 3;
    pub(super) const DROP: u8 = 4;
    pub(super) const COMMAND: u8 = 5;
    pub(super) const WATCH: u8 = 6;
    pub(super) const UNWATCH: u8 = 7;
    pub(super) const LOAD: u8 = 8;
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
}

/// Why bytes are not a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Written by another version of this program.
    #[error("a group of version {0}, and this program knows version {VERSION}")]
    Version(u8),
    /// A command that this program does not have.
    #[error("a command that this program does not have: {0}")]
    Command(String),
    /// Anything else.
    #[error("bytes that are no group")]
    Damaged,
}

/// Appends the beginning of a group.
pub(crate) fn encode_terms(terms: EntryTerms, bytes: &mut Vec<u8>) {
    bytes.push(VERSION);
    for number in [terms.stamp_ms, terms.limits.entries as u64, terms.limits.bytes as u64] {
        encode_number(number, bytes);
    }
}

/// Appends a step. Requests that only read, and [`Op::Crash`], are left out.
pub(crate) fn encode_step(step: &Step<'_>, bytes: &mut Vec<u8>) {
    match step {
        Step::Batch(requests) => {
            bytes.push(step::BATCH);
            encode_requests(requests, bytes);
        }
        Step::Transaction { watched, requests } => {
            bytes.push(step::TRANSACTION);
            encode_count(watched.len(), bytes);
            for (full, version) in watched {
                bytes.push(full.database.index() as u8);
                encode_bytes(full.name, bytes);
                encode_number(*version, bytes);
            }
            encode_requests(requests, bytes);
        }
        Step::Flush(database) => {
            let database = database.map_or(u8::MAX, |database| database.index() as u8);
            bytes.extend_from_slice(&[step::FLUSH, database]);
        }
    }
}

fn encode_requests(requests: &[Request<'_>], bytes: &mut Vec<u8>) {
    let is_logged = |request: &&Request<'_>| op_code(&request.op).is_some();
    encode_count(requests.iter().filter(is_logged).count(), bytes);
    for request in requests {
        let Some(code) = op_code(&request.op) else { continue };
        bytes.extend_from_slice(&[request.database.index() as u8, code]);
        encode_bytes(request.bucket, bytes);
        match request.op {
            Op::Put { key, value } => {
                encode_bytes(key, bytes);
                encode_bytes(value, bytes);
            }
            Op::Delete { key } => encode_bytes(key, bytes),
            Op::Command { command, args } => {
                encode_bytes(command.spec.name.as_bytes(), bytes);
                encode_bytes(args.bulks(), bytes);
            }
            Op::Watch { watcher } | Op::Unwatch { watcher } => {
                encode_number(watcher.link, bytes);
                encode_number(watcher.connection, bytes);
            }
            Op::Load { mode, kind, keep_when_empty, expires_at_ms, contents } => {
                bytes.extend_from_slice(&[mode_code(mode), kind_code(kind), u8::from(keep_when_empty)]);
                encode_number(expires_at_ms.map_or(0, NonZeroU64::get), bytes);
                encode_bytes(contents.bulks(), bytes);
            }
            _ => {}
        }
    }
}

/// `None` for what is not logged.
fn op_code(op: &Op<'_>) -> Option<u8> {
    match op {
        Op::Create => Some(op::CREATE),
        Op::Put { .. } => Some(op::PUT),
        Op::Delete { .. } => Some(op::DELETE),
        Op::Drop => Some(op::DROP),
        Op::Command { command, .. } => (!command.is_read()).then_some(op::COMMAND),
        Op::Watch { .. } => Some(op::WATCH),
        Op::Unwatch { .. } => Some(op::UNWATCH),
        Op::Load { .. } => Some(op::LOAD),
        Op::Get { .. }
        | Op::Show
        | Op::Keys { .. }
        | Op::Entries { .. }
        | Op::RandomEntries { .. }
        | Op::MemoryUsage { .. }
        | Op::Crash => None,
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
    encode_count(added.len(), bytes);
    bytes.extend_from_slice(added);
}

fn encode_number(number: u64, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&number.to_le_bytes());
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
        VERSION => {}
        version => return Err(Malformed::Version(version)),
    }
    let stamp_ms = steps.number()?;
    let mut size = || usize::try_from(steps.number()?).map_err(|_| Malformed::Damaged);
    let limits = TransactionLimits { entries: size()?, bytes: size()? };
    Ok((EntryTerms { stamp_ms, limits }, steps))
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
            _ => Err(Malformed::Damaged),
        }
    }

    fn requests(&mut self) -> Result<Vec<Request<'g>>, Malformed> {
        let count = self.count()?;
        let mut requests = Vec::new();
        for _ in 0..count {
            let (database, code) = (database(self.byte()?)?, self.byte()?);
            let bucket = self.bytes()?;
            let op = match code {
                op::CREATE => Op::Create,
                op::PUT => Op::Put { key: self.bytes()?, value: self.bytes()? },
                op::DELETE => Op::Delete { key: self.bytes()? },
                op::DROP => Op::Drop,
                op::COMMAND => {
                    Op::Command { command: command(self.bytes()?)?, args: Args::new(self.bytes()?) }
                }
                op::WATCH => Op::Watch { watcher: self.watcher()? },
                op::UNWATCH => Op::Unwatch { watcher: self.watcher()? },
                op::LOAD => self.load()?,
                _ => return Err(Malformed::Damaged),
            };
            requests.push(Request { database, bucket, op });
        }
        Ok(requests)
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
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Damaged)?;
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
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed::Damaged)?;
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
