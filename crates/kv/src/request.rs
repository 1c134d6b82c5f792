//! Requests: one operation on one bucket, as plain values that borrow their bytes from the read buffer.

use crate::{
    args::Args,
    bucket::Kind,
    commands::{
        key,
        spec::{Command, Cost, KeySpec, flag},
    },
    database::{Database, FullName},
    reply::Projection,
    shard::watch::Watcher,
};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// An operation on a bucket. Names, keys and values are bytes, never text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// The database of the bucket.
    pub database: Database,
    /// The name of the bucket, which decides which node owns it.
    #[serde(with = "serde_bytes")]
    pub bucket: &'a [u8],
    /// The operation.
    pub op: Op<'a>,
}

/// The operations on a bucket: those of the text protocol, the commands of Redis, and those of the server
/// itself.
///
/// The text protocol needs its own operations: its buckets are created explicitly and stay when they are
/// empty, while those of Redis appear with their first field and disappear with their last. Links carry the
/// variants by position: append new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op<'a> {
    /// Creates the bucket; an existing one keeps its contents.
    Create,
    /// Sets `key` to `value`.
    Put {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Reads the value of `key`.
    Get {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Deletes `key`, if it exists.
    Delete {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Ends the bucket with all its contents.
    Drop,
    /// Lists one page of keys, from `cursor` on (0: from the start).
    Keys {
        /// The `next` of the previous page.
        cursor: u64,
    },
    /// Lists one page of entries, from `cursor` on (0: from the start). No key is listed twice.
    Entries {
        /// The part of each entry that is listed.
        projection: Projection,
        /// The `next` of the previous page.
        cursor: u64,
    },
    /// Adds up one page of the bytes of memory that the bucket takes, from `cursor` on (0: from the start):
    /// the only item of a page.
    MemoryUsage {
        /// The `next` of the previous page.
        cursor: u64,
    },
    /// A command of Redis.
    Command {
        /// The command.
        #[serde(with = "crate::commands::by_name")]
        command: &'static Command,
        /// The arguments after the bucket's name.
        args: Args<'a>,
    },
    /// Adds a watcher, and returns the version of the bucket, which WATCH compares: every change of the
    /// bucket changes it. The watch ends with a change, with [`Op::Unwatch`], and with its link.
    Watch {
        /// Who watches.
        watcher: Watcher,
    },
    /// Panics while it works on the bucket, to test supervision: only that bucket ends.
    Crash,
    /// Picks one page of random entries, with duplicates. An empty page says where to look on.
    RandomEntries {
        /// The part of each entry that is listed.
        projection: Projection,
        /// The `next` of the previous page, if it was empty.
        cursor: u64,
        /// How many entries at most.
        count: u32,
    },
    /// Removes a watcher.
    Unwatch {
        /// Who watched.
        watcher: Watcher,
    },
    /// Loads a bucket, or a part of it, as one step. Replies with 1, with 0 if the name is taken and nothing
    /// was done, or with [`Reply::NoBucket`](crate::reply::Reply::NoBucket) if there is no map to add to.
    Load {
        /// What becomes of a bucket that has the name.
        mode: LoadMode,
        /// The type of the bucket.
        kind: Kind,
        /// Whether a map stays when its last entry goes.
        keep_when_empty: bool,
        /// When the bucket expires, in milliseconds since 1970.
        expires_at_ms: Option<NonZeroU64>,
        /// The string, and the name of its [`Origin`](crate::bucket::Origin) if it has one; or key,
        /// value and expiry of each entry: milliseconds since 1970, or nothing.
        contents: Args<'a>,
    },
    /// Reads the bucket's single value, or, if it has fields, describes it.
    Show,
}

/// What a load does with a bucket that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadMode {
    /// Nothing is loaded.
    New,
    /// It ends first.
    Replace,
    /// Entries are added to it: it is a map whose first part has been loaded.
    Append,
}

impl<'a> Request<'a> {
    /// A request to a bucket of database 0.
    #[inline]
    pub fn new(bucket: &'a [u8], op: Op<'a>) -> Request<'a> {
        Request { database: Database::ZERO, bucket, op }
    }

    /// Whether the request is executed on several buckets at once, which must live on one node.
    pub fn spans_buckets(&self) -> bool {
        matches!(self.op, Op::Command { command, .. } if command.run.is_multi())
    }

    /// The names of all buckets of the request.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        let (others, step) = match self.op {
            Op::Command { command, args } => match command.spec.keys {
                KeySpec::TwoTogether => (args, usize::MAX),
                KeySpec::PairsTogether => (args, 2),
                _ => (Args::NONE, 1),
            },
            _ => (Args::NONE, 1),
        };
        // In pairs the value of the first name comes before the second name.
        let others = others.skip(usize::from(step == 2)).step_by(step);
        std::iter::once(self.bucket).chain(others)
    }

    /// The full name of the first bucket.
    pub(crate) fn full_name(&self) -> FullName<'a> {
        FullName { database: self.database, name: self.bucket }
    }

    /// The full names of all buckets of the request, which may be in two databases.
    pub(crate) fn full_names(&self) -> impl Iterator<Item = FullName<'a>> {
        let database = self.database;
        let target = match self.op {
            Op::Command { command, args } if command.run.is_multi() => key::target_database(command, args),
            _ => None,
        };
        let moved = match self.op {
            Op::Command { command, .. } if command.spec.keys == KeySpec::One => target,
            _ => None,
        };
        let place = move |(index, name)| FullName {
            database: target.filter(|_| index > 0).unwrap_or(database),
            name,
        };
        let moved = moved.map(|database| FullName { database, name: self.bucket });
        self.names().enumerate().map(place).chain(moved)
    }
}

