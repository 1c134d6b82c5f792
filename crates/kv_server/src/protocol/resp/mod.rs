//! Redis's protocol, RESP2 and RESP3. Reference: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! Follow a command through the files in this order: conversation -> parse -> catalog (which command) -> rows -> split
//! (into requests) -> router -> merge -> render. Commands that are no requests to a bucket are answered by `alone`: they
//! are rows of `session_commands`, and each is a function of its name in `commands`, which works on the `session`.

mod alone;
mod catalog;
mod commands;
mod conversation;
mod exec;
mod listing;
mod merge;
mod parse;
mod render;
mod requests;
mod rows;
mod sentence;
mod session;
mod session_commands;
mod split;
#[cfg(test)]
mod tests;
mod topics;
mod transaction;
mod write;

pub(crate) use rows::catalog;
pub(crate) use session::Session;
