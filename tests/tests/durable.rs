//! Durable nodes as whole releases: whatever kills them, what they have acknowledged is there again.

use std::{fs, os::unix::fs::MetadataExt};
use tests::{Client, Pair, Release, TempDir, resp, text, verb};

#[test]
fn whatever_was_acknowledged_is_there_after_a_kill() {
    let mut node = Release::durable();
    let (mut client, mut resp) = (node.client(), node.resp());
    assert_eq!(client.ask("CREATE empty"), "OK");
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.put("shopping", "milk", "1");
    for (command, reply) in [
        ("SET string value", "+OK\\r\\n"),
        ("SET timed value EX 1000", "+OK\\r\\n"),
        ("SET gone value PX 1", "+OK\\r\\n"),
        ("HSET hash one 1 two 2", ":2\\r\\n"),
        ("HEXPIRE hash 1000 FIELDS 1 two", "*1\\r\\n:1\\r\\n"),
        ("SET renamed 1", "+OK\\r\\n"),
        ("RENAME renamed other", "+OK\\r\\n"),
        ("SELECT 3", "+OK\\r\\n"),
        ("SET third 3", "+OK\\r\\n"),
        ("MULTI", "+OK\\r\\n"),
        ("INCR counter", "+QUEUED\\r\\n"),
        ("INCR counter", "+QUEUED\\r\\n"),
        ("EXEC", "*2\\r\\n:1\\r\\n:2\\r\\n"),
    ] {
        assert_eq!(resp.ask(command), reply, "{command}");
    }
    node.kill_and_restart();
    node.wait_until_loaded();
    let (mut client, mut resp) = (node.client(), node.resp());
    assert_eq!(client.get("shopping", "milk"), "1");
    assert_eq!(client.ask("GET empty key"), "", "an empty bucket");
    assert_eq!(client.line(), "OK");
    for (command, reply) in [
        ("GET string", "$5\\r\\nvalue\\r\\n"),
        ("EXISTS gone renamed", ":0\\r\\n"),
        ("HGET hash two", "$1\\r\\n2\\r\\n"),
        ("HTTL hash FIELDS 1 one", "*1\\r\\n:-1\\r\\n"),
        ("GET other", "$1\\r\\n1\\r\\n"),
        ("DBSIZE", ":6\\r\\n"),
        ("SELECT 3", "+OK\\r\\n"),
        ("MGET third counter", "*2\\r\\n$1\\r\\n3\\r\\n$1\\r\\n2\\r\\n"),
        ("FLUSHDB", "+OK\\r\\n"),
    ] {
        assert_eq!(resp.ask(command), reply, "{command}");
    }
    assert!(resp.ask("SELECT 0").starts_with("+OK"));
    for command in ["TTL timed", "HTTL hash FIELDS 1 two"] {
        let reply = resp.ask(command);
        let seconds = reply.rsplit(':').next().and_then(|number| number.strip_suffix("\\r\\n"));
        assert!(seconds.is_some_and(|number| (900..=1000).contains(&number.parse().unwrap_or(0))), "{reply}");
    }
}

#[test]
fn with_syncs_at_intervals_a_kill_of_the_process_loses_nothing() {
    let mut node = Release::durable_with("[storage]\nfsync = \"interval\"\nfsync_interval_ms = 3600000\n");
    assert!(node.log().contains("durable (synced every 3600000 ms, in "), "{}", node.log());
    node.wait_for_log(&["loses what was acknowledged in the last 3600000 ms"]);
    let mut resp = node.resp();
    for number in 1..=100 {
        assert_eq!(resp.ask("INCR counter"), format!(":{number}\\r\\n"));
    }
    node.kill_and_restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("GET counter"), "$3\\r\\n100\\r\\n");
}

#[test]
fn reads_of_a_batch_see_the_writes_before_them() {
    let node = Release::durable();
    let mut resp = node.resp();
    for number in 0..200 {
        let set = ["SET", "a", &number.to_string()].map(str::to_owned);
        let others = [&["GET", "a"][..], &["APPEND", "a", "x"], &["GET", "a"], &["GET", "b"]];
        let others = others.iter().flat_map(|words| resp::command(words));
        resp.send([resp::command(&set), others.collect()].concat());
        let expected = [
            "+OK\r\n".to_owned(),
            format!("${}\r\n{number}\r\n", number.to_string().len()),
            format!(":{}\r\n", number.to_string().len() + 1),
            format!("${}\r\n{number}x\r\n", number.to_string().len() + 1),
            "$-1\r\n".to_owned(),
        ];
        for expected in expected {
            assert_eq!(String::from_utf8(resp.reply()).expect("text"), expected);
        }
    }
}

