//! The life of a node as a process: boot, banner, running, drain, exit code.

mod banner;
pub(crate) mod boot;
mod descriptors;
mod drain;
mod join;
mod numbers;
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod runtime;
mod signals;