impl<'a> Op<'a> {
    /// The first field that the operation looks up, if it is known before the arguments are parsed.
    #[inline]
    pub(crate) fn field(&self) -> Option<&'a [u8]> {
        match *self {
            Op::Get { key } | Op::Put { key, .. } | Op::Delete { key } => Some(key),
            Op::Command { command, mut args } if command.spec.field_first => args.next(),
            _ => None,
        }
    }

    /// Whether the operation counts as a hit or a miss.
    #[inline]
    pub(crate) fn is_lookup(&self) -> bool {
        match self {
            Op::Command { command, .. } => command.spec.has(flag::READ),
            Op::Get { .. } | Op::Show | Op::Keys { cursor: 0 } => true,
            _ => false,
        }
    }

    /// Whether the operation gives a bucket another name.
    pub(crate) fn renames(&self) -> bool {
        matches!(self, Op::Command { command, .. } if command.spec.cost == Cost::Rename)
    }

    /// Whether the operation lists a page.
    pub(crate) fn is_paged(&self) -> bool {
        matches!(
            self,
            Op::Keys { .. } | Op::Entries { .. } | Op::RandomEntries { .. } | Op::MemoryUsage { .. }
        )
    }

    /// Whether the operation may allocate, so it is refused when memory is exhausted.
    pub fn allocates(&self) -> bool {
        match self {
            Op::Create | Op::Put { .. } | Op::Load { .. } => true,
            Op::Command { command, .. } => command.spec.has(flag::DENYOOM),
            _ => false,
        }
    }

    /// Bytes that the operation brings along.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Command { args, .. } | Op::Load { contents: args, .. } => args.bulks().len(),
            _ => 0,
        }
    }

    /// Whether the reply may be as large as what a bucket holds.
    pub fn may_return_values(&self) -> bool {
        match self {
            Op::Command { command, args } if command.spec.takes_values => {
                // SET returns the string only if an option says so.
                command.spec.name != "set" || args.skip(1).any(|option| option.eq_ignore_ascii_case(b"get"))
            }
            op => op.is_read(),
        }
    }

    /// Whether the operation changes nothing, so that it is safe to repeat when its outcome is unknown.
    pub fn is_read(&self) -> bool {
        match self {
            Op::Get { .. }
            | Op::Show
            | Op::Keys { .. }
            | Op::Entries { .. }
            | Op::RandomEntries { .. }
            | Op::MemoryUsage { .. }
            | Op::Watch { .. } => true,
            Op::Command { command, .. } => command.is_read(),
            Op::Create
            | Op::Put { .. }
            | Op::Delete { .. }
            | Op::Drop
            | Op::Crash
            | Op::Unwatch { .. }
            | Op::Load { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every client's request is moved as one: an operation that few use must not make it larger.
    #[test]
    fn an_operation_is_as_large_as_a_put() {
        assert_eq!(size_of::<Op<'_>>(), 5 * size_of::<usize>());
    }
}
