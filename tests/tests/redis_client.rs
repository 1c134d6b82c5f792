//! The Rust client of Redis, unchanged, on one node and on two.

use redis::{Commands, Connection, RedisResult, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tests::{Pair, Release};

/// Runs a session on a single node, then on a pair.
fn on_one_node_and_two(session: impl Fn(&Release)) {
    session(&Release::alone());
    session(&Pair::start().foo);
}

/// A connection with RESP2, or with RESP3 for `?protocol=resp3`.
fn connect(node: &Release, parameters: &str) -> Connection {
    let client = redis::Client::open(format!("redis://{}/{parameters}", node.clients())).expect("an address");
    client.get_connection().expect("the node accepts clients")
}

#[test]
fn strings_hashes_and_their_expiry() {
    on_one_node_and_two(|node| {
        for parameters in ["", "?protocol=resp3"] {
            let mut client = connect(node, parameters);
            () = client.flushall().unwrap();
            () = client.set("stock", 5).unwrap();
            assert_eq!(client.incr("stock", 2), Ok(7));
            assert_eq!(client.get("nothing"), Ok(None::<String>));
            () = client.hset_multiple("shopping", &[("milk", "1"), ("eggs", "3")]).unwrap();
            let all: BTreeMap<String, i64> = client.hgetall("shopping").unwrap();
            assert_eq!(all, BTreeMap::from([("eggs".into(), 3), ("milk".into(), 1)]));
            assert_eq!(client.hincr("price", "milk", 1.5), Ok(1.5));
            assert_eq!(client.expire("shopping", 100), Ok(true));
            assert_eq!(client.ttl("shopping"), Ok(100));
            assert_eq!(client.ttl("stock"), Ok(-1));
            () = client.set_ex("apples", "red", 100).unwrap();
            assert_eq!(client.persist("apples"), Ok(true));
            assert_eq!(client.pexpire("apples", 1), Ok(true));
            tests::wait_until("the key has expired", || client.exists("apples") == Ok(false));
            let refused: RedisResult<String> = client.get("shopping");
            assert_eq!(refused.unwrap_err().code(), Some("WRONGTYPE"));
        }
    });
}

#[test]
fn keys_of_all_nodes_are_merged() {
    on_one_node_and_two(|node| {
        let mut client = connect(node, "");
        let names: BTreeSet<String> = ('a'..='z').map(|first| format!("{first}-bucket")).collect();
        let pairs: Vec<(&String, usize)> = names.iter().zip(1..).collect();
        () = client.mset(&pairs).unwrap();
        assert_eq!(client.mget(&["n-bucket", "a-bucket", "missing"]), Ok((14, 1, None::<i64>)));
        assert_eq!(redis::cmd("DBSIZE").query(&mut client), Ok(names.len()));
        assert_eq!(client.keys("*"), Ok(names.clone()));
        assert_eq!(client.keys("[ax]-*"), Ok(BTreeSet::from(["a-bucket".to_owned(), "x-bucket".into()])));
        let walked: Vec<String> = client.scan().unwrap().map(|name| name.expect("a text")).collect();
        assert_eq!(walked.len(), names.len(), "each once");
        assert_eq!(BTreeSet::from_iter(walked), names);
        assert_eq!(client.exists(&["a-bucket", "z-bucket", "missing"]), Ok(2));
        assert_eq!(client.del(&["a-bucket", "z-bucket", "missing"]), Ok(2));
        () = client.flushall().unwrap();
        assert_eq!(redis::cmd("DBSIZE").query(&mut client), Ok(0));
    });
}

#[test]
fn a_transaction_is_refused_after_a_watched_key_has_changed() {
    on_one_node_and_two(|node| {
        let (mut client, mut other) = (connect(node, ""), connect(node, "?protocol=resp3"));
        for (disturbed, expected) in [(false, Some((1,))), (true, None)] {
            () = client.del("stock").unwrap();
            () = redis::cmd("WATCH").arg("stock").query(&mut client).unwrap();
            if disturbed {
                () = other.set("stock", 10).unwrap();
            }
            let done: RedisResult<Option<(i64,)>> =
                redis::pipe().atomic().incr("stock", 1).query(&mut client);
            assert_eq!(done, Ok(expected));
        }
        assert_eq!(client.get("stock"), Ok(10));
    });
}

#[test]
fn long_pipelines_are_answered_in_order() {
    on_one_node_and_two(|node| {
        let mut client = connect(node, "");
        let mut pipeline = redis::pipe();
        for number in 0..1_000 {
            // Every other bucket lives on the other node.
            let bucket = if number % 2 == 0 { "apples" } else { "shopping" };
            pipeline.hset(bucket, number, number).ignore().hget(bucket, number);
        }
        let answers: Vec<i64> = pipeline.query(&mut client).unwrap();
        assert!(answers.into_iter().eq(0..1_000), "an answer out of order");
        assert_eq!(client.hlen("apples"), Ok(500));
    });
}

#[test]
fn ten_megabytes_come_back_identical() {
    on_one_node_and_two(|node| {
        let mut client = connect(node, "");
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(10_000_000).collect();
        () = client.set("tea", &value).unwrap();
        () = client.hset("apples", "big", &value).unwrap();
        assert!(client.get::<_, Vec<u8>>("tea").unwrap() == value, "the string has changed");
        assert!(client.hget::<_, _, Vec<u8>>("apples", "big").unwrap() == value, "the field has changed");
    });
}

#[test]
fn hello_changes_the_protocol() {
    on_one_node_and_two(|node| {
        let mut client = connect(node, "");
        () = client.hset("shopping", "milk", 1).unwrap();
        let milk = || (Value::BulkString(b"milk".into()), Value::BulkString(b"1".into()));
        let all = redis::cmd("HGETALL").arg("shopping").clone();
        assert_eq!(all.query(&mut client), Ok(Value::Array(vec![milk().0, milk().1])));
        let hello: HashMap<String, Value> = redis::cmd("HELLO").arg(3).query(&mut client).unwrap();
        assert_eq!(hello["proto"], Value::Int(3));
        assert_eq!(all.query(&mut client), Ok(Value::Map(vec![milk()])));
    });
}

#[test]
fn text_and_resp_see_each_others_writes() {
    on_one_node_and_two(|node| {
        let (mut text, mut client) = (node.client(), connect(node, ""));
        for bucket in ["apples", "shopping"] {
            assert_eq!(text.ask(&format!("CREATE {bucket}")), "OK");
            assert_eq!(client.key_type(bucket), Ok("hash".to_owned()));
            text.put(bucket, "milk", "1");
            assert_eq!(client.hget(bucket, "milk"), Ok(1));
            () = client.hset(bucket, "eggs", 2).unwrap();
            assert_eq!(text.get(bucket, "eggs"), "2");
            // A bucket that CREATE made outlives its fields.
            assert_eq!(client.hdel(bucket, &["milk", "eggs"]), Ok(2));
            assert_eq!(client.exists(bucket), Ok(true));
            () = client.del(bucket).unwrap();
            assert_eq!(text.ask(&format!("GET {bucket} milk")), "NOT FOUND");
        }
    });
}

#[test]
fn clients_are_listed_as_redis_does_and_killed() {
    let node = Release::alone();
    let (mut one, mut other) = (node.resp(), node.resp());
    other.ask("CLIENT SETNAME other");
    let other_id = other.ask("CLIENT ID").trim_start_matches(':').trim_end_matches(r"\r\n").to_owned();
    let line = other.ask("CLIENT INFO");
    let fields: Vec<&str> = line.split(' ').filter_map(|field| Some(field.split_once('=')?.0)).collect();
    let of_redis = "addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem \
                    rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out \
                    tot-cmds";
    assert_eq!(fields[1..].join(" "), of_redis, "{line}");
    assert!(line.contains(" cmd=client|info "), "{line}");
    assert_eq!(one.ask(&format!("CLIENT KILL ID {other_id} TYPE pubsub")), r":0\r\n");
    assert_eq!(one.ask(&format!("CLIENT KILL ID {other_id}")), r":1\r\n");
    assert!(!one.ask("CLIENT LIST").contains("name=other"), "it is gone at once");
    assert_eq!(other.read_until_closed(), "");
    let address = node.resp().ask("CLIENT INFO");
    let mut third = node.resp();
    let line = third.ask("CLIENT INFO");
    let peer = line.split(' ').find_map(|field| field.strip_prefix("addr=")).expect("an address");
    assert!(!address.contains(peer));
    assert_eq!(third.ask(&format!("CLIENT KILL {peer}")), r"+OK\r\n");
    assert_eq!(third.read_until_closed(), "");
    // Without `SKIPME no`, the client that asks stays.
    assert_eq!(one.ask("CLIENT KILL USER default LADDR 192.0.2.1:1"), r":0\r\n");
    one.ask("CLIENT KILL SKIPME yes");
    assert_eq!(one.ask("CLIENT KILL SKIPME no"), r":1\r\n");
    assert_eq!(one.read_until_closed(), "");
}
