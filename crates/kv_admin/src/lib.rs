//! The HTTP port of a node: whether it is up and ready, and what a person or a program may see of it. It
//! changes nothing.
//!
//! A request goes through listener -> guard -> router -> the file of its path.

mod context;
mod dashboard;
mod error;
mod guard;
mod health;
mod hosts;
mod limits;
mod listener;
mod metrics;
mod observer;
mod response;
mod router;
mod write_deadline;

pub use error::Error;
pub use listener::{AdminSettings, BoundAdmin, bind};
pub use observer::seen::About;
