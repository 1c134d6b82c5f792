//! What makes a release: configuration, command line, boot and drain, console, control socket, log.
//!
//! Follow a start through the files in this order: verbs, cli, config, node/run, node/boot, node/banner,
//! node/drain. Follow an expression to a running node: verbs, script or terminal, control/client ⇒
//! control/server, console. Follow an export or an import: verbs, transfer, control/client ⇒ control/server,
//! records.

mod cli;
mod config;
mod console;
mod control;
mod daemon;
mod error;
mod exit_code;
mod limits;
mod log;
mod node;
mod output;
mod records;
mod release;
mod script;
mod suggest;
mod terminal;
mod transfer;
mod verbs;

pub use config::ClientSettings;
pub use release::{Release, Service};
pub use verbs::main;
