//! The store: named buckets of keys and values, in memory, with a synchronous API.
//!
//! ```
//! use kv::{Op, Reply, Request, Store};
//! use std::ops::ControlFlow::Continue;
//!
//! let store = Store::for_threads(1);
//! let shopping = |op| Request::new(b"shopping", op);
//! let batch = [
//!     shopping(Op::Create),
//!     shopping(Op::Put { key: b"milk", value: b"1" }),
//!     shopping(Op::Get { key: b"milk" }),
//! ];
//! let mut replies = Vec::new();
//! store.execute(&batch, kv::time::now_ms(), |reply| {
//!     // A reply borrows from the store, so it is used here.
//!     replies.push(format!("{reply:?}"));
//!     Continue(())
//! });
//! assert_eq!(replies[..2], ["Done", "Done"]);
//! assert_eq!(replies[2], format!("{:?}", Reply::Value(b"1")));
//! ```
//!
//! A [`Store`] executes batches of [`Request`]s and passes a [`Reply`] for each; it is shared by threads, and
//! time is an argument. An [`Op`] is one of the text protocol's operations or a [`Command`] of Redis, all of
//! which are in [`COMMANDS`]. [`supervisor()`] restarts the store's components when they crash, and removes
//! what has expired. A [`Subscription`] receives the changes of a bucket, [`Channels`] carry messages.

// A batch of requests passes through the modules in this order:
//
// 1. `request`: an operation on a bucket, as plain values that borrow their bytes.
// 2. `store`: `batch` hashes names and fields, locks a shard, prefetches, and executes one request after
//    another.
// 3. `bucket_supervisor`: opens the bucket, and attributes a panic to what has crashed.
// 4. `shard`: `registry` finds the bucket by its name; a command reads it as a `BucketRef` and changes it as
//    a `BucketMut`.
// 5. `commands`: one function for each command.
// 6. `bucket`: the contents of a bucket, with a file for each type of value, on top of the blocks and tables
//    of `memory`.
// 7. `reply`: the result, borrowed from the store while the lock is held.
//
// In addition, `pubsub` notifies subscribers, `memory::budget` limits memory, `supervisor` restarts
// components that have crashed, and `syntax` parses notations that several protocols share.

pub mod args;
mod bounded_serde;
mod bucket;
mod bucket_supervisor;
mod commands;
mod cursor;
mod database;
mod error;
mod limits;
mod memory;
mod pubsub;
mod reply;
mod request;
mod shard;
mod store;
mod supervisor;
pub mod syntax;
#[cfg(test)]
mod tests {
    pub(crate) mod failpoint;
    pub(crate) mod work;
}
pub mod time;

pub use args::Args;
pub use bucket::{Kind, Origin};
pub use bucket_supervisor::Component;
pub use commands::{
    COMMANDS,
    hash_scan::RandomFields,
    key::{LISTPACK_BYTES, LISTPACK_ENTRIES},
    spec::{Command, CommandSpec, Group, KeySpec, flag},
};
pub use database::{DATABASES, Database, FullName};
pub use error::CommandError;
pub use limits::{FIELD_EXPIRY_MS, NAME_BYTES, VALUE_BYTES};
pub use memory::{budget::Budget, freeze::FreezeBudget, large::LargeValue, reaper::free_buffer};
pub use pubsub::{
    backlog::Backlog,
    bucket_changes::{Change, EndReason, Event, Publisher, Subscription},
    channels::{ChannelSubscriber, Channels, Delivery, Message, TooManyTopics, Topic, TopicKind, TopicPage},
    publication::Publication,
};
pub use reply::{CommandResult, OwnedValue, Projection, Reply};
pub use request::{LoadMode, Op, Request};
pub use shard::{
    frozen::{Record, RecordValue},
    watch::{StateRecord, WatchedBucket, Watcher},
};
pub use store::{
    Store,
    apply::{EntryTerms, Halted},
    cost::TransactionLimits,
    expiry::Swept,
    freeze::{AlreadyFrozen, FrozenStore, GivenUp, split::Removal},
    keyspace::{DetachedShards, KeyspaceStats, NamePage, ScanFilter, StoreStats},
    load::{LoadCounts, LoadError, Loader},
    prefetch::Prefetch,
    prepare::{Preparation, TransactionPreparation},
    records::{BucketHead, BucketPage, OwnedEntry},
};
pub use supervisor::supervisor;
