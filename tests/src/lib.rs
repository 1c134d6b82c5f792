//! Helpers of the whole-release tests. They build the releases and start them as a user does, on ports and in
//! directories of their own.
//!
//! A [`Release`] is one running node; a [`Trio`] is three with copies of all buckets, on machines of a
//! [`Network`] if it has one; a [`Pair`] is foo and bar, connected through [`Proxy`]s that a test can stall
//! or cut; a [`Client`] speaks the text protocol, a [`RespClient`] the Redis protocol, an [`HttpClient`]
//! HTTP; [`golden`] and [`redis_golden`] play recorded sessions; [`Registers`] are what clients use while
//! nodes are disturbed, and [`history`] checks what they have seen.

mod browser;
mod build;
mod client;
mod endless_log;
pub mod golden;
pub mod history;
mod http;
mod network;
mod output;
mod pair;
mod proxy;
pub mod redis_golden;
mod register_client;
mod registers;
mod release;
pub mod resp;
mod scripted_redis;
mod settings;
mod small_disk;
mod temp_dir;
mod terminal;
mod tool;
mod trio;
mod verdicts;
mod wait;

pub use browser::Browser;
pub use build::{binary, faulty_unit_test};
pub use client::Client;
pub use endless_log::EndlessLog;
pub use http::{HttpClient, HttpResponse};
pub use network::{MACHINES, Network, Traffic};
pub use output::{sorted_lines, text};
pub use pair::Pair;
pub use proxy::Proxy;
pub use registers::Registers;
pub use release::{Release, spawn_verb, verb};
pub use resp::RespClient;
pub use rustix::process::Signal;
pub use scripted_redis::scripted_redis;
pub use settings::{BAR, FOO, Settings};
pub use small_disk::SmallDisk;
pub use temp_dir::{TempDir, copy_directory};
pub use terminal::Terminal;
pub use tool::{RedisServer, python_with_redis, tool};
pub use trio::{TRIO, Trio};
pub use verdicts::Verdicts;
pub use wait::{TIMEOUT, spin_until, wait_until};