#[test]
fn a_data_directory_has_one_process_and_one_node() {
    let node = Release::durable();
    let data_dir = node.data_dir().display().to_string();
    let directory = TempDir::new();
    let run_dir = directory.path().display().to_string();
    let flags = ["--clients", "127.0.0.1:0", "--run-dir", &run_dir, "--data-dir", &data_dir];
    let second = verb("foo", &[&["start"], &flags[..]].concat());
    assert!(!second.status.success());
    let who = format!("is in use by another process (pid {})", node.pid());
    assert!(text(&second.stderr).contains(&who), "{second:?}");
    drop(node);
}

/// Bytes of a large value, and how many of them are written: fewer than a snapshot is taken after.
const LARGE: usize = 8 << 20;
const LARGE_WRITES: usize = 28;

#[test]
fn a_log_is_not_loaded_into_memory_as_a_whole() {
    let mut node = Release::durable_with("storage.log_cache_bytes = \"16mb\"\n");
    let mut resp = node.resp();
    let value = "x".repeat(LARGE);
    for _ in 0..LARGE_WRITES {
        resp.send(resp::command(&["SET", "a", &value]));
        assert_eq!(resp.reply(), b"+OK\r\n");
    }
    node.kill_and_restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("STRLEN a"), format!(":{LARGE}\\r\\n"));
    // The cache of the log has two of them, and the value is there a few times while it is executed.
    let peak = node.peak_resident_bytes();
    assert!(peak < 18 * LARGE, "{} MiB", peak >> 20);
    // Executing it takes most of the time, and the log says how far it is.
    let log = node.log();
    let took = log.split("took_ms=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("loaded");
    let is_shown = log.lines().any(|line| line.contains(" loading ") && !line.ends_with("percent=0"));
    assert!(is_shown || took.parse::<u64>().expect("a number") < 4_000, "{log}");
}

#[test]
fn data_that_do_not_fit_are_refused_at_start_with_both_and_the_ways_out() {
    let row = |buckets: &str, more: &str| {
        format!("[[routes]]\nbuckets = {buckets:?}\nnodes = [\"foo@127.0.0.1\"]\n{more}")
    };
    let mut node = Release::durable_with(&row("..m", ""));
    assert_eq!(node.resp().ask("SET apple 1"), "+OK\\r\\n");
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    let data_dir = node.data_dir();
    let directory = TempDir::new();
    let refused = |name: &str, lines: &str| {
        let file = directory.write("other.toml", lines).display().to_string();
        let (run_dir, data_dir) = (directory.path().display().to_string(), data_dir.display().to_string());
        let flags = ["start", "--config", &file, "--node", name, "--clients", "127.0.0.1:0"];
        let output = verb("foo", &[&flags[..], &["--run-dir", &run_dir, "--data-dir", &data_dir]].concat());
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        text(&output.stderr).replace(&data_dir, "DATA")
    };
    let (name, other) = ("foo@127.0.0.1", "foo@10.0.0.1");
    let routes_of_other = row("..m", "").replace(name, other);
    for (name, lines, error) in [
        (
            other,
            &routes_of_other,
            "DATA holds the data of foo@127.0.0.1, and this is foo@10.0.0.1; start it as foo@127.0.0.1, or choose \
             another data_dir (to give data another node, back them up there and restore them here)",
        ),
        (
            name,
            &row("..k", ""),
            "DATA/ranges/1-1 holds the data of ..m, and the route says ..k; write the route as it was, or export \
             the data with that route, start with an empty data_dir, and import them",
        ),
        (
            name,
            &row("..m", "durable = false\n"),
            "DATA/ranges/1-1 holds the data of ..m, and the route ..m has durable = false; remove that, or export \
             the data without it, start with an empty data_dir, and import them",
        ),
    ] {
        let found = refused(name, lines);
        assert!(found.contains(error), "{error}\nis not in {found}");
    }
}

