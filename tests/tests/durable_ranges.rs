//! Durable ranges as their clients see them: over a link, while they load, when they have stopped, and when
//! their settings change.

use std::fs;
use tests::{BAR, EndlessLog, FOO, Pair, Release, Settings, resp, text, wait_until};

/// bar has two durable ranges, and foo one.
fn two_ranges() -> Pair {
    let routes = vec![("..m", FOO), ("n..s", BAR), ("t..", BAR)];
    let settings = Settings { durable: true, routes, ..Settings::default() };
    let pair = Pair::with(&settings, &settings);
    pair.wait_until_linked();
    pair
}

/// The entries in the log of a node with one range.
fn entries(node: &Release) -> u64 {
    let output = node.verb(&["rpc", "ranges", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    rows[0]["entries"].as_u64().expect("it is ready")
}

/// Each entry is a sync, for which a client waits: a batch of 64 requests once took one.
#[test]
fn what_a_client_sends_at_once_is_few_entries_of_the_log() {
    const REQUESTS: usize = 10_000;
    let pair = Pair::durable();
    let mut resp = pair.foo.resp();
    wait_until("bar is loaded", || resp.ask("SET pear 1") == "+OK\\r\\n");
    for (node, name) in [(&pair.foo, "apple"), (&pair.bar, "pear")] {
        let check_few = |before: u64, what: &str| {
            let written = entries(node) - before;
            assert!((1..REQUESTS as u64 / 64 / 2).contains(&written), "{what} {name}: {written} entries");
        };
        let before = entries(node);
        let set = |number| resp::command(&["SET", &format!("{name}{number}"), "1"]);
        resp.send((0..REQUESTS).flat_map(set).collect::<Vec<u8>>());
        (0..REQUESTS).for_each(|_| assert_eq!(resp.reply(), b"+OK\r\n"));
        check_few(before, "SET");

        let (before, mut client) = (entries(node), pair.foo.client());
        assert_eq!(client.ask(&format!("CREATE {name}s")), "OK");
        client.send((0..REQUESTS).map(|number| format!("PUT {name}s {number} 1\r\n")).collect::<String>());
        (0..REQUESTS).for_each(|_| assert_eq!(client.line(), "OK"));
        check_few(before, "PUT");

        let before = entries(node);
        let line = |number| format!("{{\"kind\":\"string\",\"name\":\"{name}:{number}\",\"value\":\"1\"}}\n");
        let lines: String = (0..REQUESTS).map(line).collect();
        let output = pair.foo.verb_with_input(&["import", "-"], lines.as_bytes());
        assert_eq!(
            text(&output.stdout),
            "imported 0 buckets with 0 entries, and 10000 strings",
            "{output:?}"
        );
        check_few(before, "import");
    }
}

#[test]
fn a_range_of_another_node_that_loads_or_has_stopped_is_named() {
    let mut pair = two_ranges();
    let (mut resp, mut client) = (pair.foo.resp(), pair.foo.client());
    wait_until("both are loaded", || resp.ask("MSET pear 1 tomato 2") == "+OK\\r\\n");
    pair.bar.kill();
    let endless = EndlessLog::behind(&pair.data_dir(BAR).join("ranges/1-1/log"));
    pair.restart_bar();
    wait_until("the other range serves", || resp.ask("GET tomato") == "$1\\r\\n2\\r\\n");
    let loading = format!("range n..s is loading: 0 % (node {BAR})");
    for command in ["GET pear", "SET pear 2", "DEL pear", "DBSIZE", "KEYS *"] {
        let reply = resp.ask(command);
        assert_eq!(reply, format!("-LOADING {loading}\\r\\n"), "{command}");
    }
    assert_eq!(client.ask("GET pear key"), format!("ERROR {loading}"));
    assert_eq!(resp.ask("SET tomato 3"), "+OK\\r\\n");

    endless.end_damaged();
    let stopped = format!("range n..s has stopped: {} is damaged ", endless.path().display());
    wait_until("the range has stopped", || !resp.ask("GET pear").starts_with("-LOADING"));
    for command in ["GET pear", "SET pear 2", "DBSIZE"] {
        let reply = resp.ask(command);
        assert!(reply.starts_with(&format!("-CLUSTERDOWN {stopped}")), "{command}: {reply}");
        let range = pair.data_dir(BAR).join("ranges/1-1");
        let way_out =
            format!("or {} elsewhere, to start without these buckets (node {BAR})\\r\\n", range.display());
        assert!(reply.ends_with(&way_out), "{reply}");
    }
    assert!(client.ask("GET pear key").starts_with(&format!("ERROR {stopped}")));
    assert_eq!(resp.ask("GET tomato"), "$1\\r\\n3\\r\\n");
    pair.bar.wait_for_log(&["ERROR", "the range has stopped", "n..s"]);

    pair.bar.kill();
    fs::remove_file(endless.path()).expect("our own");
    pair.restart_bar();
    wait_until("the range is loaded again", || resp.ask("GET pear") == "$1\\r\\n1\\r\\n");
}

#[test]
fn a_command_on_several_ranges_of_another_node_names_them() {
    let pair = two_ranges();
    let mut resp = pair.foo.resp();
    wait_until("both are loaded", || resp.ask("MSET pear 1 tomato 2") == "+OK\\r\\n");
    let several = "these buckets are in different ranges, n..s and t..; ";
    for command in ["RENAME pear tomato", "COPY pear tomato"] {
        let reply = resp.ask(command);
        assert!(reply.starts_with(&format!("-CROSSSLOT {several}")), "{command}: {reply}");
    }
    for (command, reply) in
        [("MULTI", "+OK"), ("INCR pear", "+QUEUED"), ("INCR tomato", "+QUEUED"), ("EXEC", "-CROSSSLOT ")]
    {
        let found = resp.ask(command);
        assert!(found.starts_with(reply), "{command}: {found}");
    }
    assert_eq!(resp.ask("MGET pear tomato"), "*2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n");
}

#[test]
fn a_link_that_is_lost_ends_the_watches_that_came_over_it() {
    let pair = Pair::durable();
    let mut resp = pair.foo.resp();
    wait_until("bar is loaded", || resp.ask("SET pear 1") == "+OK\\r\\n");
    assert_eq!(resp.ask("WATCH pear"), "+OK\\r\\n");
    pair.cut();
    pair.wait_until_unlinked();
    pair.restore();
    pair.wait_until_linked();
    for (command, reply) in [
        ("MULTI", "+OK\\r\\n"),
        ("SET pear 2", "+QUEUED\\r\\n"),
        ("EXEC", "*-1\\r\\n"),
        ("WATCH pear", "+OK\\r\\n"),
        ("MULTI", "+OK\\r\\n"),
        ("INCR pear", "+QUEUED\\r\\n"),
        ("EXEC", "*1\\r\\n:2\\r\\n"),
    ] {
        assert_eq!(resp.ask(command), reply, "{command}");
    }
}

#[test]
fn limits_of_durable_ranges_change_while_the_node_runs() {
    let node = Release::durable();
    let mut resp = node.resp();
    assert_eq!(resp.ask("SET a 1"), "+OK\\r\\n");
    node.reload("[storage]\nmax_memory = \"1\"\nmax_transaction_entries = 2\n");
    wait_until("there is no memory", || resp.ask("SET b 1").starts_with("-OOM "));
    assert_eq!(resp.ask("GET a"), "$1\\r\\n1\\r\\n");
    node.reload("[storage]\nmax_transaction_entries = 2\n");
    wait_until("there is memory", || resp.ask("SET b 1") == "+OK\\r\\n");
    let mut transaction = || {
        assert_eq!(resp.ask("MULTI"), "+OK\\r\\n");
        (0..3).for_each(|_| assert_eq!(resp.ask("INCR a"), "+QUEUED\\r\\n"));
        resp.ask("EXEC")
    };
    let refused = transaction();
    assert!(refused.starts_with("-ERR ") && refused.contains("max_transaction_entries"), "{refused}");
    node.reload("");
    wait_until("the transaction fits", || transaction() == "*3\\r\\n:2\\r\\n:3\\r\\n:4\\r\\n");
}
