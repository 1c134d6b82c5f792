//! `kv_bench stall`: how long other clients wait while one client does its worst.

mod attacks;
mod client;
mod pinger;

use crate::{
    compare::{Program, Server},
    error::Error,
    interrupt::Interrupt,
    limits, machine,
};
use attacks::{ATTACKS, Attack};
use clap::Args;
use client::Client;
use pinger::Pingers;
use std::{path::PathBuf, thread, time::Duration};

#[derive(Debug, Clone, Args)]
pub(crate) struct Stall {
    /// Our release
    #[arg(long, default_value = "target/release/foo")]
    ours: PathBuf,
    /// Fail if another client waits longer, in milliseconds
    #[arg(long)]
    limit: Option<u64>,
    /// Only the cases whose names contain this
    #[arg(long)]
    only: Option<String>,
}

/// Measures an idle server, and then a new server for each case.
pub(crate) fn run(stall: &Stall, interrupt: &Interrupt) -> Result<(), Error> {
    let program = Program::Ours(stall.ours.clone());
    if program.version().is_none() {
        return Err(Error::NotBuilt(stall.ours.display().to_string()));
    }
    println!("{}\n", machine::describe());
    println!("{:<28} {:>12}", "case", "worst wait");
    let mut slowest = Duration::ZERO;
    let idle = Attack { name: "idle", prepare: Vec::new, attack: Vec::new };
    let is_chosen = |attack: &&Attack| stall.only.as_ref().is_none_or(|only| attack.name.contains(only));
    for attack in std::iter::once(&idle).chain(ATTACKS.iter().filter(is_chosen)) {
        interrupt.check()?;
        let worst = measure(attack, &program, interrupt)?;
        println!("{:<28} {:>9.2} ms", attack.name, worst.as_secs_f64() * 1e3);
        slowest = slowest.max(worst);
    }
    match stall.limit {
        Some(limit) if slowest > Duration::from_millis(limit) => Err(Error::Stalled { limit }),
        _ => Ok(()),
    }
}

/// The longest wait of another client during one case.
fn measure(attack: &Attack, program: &Program, interrupt: &Interrupt) -> Result<Duration, Error> {
    let server = Server::start(program, interrupt)?;
    let mut attacker = Client::connect(server.address)?;
    attacker.exchange((attack.prepare)())?;
    let pingers = Pingers::start(server.address)?;
    thread::sleep(limits::STALL_MARGIN);
    attacker.exchange((attack.attack)())?;
    thread::sleep(limits::STALL_MARGIN);
    pingers.stop()
}
