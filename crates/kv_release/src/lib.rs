//! What makes a release: configuration, command line, boot and drain, console, control socket, log.
//!
//! Follow a start through the files in this order: verbs -> cli -> config -> run -> boot -> banner -> drain.
//! Follow an expression to a running node: verbs -> script or terminal -> control/client ⇒ control/server -> console.

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
mod script;
mod signals;
mod terminal;
mod verbs;

pub use config::ClientLimits;
pub use release::{Face, Release};
pub use verbs::main;
