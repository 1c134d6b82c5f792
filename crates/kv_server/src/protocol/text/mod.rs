//! The guide's text protocol, for people with telnet: a request is a line. Reference: docs/protocol.md.
//!
//! Read in this order: session -> parse (with quote) -> render.

mod help;
mod parse;
mod quote;
mod render;
mod session;

pub(crate) use session::TextSession;
