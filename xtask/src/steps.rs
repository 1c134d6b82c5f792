//! What cargo itself can check. Every step runs, so that one look shows all that is wrong.

use crate::rules::dependencies::ALLOWED;
use std::process::Command;

/// Formatting, lints, each crate alone, documentation. Changes nothing.
pub(crate) fn check() -> bool {
    let mut passed = cargo(&["fmt", "--all", "--check"]);
    passed &= cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    // In a workspace features unify, so a crate can lean on what only its neighbour asked for.
    for (package, _) in ALLOWED {
        passed &= cargo(&["check", "--quiet", "--locked", "--package", package]);
    }
    passed & documentation()
}

/// Mends what the tools can mend alone.
pub(crate) fn fix() -> bool {
    let lints =
        ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"].as_slice();
    cargo(lints) & cargo(&["fmt", "--all"])
}

fn documentation() -> bool {
    let mut command = Command::new("cargo");
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    run(&mut command)
}

fn cargo(arguments: &[&str]) -> bool {
    run(Command::new("cargo").args(arguments))
}

fn run(command: &mut Command) -> bool {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    println!("xtask: cargo {}", arguments.join(" "));
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: cannot start cargo: {error}");
            false
        }
    }
}
