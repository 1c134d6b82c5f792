//! `backup` and `restore` of running nodes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};
use tests::{BAR, FOO, Pair, Release, TempDir, sorted_lines, text, verb};

/// What [`Release::fill`] makes.
const COUNTS: &str = "4 buckets with 4 entries, and 2 strings";

fn file(directory: &TempDir) -> (PathBuf, String) {
    let path = directory.path().join("shop.kvdb");
    let name = path.display().to_string();
    (path, name)
}

#[test]
fn a_backup_is_verified_and_restored_into_an_empty_node() {
    let directory = TempDir::new();
    let (path, file) = file(&directory);
    let one = Release::alone();
    one.fill();
    let output = one.verb(&["backup", &file]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(text(&output.stderr), format!("backed up {COUNTS}, of {FOO}"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");

    let output = verb("foo", &["backup", "--verify", &file]);
    assert!(output.status.success(), "{output:?}");
    let verified = text(&output.stdout);
    assert!(verified.starts_with(&format!("{file}: whole: a backup of {FOO}, made 20")), "{verified}");
    assert!(verified.ends_with(&format!(" UTC: {COUNTS}")), "{verified}");

    let two = Release::alone();
    let output = two.verb(&["restore", &file]);
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout);
    assert!(lines.starts_with("restoring a backup of ") && lines.contains(COUNTS), "{lines}");
    assert!(lines.ends_with(&format!("restored {COUNTS}")), "{lines}");
    assert_eq!(sorted_lines(&two.verb(&["export"])), sorted_lines(&one.verb(&["export"])));

    let again = two.verb(&["restore", &file]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let why = "foo: the node has 6 buckets and strings, and a backup is restored into an empty node";
    assert!(text(&again.stderr).starts_with(why), "{again:?}");
}

#[test]
fn a_backup_that_is_damaged_in_any_place_is_not_restored() {
    let directory = TempDir::new();
    let (path, file) = file(&directory);
    let node = Release::alone();
    node.fill();
    let output = node.verb(&["backup", "-"]);
    assert!(output.status.success(), "{output:?}");
    let backup = output.stdout;
    fs::write(&path, &backup).unwrap();
    let imported = node.verb(&["import", &file]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    assert!(text(&imported.stderr).contains("this is a backup: use `restore`"), "{imported:?}");
    // Nobody empties a node for a file that cannot be restored.
    for file in [&file[..file.len() - 1], concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let refused = node.verb(&["restore", file]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let why = text(&refused.stderr);
        assert!(why.contains(file) && !why.contains("FLUSHALL"), "{why}");
    }
    let other = node.verb(&["import", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert!(text(&other.stderr).contains("this is no export, whose lines begin with {"), "{other:?}");
    let empty = Release::alone();
    let verified = node.verb_with_input(&["backup", "--verify", "-"], &backup);
    assert!(verified.status.success(), "{verified:?}");
    for (bytes, why) in [
        (&backup[..backup.len() - 1], "it is incomplete: it ends at byte "),
        (&[&backup[..100], &[0xff], &backup[101..]].concat(), "it is damaged in the block behind byte "),
        (&[&backup[..5], &[2], &backup[6..]].concat(), "it is damaged in the block behind byte 0"),
        (b"{\"kind\":\"bucket\"}", "it is not a backup or a snapshot of this program"),
    ] {
        fs::write(&path, bytes).unwrap();
        for words in [["backup", "--verify", &file].as_slice(), &["restore", &file]] {
            let output = empty.verb(words);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(text(&output.stderr).starts_with(&format!("foo: {file}: {why}")), "{output:?}");
        }
    }
    assert!(sorted_lines(&empty.verb(&["export"])).is_empty(), "nothing of it was loaded");
}

#[test]
fn a_backup_that_cannot_be_written_leaves_nothing_behind() {
    let mut node = Release::alone();
    let output = node.verb(&["backup", "/nonexistent/shop.kvdb"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("cannot write /nonexistent/shop.kvdb: "), "{output:?}");
    let output = node.verb(&["restore", "/nonexistent/shop.kvdb"]);
    assert!(text(&output.stderr).contains("cannot open /nonexistent/shop.kvdb: "), "{output:?}");
    node.kill();
    let directory = TempDir::new();
    let (_, file) = file(&directory);
    assert_eq!(node.verb(&["backup", &file]).status.code(), Some(69));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_backup_has_the_buckets_of_one_node_and_a_restore_goes_to_their_owners() {
    let directory = TempDir::new();
    let (_, file) = file(&directory);
    let pair = Pair::start();
    pair.foo.fill();
    let output = pair.bar.verb(&["backup", &file]);
    assert!(output.status.success(), "{output:?}");
    let others = format!("the buckets of {FOO} are not included: run `backup` there as well");
    assert!(text(&output.stderr).contains(&others), "{output:?}");
    let verified = verb("foo", &["backup", "--verify", &file]);
    assert!(text(&verified.stdout).contains(&format!("a backup of {BAR}, ")), "{verified:?}");
    let other = Pair::start();
    let output = other.foo.verb(&["restore", &file]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sorted_lines(&other.bar.verb(&["export"])), sorted_lines(&pair.bar.verb(&["export"])));
    assert!(sorted_lines(&other.foo.verb(&["export"])).is_empty());
}

#[test]
fn a_durable_pair_is_backed_up_and_restored_node_by_node() {
    let directory = TempDir::new();
    let files = ["foo.kvdb", "bar.kvdb"].map(|name| directory.path().join(name).display().to_string());
    let exported = |pair: &Pair| [&pair.foo, &pair.bar].map(|node| sorted_lines(&node.verb(&["export"])));
    let restart = |pair: &mut Pair| {
        pair.restart_foo();
        pair.restart_bar();
        pair.wait_until_linked();
        pair.foo.wait_until_loaded();
    };
    let pair = Pair::durable();
    pair.foo.fill();
    for (node, file) in [&pair.foo, &pair.bar].into_iter().zip(&files) {
        let output = node.verb(&["backup", file]);
        assert!(output.status.success(), "{output:?}");
    }
    let all = exported(&pair);
    assert!(all.iter().all(|lines| !lines.is_empty()), "{all:?}");

    // Into the data directories of nodes that do not run, and then into nodes that do.
    for runs in [false, true] {
        let mut other = Pair::durable();
        if !runs {
            other.foo.kill();
            other.bar.kill();
            for node in [FOO, BAR] {
                fs::remove_dir_all(other.data_dir(node)).expect("its data directory");
            }
        }
        for (node, file) in [&other.foo, &other.bar].into_iter().zip(&files) {
            let output = node.verb(&["restore", file]);
            assert!(output.status.success(), "{output:?}");
            let place = if runs { "into the running node" } else { "which no node uses" };
            assert!(text(&output.stdout).contains(place), "{output:?}");
        }
        if runs {
            assert_eq!(exported(&other), all);
            other.foo.kill();
            other.bar.kill();
        }
        restart(&mut other);
        assert_eq!(exported(&other), all);
        assert_eq!(other.foo.client().get("shopping", "milk"), "1");
    }
}

#[test]
fn a_backup_has_durable_and_volatile_buckets() {
    let directory = TempDir::new();
    let (_, file) = file(&directory);
    let one = Release::durable_with(
        "[[routes]]\nbuckets = \"s..\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n\
         [[routes]]\nbuckets = \"..\"\nnodes = [\"foo@127.0.0.1\"]\n",
    );
    one.fill();
    let output = one.verb(&["backup", &file]);
    assert_eq!(text(&output.stderr), format!("backed up {COUNTS}, of {FOO}"), "{output:?}");
    let two = Release::alone();
    let output = two.verb(&["restore", &file]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sorted_lines(&two.verb(&["export"])), sorted_lines(&one.verb(&["export"])));
}

#[test]
fn a_backup_beside_writes_is_of_one_moment() {
    is_of_one_moment(&Release::alone());
    is_of_one_moment(&Release::durable());
}

/// Each transaction adds one to two counters, so that a backup of one moment has them equal.
fn is_of_one_moment(node: &Release) {
    const FIELDS: usize = 30_000;
    let directory = TempDir::new();
    let mut resp = node.resp();
    for start in (0..FIELDS).step_by(1_000) {
        let pairs: String = (start..start + 1_000).map(|number| format!(" {number} value")).collect();
        resp.ask(&format!("HSET large{pairs}"));
    }
    let is_done = AtomicBool::new(false);
    let write = || {
        let mut resp = node.resp();
        let mut round = 0;
        while !is_done.load(Relaxed) {
            for command in ["MULTI", "INCR apples", "HINCRBY pears count 1", "EXEC"] {
                resp.ask(command);
            }
            resp.ask(&format!("HSET large {round} changed"));
            resp.ask(&format!("HDEL large {}", FIELDS / 2 + round));
            round += 1;
        }
        round
    };
    let files: Vec<_> = (0..3).map(|number| directory.path().join(number.to_string())).collect();
    let rounds = thread::scope(|scope| {
        let writer = scope.spawn(write);
        for file in &files {
            let output = node.verb(&["backup", &file.display().to_string()]);
            assert!(output.status.success(), "{output:?}");
        }
        is_done.store(true, Relaxed);
        writer.join().expect("the writer ends")
    });
    let number = |reply: String| reply.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    let restored = Release::alone();
    let mut resp = restored.resp();
    for file in &files {
        let output = restored.verb(&["restore", &file.display().to_string()]);
        assert!(output.status.success(), "{output:?}");
        let apples = resp.ask("GET apples");
        assert_eq!(number(apples), number(resp.ask("HGET pears count")));
        let left: usize = number(resp.ask("HLEN large"));
        assert!((FIELDS - rounds..=FIELDS).contains(&left), "{left}");
        resp.ask("FLUSHALL");
    }
}
