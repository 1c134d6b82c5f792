//! The guide's text protocol: one line a request, for people with telnet. Reference: docs/protocol.md.
//!
//! Read in this order: session -> parse (with quote) -> render.

mod help;
mod parse;
mod quote;
mod render;
mod session;

pub(crate) use session::TextSession;
