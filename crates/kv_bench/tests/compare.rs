//! The command line of the comparison.

use std::process::Command;

#[test]
fn a_release_that_is_not_built_comes_with_the_command_that_builds_it() {
    let mut compare = Command::new(env!("CARGO_BIN_EXE_kv_bench"));
    compare.args([
        "compare",
        "--operations",
        "get",
        "set",
        "--pipelines",
        "1",
        "16",
        "--ours",
        "/nowhere/foo",
    ]);
    let output = compare.output().expect("it runs");
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).trim(),
        "kv_bench: there is no release at /nowhere/foo; build it with `cargo build --release -p foo`, or name \
         another with --ours"
    );
}
