//! Builds the releases once per test binary, with the profile and target directory of the tests themselves,
//! releases with faults, which tests must find, and the version before this one.

use std::{
    env,
    fs::{self, Permissions},
    io::{Write, stderr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// The built release: `.../target/debug/foo`.
pub fn binary(release: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(release)
}

/// A foo with a fault that tests must find: a value of `kv_fault`. It is built in a target directory of its
/// own, where nobody takes it for a sound one. Only crates of the workspace are compiled for each fault.
pub(crate) fn faulty_foo(fault: &str) -> PathBuf {
    let target = faulty_target();
    let mut cargo = with_fault("build", fault, &target);
    assert!(cargo.args(["--package", "foo"]).status().expect("cargo starts").success(), "foo builds");
    let program = target.join(format!("foo-{fault}"));
    fs::copy(target.join("debug/foo"), &program).expect("the program can be copied");
    program
}

/// Runs a unit test of kv_raft in a build with a fault.
pub fn faulty_unit_test(fault: &str, test: &str) -> Output {
    let mut cargo = with_fault("test", fault, &faulty_target());
    cargo.args(["--package", "kv_raft", "--lib", "--", "--exact", test]).output().expect("cargo starts")
}

fn faulty_target() -> PathBuf {
    profile_directory().parent().expect("it is below the target directory").join("faulty")
}

/// Has cargo compile this fault into the crates of the workspace.
fn with_fault(verb: &str, fault: &str, target: &Path) -> Command {
    fs::create_dir_all(target).expect("the target directory is writable");
    let wrapper = target.join(format!("rustc-{fault}"));
    let script = format!("#!/bin/sh\nexec \"$@\" --cfg 'kv_fault=\"{fault}\"'\n");
    // A wrapper that has changed would have everything compiled again.
    if !fs::read(&wrapper).is_ok_and(|there| there == script.as_bytes()) {
        fs::write(&wrapper, script).expect("the target directory is writable");
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).expect("our own file");
    }
    let mut cargo = cargo(verb, target);
    // Each is compiled once, and nobody debugs it.
    cargo.envs([("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "false")]);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    cargo
}

/// The foo of the version before this one, of the commit that `tests/previous_version` names; prints a note
/// if there is no history to take it from.
///
/// # Panics
/// In that case when `CI` is set, where nothing may be skipped.
pub(crate) fn previous_foo() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build_previous).clone()
}

fn build_previous() -> Option<PathBuf> {
    let commit = include_str!("../previous_version").trim();
    let directory = profile_directory().parent().expect("it is below the target directory").join("previous");
    let source = directory.join(commit);
    if !source.exists() && !extract(commit, &source) {
        assert!(env::var_os("CI").is_none(), "commit {commit} is missing: fetch the whole history");
        // Not a print, which the test harness would hide.
        let _ = writeln!(stderr(), "SKIPPED: there is no commit {commit} to build the version before from");
        return None;
    }
    let target = directory.join("target");
    let mut cargo = cargo("build", &target);
    cargo.args(["--package", "foo"]).current_dir(source);
    assert!(cargo.status().expect("cargo starts").success(), "the version before builds");
    Some(target.join("debug/foo"))
}

/// Writes the files of a commit into a directory. Returns whether there is such a commit.
fn extract(commit: &str, to: &Path) -> bool {
    let part = to.with_extension("part");
    fs::create_dir_all(&part).expect("the target directory is writable");
    let mut git = Command::new("git");
    git.args(["archive", commit]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let Ok(mut git) = git.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else { return false };
    let archive = git.stdout.take().expect("it is piped");
    let unpacked = Command::new("tar").arg("-x").current_dir(&part).stdin(archive).output();
    let is_there = git.wait().expect("our own child").success();
    if is_there {
        assert!(unpacked.expect("tar starts").status.success(), "the archive is unpacked");
        fs::rename(part, to).expect("the target directory is writable");
    }
    is_there
}

fn build() -> PathBuf {
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(named) => named,
    };
    let mut cargo = cargo("build", directory.parent().expect("it is below the target directory"));
    cargo.args(["--package", "foo", "--package", "bar", "--package", "kv_bench", "--profile", profile]);
    assert!(cargo.status().expect("cargo starts").success(), "the programs build");
    directory
}

/// Where the programs are that were built with the tests: tests run as `<target>/<profile>/deps/<name>`.
fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let directory = test.parent().and_then(Path::parent);
    directory.expect("tests are built below a target directory").to_owned()
}

fn cargo(verb: &str, target: &Path) -> Command {
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args([verb, "--quiet", "--target-dir"]).arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}
