//! Redis's protocol, RESP2 and RESP3. Reference:
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Follow a command through the files in this order: protocol (what the pipeline calls) -> parser -> commands
//! (table: finds the command; split: into requests to buckets) -> the pipeline -> reply (merge) -> encoder. A
//! command that is not on buckets goes to `commands/dispatch.rs` instead, and its function works on the
//! `session`. A command that is a line of words goes there by `inline`.

mod commands;
mod encoder;
mod inline;
mod parser;
mod protocol;
mod queue;
mod reply;
mod session;
mod subscriptions;
#[cfg(test)]
mod tests;

pub(crate) use commands::command_table;
pub(crate) use session::RespSession;
