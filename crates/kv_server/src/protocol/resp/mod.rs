//! Redis's protocol, RESP2 and RESP3. Reference: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Follow a command through the files in this order: session -> parse -> rows (which command) -> split (into requests)
//! -> router -> merge -> render. Commands that are no requests to a bucket are rows of `session_commands`, and each is
//! a function of its name in `commands`.

mod commands;
mod listing;
mod merge;
mod parse;
mod render;
mod rows;
mod session;
mod session_commands;
mod split;
#[cfg(test)]
mod tests;
mod topics;
mod transaction;
mod write;

pub(crate) use rows::Row;
pub(crate) use session::Session;
