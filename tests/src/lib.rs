//! Helpers of the whole-release tests: built releases, started as a user starts them, on ports and in folders of their own.
//!
//! A [`Release`] is one running node; a [`Pair`] is foo and bar with [`Wire`]s between them that a test can stall or
//! cut; a [`Client`] talks to a node as telnet does, a [`RespClient`] as Redis clients do; [`golden`] and
//! [`redis_golden`] play recorded sessions.

mod build;
mod client;
mod folder;
pub mod golden;
mod pair;
pub mod redis_golden;
mod release;
pub mod resp;
mod settings;
mod tool;
mod wait;
mod wire;

pub use client::Client;
pub use folder::Folder;
pub use pair::Pair;
pub use release::{Release, verb};
pub use resp::RespClient;
pub use rustix::process::Signal;
pub use settings::{BAR, FOO, Settings};
pub use tool::{RedisServer, python_with_redis, tool};
pub use wait::{PATIENCE, wait_until};
pub use wire::Wire;
