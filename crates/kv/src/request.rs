//! What can be asked of a bucket, as plain values that borrow their bytes from the read buffer.

use crate::{
    Args, Command, Projection,
    commands::spec::{KeySpec, Run, flag},
};
use serde::{Deserialize, Serialize};

/// One operation on one bucket. Names, keys and values are bytes, never text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// The name of the bucket; its owner is found by it.
    #[serde(with = "serde_bytes")]
    pub bucket: &'a [u8],
    /// What is to be done there.
    pub op: Op<'a>,
}

/// The operations of a bucket: those of the guide, and the commands of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op<'a> {
    /// Starts the bucket; an existing one keeps its contents.
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
    /// Forgets `key`, whether or not it is there.
    Delete {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Ends the bucket and all that it holds.
    Drop,
    /// Lists one bounded page of keys, from `cursor` on (0: from the start).
    Keys {
        /// The `next` of the page before.
        cursor: u64,
    },
    /// Lists one bounded page of entries, from `cursor` on (0: from the start). No walk meets a key twice.
    Entries {
        /// What of them.
        projection: Projection,
        /// The `next` of the page before.
        cursor: u64,
    },
    /// One of Redis's commands, with its arguments after the bucket's name.
    Command {
        /// Which.
        #[serde(with = "crate::commands::by_name")]
        command: &'static Command,
        /// Its arguments.
        args: Args<'a>,
    },
    /// A number that changes with the bucket, for WATCH.
    Watch,
    /// Panics while the bucket is worked on: a drill for the supervision that ends that bucket alone.
    Crash,
}

impl<'a> Request<'a> {
    /// Whether the request names several buckets, which must all live on one node.
    pub fn spans_buckets(&self) -> bool {
        matches!(self.op, Op::Command { command, .. } if matches!(command.run, Run::Multi(_)))
    }

    /// The names of all buckets that the request is about.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        let (others, step) = match self.op {
            Op::Command { command, args } => match command.spec.keys {
                KeySpec::TwoTogether => (args, usize::MAX),
                KeySpec::PairsTogether => (args, 2),
                _ => (Args::NONE, 1),
            },
            _ => (Args::NONE, 1),
        };
        // After the first name stands its value, if there are pairs.
        let others = others.skip(usize::from(step == 2)).step_by(step);
        std::iter::once(self.bucket).chain(others)
    }
}

impl<'a> Op<'a> {
    /// The first field of the bucket that the operation is about.
    pub(crate) fn field(&self) -> Option<&'a [u8]> {
        match *self {
            Op::Get { key } | Op::Put { key, .. } | Op::Delete { key } => Some(key),
            Op::Command { command, mut args } if command.takes_field() => args.next(),
            _ => None,
        }
    }

    /// Whether the operation lists one page of many.
    pub(crate) fn is_paged(&self) -> bool {
        matches!(self, Op::Keys { .. } | Op::Entries { .. })
    }

    /// Whether the operation may take memory, and so has to be refused when none is left.
    pub(crate) fn allocates(&self) -> bool {
        match self {
            Op::Create | Op::Put { .. } => true,
            Op::Command { command, .. } => command.spec.has(flag::DENYOOM),
            _ => false,
        }
    }

    /// Whether the operation leaves the bucket as it was, so that an unknown outcome does no harm.
    pub fn is_read(&self) -> bool {
        match self {
            Op::Get { .. } | Op::Keys { .. } | Op::Entries { .. } | Op::Watch => true,
            Op::Command { command, .. } => command.is_read(),
            Op::Create | Op::Put { .. } | Op::Delete { .. } | Op::Drop | Op::Crash => false,
        }
    }
}
