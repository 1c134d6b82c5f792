//! The checks of this repository: `cargo xtask check` reads and judges, `cargo xtask fix` mends what a machine can mend.

mod instructions;
mod rules;
mod sources;
mod steps;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask check   formatting, clippy, each crate alone, documentation, tidy rules; changes nothing
cargo xtask fix     formats, and applies clippy's own suggestions
cargo xtask tidy    the tidy rules alone, which need no compiler
cargo xtask instructions            counts the instructions of requests, and compares them with what is recorded
cargo xtask instructions --record   records them";

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    let passed = match verb.as_deref() {
        Some("check") => steps::check() & tidy(),
        Some("fix") => steps::fix(),
        Some("tidy") => tidy(),
        Some("instructions") => instructions(),
        _ => {
            println!("{HELP}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn instructions() -> bool {
    let record = std::env::args().nth(2).is_some_and(|flag| flag == "--record");
    instructions::guard(record).unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        false
    })
}

fn tidy() -> bool {
    println!("xtask: tidy rules");
    let violations = match rules::judge() {
        Ok(violations) => violations,
        Err(error) => {
            eprintln!("xtask: cannot read the workspace: {error}");
            return false;
        }
    };
    for violation in &violations {
        eprintln!("{violation}");
    }
    violations.is_empty()
}
