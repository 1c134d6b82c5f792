//! The store: named buckets of keys and values, as passive data behind one synchronous door.
//!
//! Follow a batch through the files in this order: request -> store -> look -> execute -> target -> commands
//! -> reply. A target finds its bucket through the registry; a bucket is a block, or a table of entries. What holds the
//! bytes is the arena; what keeps a crash where it belongs are the bucket supervisor and, above it, the supervisor.

mod arena;
mod args;
mod bucket;
mod bucket_supervisor;
mod budget;
mod channels;
mod clock;
mod commands;
mod entry;
mod execute;
mod expiries;
mod faults;
mod limits;
mod look;
mod memory;
mod owned;
mod prefetch;
mod refusal;
mod registry;
mod reply;
mod request;
mod several;
mod shard;
mod store;
mod subscription;
mod supervisor;
mod sweep;
mod table;
mod target;
mod view;
mod warm;
mod watched;

pub use args::{Args, push_bulk, short_line};
pub use budget::bytes_of;
pub use channels::{Channels, Heard, Listener, Message, TooManyTopics, Topic};
pub use clock::now;
pub use commands::{About, COMMANDS, Command, Group, Keys, flag, matches};
pub use faults::Unit;
pub use refusal::Refusal;
pub use reply::{Outcome, Part, Reply};
pub use request::{Op, Request};
pub use store::{Approach, Figures, Flushed, Kind, Page, Store, Wanted};
pub use subscription::{Change, End, Event, Publisher, Subscription};
pub use supervisor::supervisor;
