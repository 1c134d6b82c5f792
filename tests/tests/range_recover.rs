//! What is done, while a node does not run, when a row with copies cannot heal itself.

use std::{fs, path::PathBuf};
use tests::{Trio, text, wait_until};

/// Runs a verb on the range of a node that does not run. Returns what it printed.
fn range(trio: &Trio, node: usize, words: &[&str]) -> String {
    let output = trio.verb(node, &[&["range"], words].concat());
    assert!(output.status.success(), "{words:?}: {output:?}");
    text(&output.stdout).to_owned()
}

fn write_all(trio: &Trio, count: u64) {
    let mut client = trio.node(0).resp();
    for number in 0..count {
        assert_eq!(client.ask(&format!("HSET numbers n{number} {number}")), ":1\\r\\n");
    }
    assert_eq!(client.ask("SET expiring 1 EX 10000"), "+OK\\r\\n");
    trio.wait_until_caught_up();
}

fn check_all(trio: &Trio, node: usize, count: u64) {
    let mut client = trio.node(node).resp();
    wait_until("it is served", || client.ask("HLEN numbers") == format!(":{count}\\r\\n"));
    for number in 0..count {
        let expected = format!("${}\\r\\n{number}\\r\\n", number.to_string().len());
        assert_eq!(client.ask(&format!("HGET numbers n{number}")), expected);
    }
    assert!(client.ask("TTL expiring").starts_with(":99"));
}

#[test]
fn a_replica_that_is_left_alone_serves_again_and_others_that_come_empty_join_it() {
    let mut trio = Trio::start();
    write_all(&trio, 50);
    for lost in [0, 1] {
        trio.kill(lost);
        fs::remove_dir_all(trio.data_dir(lost)).expect("removed");
    }
    let refused = trio.verb(2, &["range", "recover", "..", "--unsafe-from-this-replica", "--yes"]);
    assert!(text(&refused.stderr).contains("is in use by another process"), "{refused:?}");
    trio.kill(2);
    for replicated in ["..", "meta"] {
        let without_flag = trio.verb(2, &["range", "recover", replicated, "--yes"]);
        assert!(text(&without_flag.stderr).contains("--unsafe-from-this-replica"), "{without_flag:?}");
        let done = range(&trio, 2, &["recover", replicated, "--unsafe-from-this-replica", "--yes"]);
        assert!(done.contains(&format!("This replica of {replicated} has the log up to entry ")), "{done}");
        assert!(done.contains("What was there is kept in ") && done.contains("/replaced/"), "{done}");
    }
    trio.open(2);
    check_all(&trio, 2, 50);
    let mut client = trio.node(2).resp();
    assert_eq!(client.ask("HSET numbers n50 50"), ":1\\r\\n");
    trio.open(0);
    trio.open(1);
    trio.wait_until_served();
    let are_back = |ranges: &str| ranges.matches("(has all)").count() == 4;
    wait_until("the others are copies again", || {
        [0, 1, 2].iter().any(|node| are_back(&trio.node(*node).rpc("ranges")))
    });
    trio.wait_until_caught_up();
    trio.kill(2);
    check_all(&trio, 0, 51);
}

#[test]
fn a_damaged_replica_is_rebuilt_from_the_others() {
    let mut trio = Trio::start();
    write_all(&trio, 50);
    trio.kill(1);
    let replica = |trio: &Trio| -> PathBuf {
        let ranges = fs::read_dir(trio.data_dir(1).join("ranges")).expect("a directory");
        let mut replicas: Vec<_> = ranges.map(|entry| entry.expect("read").path()).collect();
        replicas.sort();
        let of_row = |path: &PathBuf| {
            String::from_utf8_lossy(&fs::read(path.join("replica")).expect("read")).contains("..")
        };
        replicas.into_iter().find(of_row).expect("one of ..")
    };
    let before = replica(&trio);
    fs::remove_dir_all(before.join("log")).expect("removed");
    trio.open(1);
    wait_until("the damage is seen", || trio.node(1).rpc("ranges").contains("stopped"));
    trio.kill(1);
    let done = range(&trio, 1, &["rebuild", ".."]);
    assert!(done.contains("the node: it gets the range from the others"), "{done}");
    assert!(trio.data_dir(1).join("replaced").join(before.file_name().expect("a name")).is_dir());
    trio.open(1);
    trio.wait_until_served();
    trio.wait_until_caught_up();
    assert_ne!(replica(&trio), before);
    trio.kill(0);
    check_all(&trio, 1, 50);
}

#[test]
fn a_range_without_other_replicas_is_neither_recovered_nor_rebuilt() {
    let trio = Trio::start();
    for words in
        [&["range", "rebuild", "a..m"][..], &["range", "recover", "a..m", "--unsafe-from-this-replica"]]
    {
        let refused = trio.verb(0, words);
        let expected = "range a..m has one replica, by [[routes]]";
        assert!(!refused.status.success() && text(&refused.stderr).contains(expected), "{refused:?}");
    }
}
