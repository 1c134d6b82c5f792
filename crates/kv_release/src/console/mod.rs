//! The console: parses, evaluates and prints expressions, for `start_iex`, `remote`, `rpc` and `eval` alike.
//!
//! A line goes through [`parse`] -> [`table`] -> [`value`] -> [`render`].

mod file;
mod names;
mod node;
mod nodes;
pub(crate) mod parse;
mod ranges;
mod render;
pub(crate) mod table;
mod value;

pub(crate) use node::{ConfiguredNode, ControlCommand, Node};
pub(crate) use nodes::difference;
pub(crate) use table::evaluate;
