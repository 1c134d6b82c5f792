//! Builds the releases once per test binary, with the profile and target directory of the tests themselves.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The built release: `.../target/debug/foo`.
pub(crate) fn binary(release: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(release)
}

fn build() -> PathBuf {
    // Tests run as `<target>/<profile>/deps/<name>`.
    let test = env::current_exe().expect("a running test has a path");
    let directory = test.parent().and_then(Path::parent).expect("tests are built below a target directory");
    let target = directory.parent().expect("a profile's directory is below the target directory");
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(named) => named,
    };
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "foo",
            "--package",
            "bar",
            "--package",
            "kv_bench",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.expect("cargo starts").success(), "the programs build");
    directory.to_owned()
}
