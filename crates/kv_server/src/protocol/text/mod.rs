//! The guide's text protocol: one line a request, for people with telnet. Reference: docs/protocol.md.

mod help;
mod lines;
mod parse;
mod quote;
mod render;
mod session;

pub(crate) use session::Session;
