//! The store: named buckets of keys and values, as passive data behind one synchronous door.
//!
//! Follow a batch through the files in this order: [`Request`] -> [`Store::execute`] -> shard -> registry -> bucket -> [`Reply`].

mod limits;
mod reply;
mod request;
mod store;
mod subscription;

pub use reply::Reply;
pub use request::{Op, Request};
pub use store::{Page, Store};
pub use subscription::{Change, End, Event, Publisher, Subscription};
