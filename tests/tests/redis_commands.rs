//! COMMAND INFO as Redis has it: what clients, proxies and access rules go by.

use redis::Value;
use std::collections::BTreeSet;
use tests::{RedisServer, Release, RespClient};

/// What Redis changed after version 7.0.
const CHANGED_SINCE: [&str; 9] = [
    "client|setname",
    "config|resetstat",
    "latency|reset",
    "msetnx",
    "object|encoding",
    "randomkey",
    "scan",
    "slowlog|len",
    "hscan",
];

/// Places in the entry of a command.
const CATEGORIES: usize = 6;
const TIPS: usize = 7;
const KEYS: usize = 8;

fn entry(client: &mut RespClient, name: &str) -> Option<Vec<Value>> {
    client.command(&["COMMAND", "INFO", name]);
    let reply = redis::parse_redis_value(&client.reply()).expect("a reply");
    let entry = reply.into_sequence().expect("a list").remove(0);
    entry.into_sequence().ok().filter(|entry| !entry.is_empty())
}

/// Where the keys are, without the notes for people.
fn keys(entry: &[Value]) -> Vec<Vec<Value>> {
    let specs: Vec<Vec<Value>> = redis::from_redis_value(entry[KEYS].clone()).expect("lists");
    let without_notes = |spec: Vec<Value>| {
        let has_notes = spec.first() == Some(&Value::BulkString(b"notes".into()));
        spec.into_iter().skip(if has_notes { 2 } else { 0 }).collect()
    };
    specs.into_iter().map(without_notes).collect()
}

fn words(value: &Value) -> BTreeSet<String> {
    redis::from_redis_value(value.clone()).expect("a list of words")
}

#[test]
fn categories_tips_and_keys_are_those_of_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let node = Release::alone();
    let (mut theirs, mut ours) = (redis.client(), node.resp());
    ours.command(&["COMMAND", "LIST"]);
    let names = words(&redis::parse_redis_value(&ours.reply()).expect("a reply"));
    let mut differences = Vec::new();
    for name in names {
        let Some(theirs) = entry(&mut theirs, &name) else { continue };
        let ours = entry(&mut ours, &name).expect("it is listed");
        if words(&theirs[CATEGORIES]) != words(&ours[CATEGORIES]) {
            differences.push(format!("{name}: {:?} {:?}", theirs[CATEGORIES], ours[CATEGORIES]));
        }
        if CHANGED_SINCE.contains(&name.as_str()) {
            continue;
        }
        if words(&theirs[TIPS]) != words(&ours[TIPS]) {
            differences.push(format!("{name}: {:?} {:?}", theirs[TIPS], ours[TIPS]));
        }
        if keys(&theirs) != keys(&ours) {
            differences.push(format!("{name}: {:?} {:?}", theirs[KEYS], ours[KEYS]));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
