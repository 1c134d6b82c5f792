//! `import redis://...`: a live copy of a Redis server, and of a node.

use std::process::Output;
use tests::{Pair, RedisServer, Release, scripted_redis, sorted_lines, text, verb};

/// The lines of a node's export.
fn exported(node: &Release) -> Vec<String> {
    sorted_lines(&node.verb(&["export"]))
}

fn import(node: &Release, port: u16, database: &str, flags: &[&str]) -> Output {
    let address = format!("redis://127.0.0.1:{port}{database}");
    node.verb(&[&["import", &address], flags].concat())
}

/// What a Redis server has in these tests: keys of all types, in several databases.
const COMMANDS: &[&str] = &[
    "SET apples red PXAT 9000000000001",
    r#"SET "\xff\x00" "\xfe""#,
    "HSET shopping milk 1 eggs 3",
    "PEXPIREAT shopping 9000000000002",
    "RPUSH list 1",
    "RPUSH list2 1",
    "SADD set 1",
    "ZADD sorted 1 a",
    "XADD stream * a b",
    "SELECT 3",
    "SET third 3",
    "SELECT 15",
    "HSET shopping tea 5",
    "SELECT 17",
    "SET far 1",
    "SELECT 0",
];

const LINES: &[&str] = &[
    r#"{"kind":"bucket","database":0,"name":"shopping","expires_at_ms":9000000000002}"#,
    r#"{"kind":"bucket","database":15,"name":"shopping"}"#,
    r#"{"kind":"entry","database":0,"name":"shopping","field":"eggs","value":"3"}"#,
    r#"{"kind":"entry","database":0,"name":"shopping","field":"milk","value":"1"}"#,
    r#"{"kind":"entry","database":15,"name":"shopping","field":"tea","value":"5"}"#,
    r#"{"kind":"string","database":0,"name":"apples","value":"red","expires_at_ms":9000000000001}"#,
    r#"{"kind":"string","database":0,"name_b64":"/wA=","value_b64":"/g=="}"#,
    r#"{"kind":"string","database":3,"name":"third","value":"3"}"#,
];

#[test]
fn strings_and_hashes_are_copied_with_their_times_and_the_server_is_only_read() {
    let Some((redis, port)) = RedisServer::start_with_port() else { return };
    let mut client = redis.client();
    COMMANDS.iter().for_each(|command| drop(client.ask(command)));
    client.ask("CONFIG RESETSTAT");
    let node = Release::alone();
    let output = import(&node, port, "", &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "imported 2 buckets with 3 entries, and 3 strings\n\
         not taken: 2 lists, 1 set, 1 stream, 1 sorted set, 1 key of database 17"
    );
    assert_eq!(exported(&node), LINES);
    let reads =
        ["scan", "type", "strlen", "get", "hscan", "pexpiretime", "hpexpiretime", "info", "select", "config"];
    for line in client.ask("INFO commandstats").split(r"\r\n") {
        let Some(command) = line.strip_prefix("cmdstat_") else { continue };
        assert!(reads.iter().any(|read| command.starts_with(read)), "{command}");
    }

    // Again: names that exist are left, or replaced.
    let output = import(&node, port, "", &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "nothing is missing: {output:?}");
    assert!(text(&output.stdout).contains("found 5 names with all that was to be imported"), "{output:?}");
    client.ask("SET third 4");
    client.ask("SELECT 3");
    client.ask("SET third 4");
    let output = import(&node, port, "", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stdout).starts_with("imported 0 buckets with 0 entries, and 1 string"),
        "{output:?}"
    );
    let left = "1 name exists with other contents and was left as it is: \"third\"";
    assert!(text(&output.stderr).starts_with(left), "{output:?}");
    assert!(exported(&node).iter().any(|line| line == LINES[7]));
    let output = import(&node, port, "/3", &["--replace"]);
    assert_eq!(text(&output.stdout), "imported 0 buckets with 0 entries, and 1 string", "{output:?}");
    let third = LINES[7].replace(r#""3""#, r#""4""#);
    assert!(exported(&node).contains(&third));

    let pair = Pair::start();
    assert!(import(&pair.foo, port, "/0", &[]).status.success());
    assert_eq!(pair.foo.client().get("shopping", "milk"), "1");
    assert!(!exported(&pair.foo).iter().any(|line| line.contains("shopping")), "it is on bar");
}

