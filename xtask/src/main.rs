//! The checks of this repository: `cargo xtask check` runs them, `cargo xtask fix` fixes what it can.

mod instructions;
mod rules;
mod sources;
mod steps;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask check   formatting, clippy, each crate alone, documentation, tidy rules; changes nothing
cargo xtask fix     formats, and applies clippy's own suggestions
cargo xtask tidy [RULE]             the tidy rules alone, or one of them; needs no compiler
cargo xtask instructions            counts the instructions of requests, and compares them with the record
cargo xtask instructions --record   records them";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let passed = match arguments[..] {
        ["check"] => steps::check() & tidy(None),
        ["fix"] => steps::fix(),
        ["tidy"] => tidy(None),
        ["tidy", rule] => tidy(Some(rule)),
        ["instructions"] => instructions(false),
        ["instructions", "--record"] => instructions(true),
        _ => {
            println!("{HELP}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn instructions(record: bool) -> bool {
    instructions::guard(record).unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        false
    })
}

/// Prints the violations of one rule, or of all.
fn tidy(rule: Option<&str>) -> bool {
    println!("xtask: tidy rules");
    let violations = match rules::check(rule) {
        Ok(violations) => violations,
        Err(error) => {
            eprintln!("xtask: {error}");
            return false;
        }
    };
    for violation in &violations {
        eprintln!("{violation}");
    }
    violations.is_empty()
}
