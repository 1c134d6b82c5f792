//! What the console understands and answers: one evaluator for `start_iex`, `remote`, `rpc` and `eval`.
//!
//! A line goes through [`grammar`] -> [`evaluate`](mod@evaluate) -> [`render`].

mod evaluate;
pub(crate) mod grammar;
mod node;
mod render;

pub(crate) use evaluate::evaluate;
pub(crate) use node::{ControlCommand, Node};
