//! The guide's text protocol, for people with telnet: a request is a line. Reference: docs/protocol.md.
//!
//! Read in this order: session -> parse (with quote and telnet) -> render. A command of Redis among the lines
//! is answered by `redis`.

mod help;
mod parse;
mod quote;
mod redis;
mod redis_lines;
mod render;
mod session;
mod telnet;

pub(crate) use session::TextSession;
