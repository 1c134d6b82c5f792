//! How a node begins and ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{Folder, Pair, Release, Signal};

#[test]
fn signals_drain_and_end_it_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = Release::alone();
        let mut client = node.client();
        assert_eq!(client.ask("CREATE shopping"), "OK");
        node.signal(signal);
        assert_eq!(client.until_closed(), b"");
        let status = node.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}: {status}\n{}", node.log());
    }
}

#[test]
fn clients_that_say_nothing_do_not_hold_up_the_end() {
    let mut node = Release::alone();
    let mut silent = node.client();
    let mut subscribed = node.client();
    assert_eq!(subscribed.ask("CREATE shopping"), "OK");
    assert_eq!(subscribed.ask("SUBSCRIBE shopping"), "OK");
    let start = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}\n{}", start.elapsed(), node.log());
    silent.until_closed();
}

#[test]
fn a_pair_ends_well_while_linked() {
    let mut pair = Pair::start();
    pair.bar.signal(Signal::TERM);
    assert_eq!(pair.bar.wait().code(), Some(0));
    pair.wait_until_parted();
    pair.foo.signal(Signal::TERM);
    assert_eq!(pair.foo.wait().code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let first = Release::alone();
    let taken = first.clients().to_string();
    let folder = Arc::new(Folder::new());
    let run_dir = folder.path().display().to_string();
    let mut second = Release::spawn("foo", &folder, &["--clients", &taken, "--run-dir", &run_dir]);
    assert_eq!(second.wait().code(), Some(69));
    let log = second.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(&taken)).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(errors[0].contains("in use"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_log_is_json_when_asked() {
    let folder = Arc::new(Folder::new());
    let run_dir = folder.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--log-format", "json"];
    let mut node = Release::start("foo", &folder, &flags);
    assert_eq!(node.client().ask("CREATE shopping"), "OK");
    node.rpc("crash shopping");
    node.signal(Signal::TERM);
    node.wait();
    let log = node.log();
    let events = log.lines().filter(|line| line.starts_with('{'));
    let events: Vec<serde_json::Value> =
        events.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(events.iter().any(|event| event["bucket"] == "shopping" && event["level"] == "ERROR"), "{log}");
}

#[test]
fn the_same_node_does_not_start_twice() {
    let folder = Arc::new(Folder::new());
    let run_dir = folder.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir];
    let first = Release::start("foo", &folder, &flags);
    let output = first.verb(&["start"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("foo@127.0.0.1") && said.contains("already"), "{said}");
    first.client().in_step();
}

#[test]
fn a_killed_node_leaves_nothing_that_hinders_the_next() {
    let mut node = Release::alone();
    node.kill_and_start();
    node.client().in_step();
    node.rpc("nodes");
}
