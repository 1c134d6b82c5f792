//! `kv_bench load`: many clients in one thread.

mod connection;
mod fill;
mod plan;
mod progress;
mod replies;
mod report;
mod ring;
mod run;
mod schedule;

pub(crate) use fill::{fill, write_all};
pub(crate) use plan::{Plan, require_loopback, seconds};
pub(crate) use report::Report;
pub(crate) use run::run;
