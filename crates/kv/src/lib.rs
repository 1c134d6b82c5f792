//! The store: named buckets of keys and values, as passive data behind one synchronous door.
//!
//! Follow a batch of requests through the folders in this order:
//!
//! 1. `request`: what is asked of a bucket, as values that borrow their bytes.
//! 2. `store`: the door. `batch` hashes names and fields, locks a shard, prefetches, and executes request by
//!    request.
//! 3. `bucket_supervisor`: opens the bucket, and knows whose crash a panic would be.
//! 4. `shard`: `registry` finds the bucket by its name; a command reads it as a `BucketRef` and changes it as
//!    a `BucketMut`.
//! 5. `commands`: one function for each command.
//! 6. `bucket`: what it holds, in a file for each kind of value, on the blocks and tables of `memory`.
//! 7. `reply`: what comes of it, borrowed from the store while the lock is held.
//!
//! Beside it: `pubsub` notifies subscribers, `budget` limits memory, `supervisor` restarts what has crashed.

pub mod args;
mod bounded_serde;
mod bucket;
mod bucket_supervisor;
mod budget;
mod commands;
mod crash_reports;
mod error;
#[cfg(test)]
mod failpoint;
pub mod glob;
mod limits;
mod memory;
mod pubsub;
pub mod quote;
mod reply;
mod request;
mod shard;
mod store;
mod supervisor;
pub mod time;

pub use args::Args;
pub use bucket::Kind;
pub use budget::parse_byte_size;
pub use commands::{
    COMMANDS,
    spec::{Command, CommandSpec, Group, KeySpec, flag},
};
pub use crash_reports::Component;
pub use error::CommandError;
pub use pubsub::{
    bucket_changes::{Change, EndReason, Event, Publisher, Subscription},
    channels::{ChannelSubscriber, Channels, Delivery, Message, TooManyTopics, Topic},
};
pub use reply::{CommandResult, Projection, Reply};
pub use request::{Op, Request};
pub use store::{
    Store,
    keyspace::{DetachedShards, NamePage, ScanFilter, StoreStats},
    prefetch::Prefetch,
};
pub use supervisor::supervisor;
