//! Redis's protocol, RESP2 and RESP3. Reference:
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Follow a command through the files in this order: session (what the pipeline calls) -> parser -> commands
//! (table: which command; split: into requests to buckets) -> the pipeline -> reply (merge) -> encoder. A
//! command that is no request to a bucket goes to `commands/dispatch.rs` instead, and its function works on
//! the `state` of the session.

mod commands;
mod encoder;
mod parser;
mod queue;
mod reply;
mod session;
mod state;
mod subscriptions;
#[cfg(test)]
mod tests;

pub(crate) use commands::command_table;
pub(crate) use state::RespState;
