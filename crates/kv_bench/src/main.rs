//! `kv_bench`: throughput, latency and CPU time per request of a server, and comparisons with other servers.

mod busy;
mod compare;
mod cpu;
mod echo;
mod error;
mod etcd;
mod interrupt;
mod limits;
mod load;
mod machine;
mod replicas;
mod stall;
mod workload;

use clap::{Parser, Subcommand};
use error::Error;
use interrupt::Interrupt;
use std::process::ExitCode;

/// Measures key-value servers on this machine
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load one server and report throughput, latency and CPU time per request
    Load {
        #[command(flatten)]
        plan: load::Plan,
        /// Do not write every key once before the measurement, which ends at a read of a missing key
        #[arg(long)]
        skip_fill: bool,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Reply to batches of one size with prepared replies: the limit of this machine
    Echo(echo::Echo),
    /// Start our release and its peers and print how they compare
    Compare(compare::Compare),
    /// Start three nodes of our release with copies of all keys, and of etcd, and print how they compare
    Replicas(replicas::Replicas),
    /// Measure how long other clients wait while one client does its worst
    Stall(stall::Stall),
    /// Keep a core busy beside a measurement, until the parent process ends
    Busy {
        /// Work and sleep in turn
        #[arg(long)]
        sleeps: bool,
    },
}

fn main() -> ExitCode {
    match Interrupt::install().and_then(|interrupt| execute(Cli::parse().command, &interrupt)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, interrupt: &Interrupt) -> Result<(), Error> {
    match command {
        Command::Load { plan, skip_fill, json } => measure(&plan, !skip_fill, json, interrupt),
        Command::Echo(options) => echo::serve(&options, interrupt),
        Command::Compare(options) => compare::run(&options, interrupt),
        Command::Replicas(options) => replicas::run(&options, interrupt),
        Command::Stall(options) => stall::run(&options, interrupt),
        Command::Busy { sleeps } => {
            busy::run(sleeps, interrupt);
            Ok(())
        }
    }
}

fn measure(plan: &load::Plan, fill: bool, json: bool, interrupt: &Interrupt) -> Result<(), Error> {
    plan.check()?;
    if fill {
        load::fill(plan.address, &plan.workload, interrupt)?;
    }
    let report = load::run(plan, interrupt)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        println!("{report}")
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_valid() {
        Cli::command().debug_assert();
    }
}
