//! What the console understands and prints: one evaluator for `start_iex`, `remote`, `rpc` and `eval`.
//!
//! A line goes through [`parse`] -> [`table`] -> [`value`] -> [`render`].

mod node;
pub(crate) mod parse;
mod render;
pub(crate) mod table;
mod value;

pub(crate) use node::{ControlCommand, Node};
pub(crate) use table::evaluate;
