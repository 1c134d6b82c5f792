//! How a node starts and stops.

use std::sync::Arc;
use tests::{Pair, Release, Signal, TempDir};

#[test]
fn signals_drain_and_stop_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = Release::alone();
        let mut client = node.client();
        assert_eq!(client.ask("CREATE shopping"), "OK");
        node.signal(signal);
        assert_eq!(client.read_until_closed(), b"");
        let status = node.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}: {status}\n{}", node.log());
    }
}

#[test]
fn a_node_that_was_stopped_can_be_started_at_once() {
    let mut node = Release::durable();
    let mut client = node.resp();
    client.command(&["SET", "large", &"x".repeat(16 << 20)]);
    assert_eq!(client.reply(), b"+OK\r\n");
    for _ in 0..3 {
        let output = node.verb(&["stop"]);
        assert!(output.status.success() && !node.still_runs(), "{output:?}");
        node.restart();
        node.wait_until_loaded();
    }
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let mut node = Release::alone();
    for signal in [Signal::USR1, Signal::USR2, Signal::HUP] {
        node.signal(signal);
    }
    node.wait_for_log(&["configuration reloaded"]);
    node.client().assert_in_sync();
    assert!(node.still_runs());
}

#[test]
fn idle_clients_do_not_delay_the_shutdown() {
    let mut node = Release::alone();
    let mut silent = node.client();
    let mut subscribed = node.client();
    assert_eq!(subscribed.ask("CREATE shopping"), "OK");
    assert_eq!(subscribed.ask("SUBSCRIBE shopping"), "OK");
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(0));
    let log = node.log();
    assert!(log.contains("drained") && !log.contains("in time") && !log.contains("deadline"), "{log}");
    silent.read_until_closed();
}

#[test]
fn a_linked_pair_stops_cleanly() {
    let mut pair = Pair::start();
    pair.bar.signal(Signal::TERM);
    assert_eq!(pair.bar.wait().code(), Some(0));
    pair.wait_until_unlinked();
    pair.foo.signal(Signal::TERM);
    assert_eq!(pair.foo.wait().code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let first = Release::alone();
    let taken = first.clients().to_string();
    let directory = Arc::new(TempDir::new());
    let run_dir = directory.path().display().to_string();
    let mut second = Release::spawn("foo", &directory, &["--clients", &taken, "--run-dir", &run_dir]);
    assert_eq!(second.wait().code(), Some(69));
    let log = second.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(&taken)).collect();
    assert_eq!(errors.len(), 1, "{log}");
    assert!(errors[0].contains("in use"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_log_is_json_when_asked() {
    let directory = Arc::new(TempDir::new());
    let run_dir = directory.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--log-format", "json"];
    let mut node = Release::start("foo", &directory, &flags);
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
    let directory = Arc::new(TempDir::new());
    let run_dir = directory.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir];
    let first = Release::start("foo", &directory, &flags);
    let output = first.verb(&["start"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("foo@127.0.0.1") && error.contains("already"), "{error}");
    first.client().assert_in_sync();
}

#[test]
fn a_killed_node_leaves_nothing_that_prevents_the_next_start() {
    let mut node = Release::alone();
    node.kill_and_restart();
    node.client().assert_in_sync();
    node.rpc("nodes");
}
