//! `kv_bench`: how fast a server answers, what an answer costs it, and how that compares with others.

mod cpu;
mod error;
mod interrupt;
mod limits;
mod load;
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
        Command::Load(load) => {
            load.check()?;
            if load.fill {
                load::fill(load.address, &load.workload, interrupt)?;
            }
            let report = load::run(&load, interrupt)?;
            if load.json {
                println!("{}", serde_json::to_string_pretty(&report)?)
            } else {
                println!("{report}")
            }
        }
    }
    Ok(())
}
