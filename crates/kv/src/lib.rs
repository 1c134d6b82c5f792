//! The store: named buckets of keys and values, as passive data behind one synchronous door.
//!
//! Follow a batch through the files in this order: request -> store -> shard -> commands -> bucket -> memory -> reply.

pub mod args;
mod bounded_serde;
mod bucket;
mod bucket_supervisor;
mod budget;
mod commands;
mod crash_reports;
mod error;
pub mod glob;
mod limits;
mod memory;
mod pubsub;
mod reply;
mod request;
mod shard;
mod store;
mod supervisor;
mod sweep;
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
pub use store::{DetachedShards, NamePage, Prefetch, ScanFilter, Store, StoreStats};
pub use supervisor::supervisor;
