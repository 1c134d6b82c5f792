//! The console: one evaluator for `start_iex`, `remote`, `rpc` and `eval`.
//!
//! A line goes through [`grammar`] -> [`evaluate`](mod@evaluate) -> [`render`].

mod complete;
mod evaluate;
mod grammar;
mod node;
mod render;
mod script;
mod terminal;

pub(crate) use evaluate::evaluate;
pub(crate) use node::{Node, Order};
pub(crate) use script::{eval, rpc};
pub(crate) use terminal::{KeepTerminal, converse};
