//! The commands of the session: one function of its name each.

pub(super) mod client;
pub(super) mod command;
pub(super) mod config;
pub(super) mod connection;
pub(super) mod keyspace;
pub(super) mod pubsub;
pub(super) mod server;
pub(super) mod syntax;
pub(super) mod transaction;

use kv::CommandError;

/// An error of this one command.
fn other(what: &str) -> CommandError {
    CommandError::Other(what.to_owned())
}

/// Reads a number as Redis does.
fn number(argument: Option<&[u8]>) -> Option<i64> {
    let text = std::str::from_utf8(argument?).ok()?;
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// Whether an argument is this word, in any case.
fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}