/// What of the data directory others may see.
#[test]
fn the_files_of_a_data_directory_are_for_their_owner_alone() {
    let node = Release::durable();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("SET a 1"), "+OK\\r\\n");
    assert_eq!(node.resp().ask("SAVE"), "+OK\\r\\n");
    let (mut paths, mut count) = (vec![node.data_dir()], 0);
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).expect("there");
        assert_eq!(metadata.mode() & 0o077, 0, "{} has mode {:o}", path.display(), metadata.mode());
        count += 1;
        if metadata.is_dir() {
            paths.extend(
                fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
        }
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn ranges_that_are_lost_are_missed_at_a_start() {
    let mut node = Release::durable();
    node.wait_until_loaded();
    node.wait_for_log(&["INFO", "a new data directory was made"]);
    let log = node.log();
    let place = |text| log.find(text).expect("it is in the log");
    assert!(place("a new data directory was made") < place("the durable range is loaded"), "{log}");
    assert_eq!(node.resp().ask("SET a 1"), "+OK\\r\\n");
    for (removed, lost) in [("ranges/1-1", "1-1"), ("ranges", "1-1, 2-2")] {
        assert!(node.verb(&["stop"]).status.success());
        assert!(node.wait().success());
        fs::remove_dir_all(node.data_dir().join(removed)).expect("removed");
        node.restart();
        node.wait_until_loaded();
        node.wait_for_log(&[
            "WARN",
            "move this directory out, and put them back",
            &format!("lost=\"{lost}\""),
        ]);
        assert!(!node.log().contains("a new data directory was made"), "{}", node.log());
        assert_eq!(node.resp().ask("GET a"), "$-1\\r\\n");
    }
    node.kill_and_restart();
    node.wait_until_loaded();
    assert!(!node.log().contains("put them back"), "{}", node.log());
    // As if the disk of the data directory were not mounted.
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    fs::remove_dir_all(node.data_dir()).expect("removed");
    fs::create_dir(node.data_dir()).expect("made");
    node.restart();
    node.wait_for_log(&["WARN", "a new data directory was made", "mount their disk"]);
}

#[test]
fn a_row_that_is_not_durable_stays_volatile() {
    let lines = "[[routes]]\nbuckets = \"a..m\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n\
                 [[routes]]\nbuckets = \"..\"\nnodes = [\"foo@127.0.0.1\"]\n";
    let mut node = Release::durable_with(lines);
    let mut resp = node.resp();
    for name in ["apple", "pear", "ABC"] {
        assert_eq!(resp.ask(&format!("SET {name} 1")), "+OK\\r\\n");
    }
    assert_eq!(resp.ask("DBSIZE"), ":3\\r\\n");
    assert!(resp.ask("RENAME apple pear").starts_with("-CROSSSLOT"));
    assert!(node.rpc("routes").contains("foo@127.0.0.1, volatile"), "{}", node.rpc("routes"));
    let names = resp.ask("KEYS *");
    assert!(["apple", "pear", "ABC"].iter().all(|name| names.contains(name)), "{names}");
    node.kill_and_restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("MGET apple pear ABC"), "*3\\r\\n$-1\\r\\n$1\\r\\n1\\r\\n$1\\r\\n1\\r\\n");
}

#[test]
fn what_waits_is_executed_before_a_node_stops() {
    let mut node = Release::durable();
    let mut client: Client = node.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.put("shopping", "milk", "1");
    assert!(node.verb(&["stop"]).status.success());
    assert!(node.wait().success());
    node.restart();
    node.wait_until_loaded();
    assert_eq!(node.client().get("shopping", "milk"), "1");
}

#[test]
fn each_of_two_nodes_has_ranges_of_its_own() {
    let mut pair = Pair::durable();
    let mut resp = pair.foo.resp();
    for (command, reply) in [
        ("SET apple 1", "+OK\\r\\n"),
        ("SET pear 2", "+OK\\r\\n"),
        ("MSET avocado 3 plum 4", "+OK\\r\\n"),
        ("WATCH pear", "+OK\\r\\n"),
        ("MULTI", "+OK\\r\\n"),
        ("INCR pear", "+QUEUED\\r\\n"),
        ("EXEC", "*1\\r\\n:3\\r\\n"),
        ("DBSIZE", ":4\\r\\n"),
    ] {
        assert_eq!(resp.ask(command), reply, "{command}");
    }
    pair.bar.kill();
    pair.restart_bar();
    pair.wait_until_linked();
    pair.foo.wait_until_loaded();
    assert_eq!(
        resp.ask("MGET apple pear avocado plum"),
        "*4\\r\\n$1\\r\\n1\\r\\n$1\\r\\n3\\r\\n$1\\r\\n3\\r\\n$1\\r\\n4\\r\\n"
    );
    assert_eq!(resp.ask("FLUSHALL"), "+OK\\r\\n");
    assert_eq!(resp.ask("DBSIZE"), ":0\\r\\n");
}
