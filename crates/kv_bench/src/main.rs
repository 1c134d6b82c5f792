//! `kv_bench`: how fast a server answers, what an answer costs it, and how that compares with others.

mod compare;
mod cpu;
mod echo;
mod error;
mod interrupt;
mod limits;
mod load;
mod machine;
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
    Load(load::Load),
    /// Answer batches of one size with canned replies: the limit of this machine
    Echo(echo::Echo),
    /// Start our release and its peers in turns and print how they compare
    Compare(compare::Compare),
}

fn main() -> ExitCode {
    match Interrupt::listen().and_then(|interrupt| execute(Cli::parse().command, &interrupt)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, interrupt: &Interrupt) -> Result<(), Error> {
    match command {
        Command::Load(options) => load(&options, interrupt),
        Command::Echo(options) => echo::serve(&options, interrupt),
        Command::Compare(options) => compare::run(&options, interrupt),
    }
}

fn load(options: &load::Load, interrupt: &Interrupt) -> Result<(), Error> {
    options.check()?;
    if options.fill {
        load::fill(options.address, &options.workload, interrupt)?;
    }
    let report = load::run(options, interrupt)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        println!("{report}")
    }
    Ok(())
}
