//! `kv_bench compare`: our release and the installed peers, interleaved, on the same core or unpinned.

mod benchmark;

mod memory;
mod neighbours;
mod options;
mod peer;
mod round;
mod server;
mod table;
mod unpinned;

pub(crate) use options::Compare;
pub(crate) use peer::{Program, version_of};
pub(crate) use round::interleaved_order;
pub(crate) use server::Server;
pub(crate) use table::{cell, median, with_thousands};

use crate::{cpu, error::Error, interrupt::Interrupt, limits, machine};

/// Runs the comparison. Every process that it starts ends with it.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    compare.check()?;
    let ours = Program::Ours(compare.ours.clone());
    if ours.version().is_none() {
        return Err(Error::NotBuilt(compare.ours.display().to_string()));
    }
    println!("{}\n", machine::describe());
    if compare.unpinned || compare.neighbours {
        return unpinned::run(compare, interrupt);
    }
    cpu::pin(limits::LOAD_CORE)?;
    if compare.memory { memory::run(compare, interrupt) } else { round::run(compare, interrupt) }
}
