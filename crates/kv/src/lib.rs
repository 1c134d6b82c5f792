//! The store: named buckets of keys and values, as passive data behind one synchronous door.
//!
//! Follow a batch through the files in this order: request -> store -> shard -> registry -> bucket -> table and
//! entry -> reply. What holds the bytes is the arena; what keeps a crash where it belongs are the bucket
//! supervisor and, above it, the supervisor.

mod arena;
mod bucket;
mod bucket_supervisor;
mod entry;
mod faults;
mod limits;
mod memory;
mod registry;
mod reply;
mod request;
mod shard;
mod store;
mod subscription;
mod supervisor;
mod table;

pub use faults::Unit;
pub use reply::Reply;
pub use request::{Op, Request};
pub use store::{Page, Store};
pub use subscription::{Change, End, Event, Publisher, Subscription};
pub use supervisor::supervisor;
