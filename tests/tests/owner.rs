//! What root does in the data directory of another user: nothing that this user may not do. A node does not
//! start there.

use rustix::process::geteuid;
use std::{
    fs::{self, Permissions},
    io::{Write, stderr},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
    process::Output,
};
use tests::{Release, TempDir, copy_directory, text, verb};

/// Data of a range. A test of kv_raft writes them.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/crash");
/// An entry of its log.
const ENTRY: &str = "3";
/// Nobody.
const OTHER: u32 = 65_534;
const SECRET: &str = "root's alone";

/// A directory that others may enter, with a file of root; `None` for others than root.
fn directory() -> Option<(TempDir, PathBuf)> {
    if !geteuid().is_root() {
        // Not a print, which the test harness would hide.
        let _ = writeln!(stderr(), "SKIPPED: only root can work for other users");
        return None;
    }
    let directory = TempDir::new();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o711)).expect("ours");
    let secret = directory.write("secret", SECRET);
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("ours");
    Some((directory, secret))
}

/// All files and directories in a directory, and itself.
fn all_in(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut place) = (vec![directory.to_owned()], 0);
    while let Some(path) = found.get(place).cloned() {
        if fs::symlink_metadata(&path).expect("there").is_dir() {
            found.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()));
        }
        place += 1;
    }
    found
}

fn give_away(directory: &Path) {
    for path in all_in(directory) {
        lchown(path, Some(OTHER), Some(OTHER)).expect("root may");
    }
}

fn check_given(directory: &Path) {
    for path in all_in(directory) {
        let metadata = fs::symlink_metadata(&path).expect("there");
        assert_eq!((metadata.uid(), metadata.gid()), (OTHER, OTHER), "{}", path.display());
    }
}

fn skip(data_dir: &Path) -> Output {
    verb("foo", &["range", "skip", "..", ENTRY, "--yes", "--data-dir", &data_dir.display().to_string()])
}

#[test]
fn range_skip_by_root_touches_nothing_behind_a_link_of_the_owner() {
    let Some((directory, secret)) = directory() else { return };
    let data_dir = directory.path().join("data");
    let log = "ranges/1-1/log/r-00_000_000_000_000_000_000.wal";
    for link in ["lock", "ranges/1-1/log/LOCK", "ranges/1-1/skipped.part", log] {
        copy_directory(Path::new(DATA), &data_dir);
        let place = data_dir.join(link);
        let _ = fs::remove_file(&place);
        symlink(&secret, &place).expect("a link");
        give_away(&data_dir);
        let output = skip(&data_dir);
        assert_eq!(output.status.code(), Some(1), "{link}: {output:?}");
        assert!(text(&output.stderr).contains("Permission denied"), "{link}: {output:?}");
        assert_eq!(fs::read_to_string(&secret).expect("ours"), SECRET, "{link}");
        check_given(&data_dir);
        fs::remove_dir_all(&data_dir).expect("ours");
    }
    copy_directory(Path::new(DATA), &data_dir);
    give_away(&data_dir);
    let output = skip(&data_dir);
    assert!(output.status.success(), "{output:?}");
    assert!(data_dir.join("ranges/1-1/skipped").is_file());
    check_given(&data_dir);
}

#[test]
fn a_node_does_not_start_as_root_in_the_data_directory_of_another_user() {
    let Some((directory, secret)) = directory() else { return };
    let [data_dir, run_dir] = ["data", "run"].map(|name| directory.path().join(name));
    fs::create_dir(&data_dir).expect("ours");
    symlink(&secret, data_dir.join("lock")).expect("a link");
    give_away(&data_dir);
    let [data_dir_text, run_dir] = [&data_dir, &run_dir].map(|path| path.display().to_string());
    let flags = ["--data-dir", &data_dir_text, "--run-dir", &run_dir, "--clients", "127.0.0.1:0"];
    let started = verb("foo", &[&["daemon"], &flags[..]].concat());
    if started.status.success() {
        verb("foo", &["stop", "--run-dir", &run_dir]);
    }
    assert_eq!(started.status.code(), Some(78), "{started:?}");
    let why = text(&started.stderr);
    assert!(why.contains(&format!("{data_dir_text} belongs to ")), "{why}");
    assert!(why.contains("and this is root; start the node as that user (sudo -u "), "{why}");
    assert_eq!(fs::read_to_string(&secret).expect("ours"), SECRET);
    assert_eq!(all_in(&data_dir).len(), 2, "nothing was made");
    check_given(&data_dir);
    // Of its own it may be.
    for path in all_in(&data_dir) {
        lchown(path, Some(0), Some(0)).expect("root may");
    }
    fs::remove_file(data_dir.join("lock")).expect("ours");
    let started = verb("foo", &[&["daemon"], &flags[..]].concat());
    assert!(started.status.success(), "{started:?}");
    assert!(verb("foo", &["stop", "--run-dir", &run_dir]).status.success());
}

#[test]
fn what_root_restores_belongs_to_the_owner_of_the_data_directory_or_of_the_one_above() {
    let Some((directory, secret)) = directory() else { return };
    // The owner may not read it.
    let file = directory.path().join("shop.kvdb");
    let node = Release::alone();
    node.fill();
    assert!(node.verb(&["backup", &file.display().to_string()]).status.success());
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o077, 0);
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("ours");
    give_away(&home);
    let restore = |data_dir: &Path| {
        let [file, data_dir] = [file.as_path(), data_dir].map(|path| path.display().to_string());
        verb("foo", &["restore", &file, "--data-dir", &data_dir])
    };
    for data_dir in [home.join("new/data"), home.clone()] {
        let output = restore(&data_dir);
        assert!(output.status.success(), "{output:?}");
        assert!(data_dir.join("ranges/1-1/replica").is_file());
        check_given(&home);
    }
    for link in ["lock", "node.part"] {
        fs::remove_dir_all(&home).expect("ours");
        fs::create_dir(&home).expect("ours");
        symlink(&secret, home.join(link)).expect("a link");
        give_away(&home);
        let output = restore(&home);
        assert_eq!(output.status.code(), Some(1), "{link}: {output:?}");
        assert_eq!(fs::read_to_string(&secret).expect("ours"), SECRET, "{link}");
        check_given(&home);
    }
}