#[test]
fn hashes_and_strings_of_all_sizes_are_copied() {
    let Some((redis, port)) = RedisServer::start_with_port() else { return };
    let mut client = redis.client();
    for number in 0..2_500 {
        client.ask(&format!("HSET hash{number} a {number} b {number}"));
        client.ask(&format!("SET string{number} {number}"));
    }
    let fields: String = (0..5_000).map(|number| format!(" field{number} {number}")).collect();
    client.ask(&format!("HSET large{fields}"));
    let value = "x".repeat(100_000);
    for number in 0..40 {
        client.ask(&format!("HSET values field{number} {value}"));
    }
    client.ask("SETRANGE big 3000000 x");
    // Fields that are far more than one reply may have, after a thousand small ones.
    let script = "for hash = 1, 20 do for field = 1, 8 do \
         redis.call('HSET', 'wide' .. hash, field, string.rep('x', 500000)) end end";
    client.command(&["EVAL", script, "0"]);
    assert_eq!(client.reply(), b"$-1\r\n");
    let node = Release::alone();
    let output = import(&node, port, "", &[]);
    assert_eq!(
        text(&output.stdout),
        "imported 2522 buckets with 10200 entries, and 2501 strings",
        "{output:?}"
    );
    let mut copy = node.resp();
    for command in ["HGETALL hash7", "GET string2499", "HLEN large", "HGET large field4999", "STRLEN big"] {
        assert_eq!(copy.ask(command), client.ask(command), "{command}");
    }
    assert_eq!(copy.ask("HSTRLEN values field39"), r":100000\r\n");
    assert_eq!(copy.ask("HSTRLEN wide20 8"), r":500000\r\n");
}

#[test]
fn a_durable_node_keeps_what_it_has_imported() {
    const EACH: u64 = 10_000;
    let Some((redis, port)) = RedisServer::start_with_port() else { return };
    let mut client = redis.client();
    let script = "for number = 1, tonumber(ARGV[1]) do \
         redis.call('SET', 'string' .. number, number, 'PXAT', 9000000000000 + number) \
         redis.call('HSET', 'hash' .. number, 'a', number, 'b', 'x') \
         if number % 2 == 0 then redis.call('PEXPIREAT', 'hash' .. number, 9000000000000 + number) end end";
    client.command(&["EVAL", script, "0", &EACH.to_string()]);
    assert_eq!(client.reply(), b"$-1\r\n");
    let mut node = Release::durable();
    let output = import(&node, port, "", &[]);
    let expected = format!("imported {EACH} buckets with {} entries, and {EACH} strings", 2 * EACH);
    assert_eq!(text(&output.stdout), expected, "{output:?}");
    node.kill_and_restart();
    node.wait_until_loaded();
    let mut copy = node.resp();
    assert_eq!(copy.ask("DBSIZE"), client.ask("DBSIZE"));
    for number in (1..=EACH).step_by(97) {
        for command in ["GET string", "PEXPIRETIME string", "HMGET hash", "PEXPIRETIME hash"] {
            let fields = if command == "HMGET hash" { " a b c" } else { "" };
            let command = format!("{command}{number}{fields}");
            assert_eq!(copy.ask(&command), client.ask(&command), "{command}");
        }
    }
}

#[test]
fn times_to_live_of_fields_are_copied() {
    let one = Release::alone();
    let mut client = one.resp();
    for command in [
        "HSET shopping milk 1 eggs 3 tea 5",
        "HPEXPIREAT shopping 9000000000000 FIELDS 1 eggs",
        "SET apples red",
        "SET x 1",
        "SELECT 2",
        "HSET colors red 1",
        "HPEXPIREAT colors 9000000000003 FIELDS 1 red",
    ] {
        client.ask(command);
    }
    let two = Release::alone();
    let output = import(&two, one.clients().port(), "", &[]);
    assert_eq!(text(&output.stdout), "imported 2 buckets with 4 entries, and 2 strings", "{output:?}");
    assert_eq!(exported(&two), exported(&one));
}

