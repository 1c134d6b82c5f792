//! What makes a release: configuration, command line, boot and drain, console, control socket, log.
//!
//! Follow a start through the files in this order: release -> cli -> config -> run -> boot -> banner -> drain.
//! Follow a verb that talks to a running node: release -> console -> control/client ⇒ control/server -> console.

mod banner;
mod boot;
mod cli;
mod config;
mod console;
mod control;
mod daemon;
mod drain;
mod error;
mod exit_code;
mod limits;
mod log;
mod output;
mod release;
mod run;
mod runtime;
mod signals;

pub use config::ClientLimits;
pub use release::{Face, Release};
