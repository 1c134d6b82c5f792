//! Durable nodes as whole releases: whatever kills them, what they have acknowledged is there again.

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
    assert!(node.log().contains("loses what was acknowledged in the last 3600000 ms"), "{}", node.log());
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
    assert!(text(&second.stderr).contains("is in use by another process"), "{second:?}");
    drop(node);
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
