//! `kv_bench stall`: how long other clients wait while one client does its worst.

mod attacks;
mod backup;
mod client;
mod pinger;

use crate::{
    compare::{Program, Server},
    error::Error,
    interrupt::Interrupt,
    limits, machine,
};
use attacks::{ATTACKS, Attack, ON_DURABLE};
use clap::Args;
use client::Client;
use pinger::{Pingers, Waits};
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
    println!("{:<28} {:>12} {:>12}", "case", "worst wait", "99.9 %");
    let mut slowest = Duration::ZERO;
    let idle = Attack { name: "idle", prepare: Vec::new, attack: Vec::new };
    let is_chosen = |attack: &&Attack| stall.only.as_ref().is_none_or(|only| attack.name.contains(only));
    let mut print = |name: &str, Waits { worst, p999 }: Waits| {
        let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
        println!("{name:<28} {:>9.2} ms {:>9.2} ms", ms(worst), ms(p999));
        slowest = slowest.max(worst);
    };
    for attack in std::iter::once(&idle).chain(ATTACKS.iter().filter(is_chosen)) {
        interrupt.check()?;
        print(attack.name, measure(attack, &program, interrupt)?);
    }
    let durable = program.clone().durable();
    for attack in ON_DURABLE.iter().filter(is_chosen) {
        interrupt.check()?;
        print(attack.name, measure(attack, &durable, interrupt)?);
    }
    for (name, program) in [(backup::NAME, &program), (backup::DURABLE, &durable)] {
        if stall.only.as_ref().is_none_or(|only| name.contains(only)) {
            print(name, backup::measure(program, interrupt)?);
        }
    }
    match stall.limit {
        Some(limit) if slowest > Duration::from_millis(limit) => Err(Error::Stalled { limit }),
        _ => Ok(()),
    }
}

/// The waits of other clients during one case.
fn measure(attack: &Attack, program: &Program, interrupt: &Interrupt) -> Result<Waits, Error> {
    let server = Server::start(program, interrupt)?;
    let mut attacker = Client::connect(server.address)?;
    attacker.exchange((attack.prepare)())?;
    let pingers = Pingers::start(server.address)?;
    thread::sleep(limits::STALL_MARGIN);
    attacker.exchange((attack.attack)())?;
    thread::sleep(limits::STALL_MARGIN);
    pingers.stop()
}
