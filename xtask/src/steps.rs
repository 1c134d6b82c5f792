//! The checks that cargo itself runs. Every step runs, so that one run shows all failures.

use crate::rules::dependencies::ALLOWED;
use std::process::Command;

/// Formatting, lints, each crate alone, documentation. Changes nothing.
pub(crate) fn check() -> bool {
    let mut passed = cargo(&["fmt", "--all", "--check"]);
    passed &= cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    // Features unify across a workspace, so a crate could lean on a feature that only another one enables.
    for (package, _) in ALLOWED {
        passed &= cargo(&["check", "--quiet", "--locked", "--package", package]);
    }
    passed & documentation()
}

/// Fixes what the tools can fix alone.
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