#[test]
fn an_import_goes_on_where_another_one_broke_off_and_succeeds_when_nothing_is_missing() {
    let one = Release::alone();
    one.fill();
    let port = one.clients().port();
    let two = Release::alone();
    assert!(import(&two, port, "/15", &[]).status.success());
    let output = import(&two, port, "", &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let stdout =
        "imported 2 buckets with 3 entries, and 2 strings\nfound 1 name with all that was to be imported";
    assert_eq!(text(&output.stdout), stdout);
    two.resp().ask("HSET shopping milk 2");
    let output = import(&two, port, "", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let left = "1 name exists with other contents and was left as it is: \"shopping\"";
    assert!(text(&output.stderr).starts_with(left), "{output:?}");
}

/// What a server with one hash answers before its entries are read.
const ONE_HASH: &[(&str, &str)] = &[
    ("INFO keyspace", "$28\r\n# Keyspace\r\ndb0:keys=1,x=0\r\n\r\n"),
    ("PEXPIRETIME", "-ERR wrong number of arguments for 'pexpiretime' command\r\n"),
    ("HPEXPIRETIME", "-ERR unknown command 'HPEXPIRETIME', with args beginning with: \r\n"),
    ("SELECT 0", "+OK\r\n"),
    ("SCAN 0 COUNT 1000", "*2\r\n$1\r\n0\r\n*1\r\n$8\r\nshopping\r\n"),
    ("TYPE shopping", "+hash\r\n"),
    ("PEXPIRETIME shopping", ":-1\r\n"),
];

#[test]
fn a_hash_that_is_copied_in_part_is_named() {
    let value = "x".repeat(300_000);
    let page = format!("*2\r\n$1\r\n7\r\n*2\r\n$4\r\nmilk\r\n$300000\r\n{value}\r\n");
    let first = ("HSCAN shopping 0 COUNT 64", page.as_str());
    let changed = ("HSCAN shopping 7 COUNT 64", "-WRONGTYPE Operation against a key\r\n");
    for (replies, why) in [(&[first, changed][..], ""), (&[first], "127.0.0.1")] {
        let node = Release::alone();
        let port = scripted_redis(&[ONE_HASH, replies].concat());
        let output = import(&node, port, "", &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(text(&output.stdout), "imported 1 bucket with 1 entry, and 0 strings", "{output:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("may lack entries: \"shopping\""), "{stderr}");
        assert!(stderr.contains("--replace") && stderr.contains(why), "{stderr}");
    }
    // Nothing of it was imported.
    let node = Release::alone();
    let output = import(&node, scripted_redis(ONE_HASH), "", &[]);
    assert!(!text(&output.stderr).contains("shopping") && exported(&node).is_empty(), "{output:?}");
}

#[test]
fn a_password_is_sent_and_one_that_lacks_is_asked_for() {
    let Some((redis, port)) = RedisServer::start_with_port() else { return };
    let mut client = redis.client();
    client.ask("SET apples red");
    client.ask("ACL SETUSER me on >p@ss ~* +@all");
    client.ask("CONFIG SET requirepass secret");
    let node = Release::alone();
    let import =
        |login: &str| node.verb(&["import", "--replace", &format!("redis://{login}127.0.0.1:{port}/0")]);
    for login in [":secret@", "me:p%40ss@"] {
        assert!(import(login).status.success(), "{login}");
    }
    let refused = import("");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let stderr = text(&refused.stderr);
    let missing = "NOAUTH Authentication required; write redis://user:password@host, or ";
    assert!(stderr.contains(missing) && stderr.ends_with("redis://:password@host"), "{stderr}");
    assert_eq!(text(&refused.stdout), "", "nothing was read");
    let wrong = import(":wrong@");
    assert!(text(&wrong.stderr).contains("WRONGPASS"), "{wrong:?}");
    assert!(!text(&wrong.stderr).contains(":wrong@"), "no password is printed");
}

#[test]
fn a_server_that_cannot_be_reached_is_unavailable_and_tls_is_refused() {
    let node = Release::alone();
    // Port 1 has no server.
    let output = import(&node, 1, "", &[]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("cannot connect to Redis at 127.0.0.1:1: "), "{output:?}");
    let output = verb("foo", &["import", "rediss://127.0.0.1"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("TLS is not supported; open a tunnel"), "{output:?}");
}
