//! `kv_bench compare`: our release and the installed peers, interleaved, on the same core.

mod memory;
mod options;
mod peer;
mod round;
mod server;
mod table;

pub(crate) use options::Compare;

use crate::{cpu, error::Error, interrupt::Interrupt, limits, machine};

/// Runs the comparison. Every process that it starts ends with it.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    compare.check()?;
    cpu::pin(limits::LOAD_CORE)?;
    println!("{}\n", machine::describe());
    if compare.memory { memory::run(compare, interrupt) } else { round::run(compare, interrupt) }
}
