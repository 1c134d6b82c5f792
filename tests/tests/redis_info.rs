//! INFO as monitoring tools read it.

use std::collections::BTreeSet;
use tests::{Pair, RedisServer, Release, RespClient};

/// What only Redis has: its compiler, its libraries, its ways to manage buffers and to expire keys.
const OF_REDIS_ALONE: [&str; 9] = [
    "redis_build_id",
    "monotonic_clock",
    "multiplexing_api",
    "atomicvar_api",
    "gcc_version",
    "process_supervised",
    "reply_buffer_expands",
    "reply_buffer_shrinks",
    "expire_cycle_cpu_milliseconds",
];

/// The lines of all sections.
fn info(client: &mut RespClient) -> Vec<String> {
    client.ask("INFO everything").split(r"\r\n").map(str::to_owned).collect()
}

fn fields(lines: &[String]) -> BTreeSet<String> {
    let fields = lines.iter().filter_map(|line| line.split_once(':'));
    fields.map(|(field, _)| field.to_owned()).filter(|field| !field.starts_with("cmdstat")).collect()
}

#[test]
fn info_has_the_sections_and_fields_of_redis() {
    let (Some(redis), Some(durable)) = (RedisServer::start(), RedisServer::start_durable()) else { return };
    for (redis, node) in [(redis, Release::alone()), (durable, Release::durable())] {
        let (mut theirs, mut ours) = (redis.client(), node.resp());
        for client in [&mut theirs, &mut ours] {
            client.ask("SET a 1");
            client.ask("GET");
        }
        let (theirs, ours) = (info(&mut theirs), info(&mut ours));
        let missing: Vec<String> = fields(&theirs).difference(&fields(&ours)).cloned().collect();
        let is_known = |field: &String| OF_REDIS_ALONE.contains(&field.as_str());
        let unexpected: Vec<&String> = missing.iter().filter(|field| !is_known(field)).collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
        let sections = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter(|line| line.contains("# "))
                .map(|line| line.trim_start_matches("$").to_owned())
                .collect()
        };
        assert_eq!(sections(&theirs)[1..], sections(&ours)[1..]);
    }
}

#[test]
fn info_answers_while_another_node_is_down() {
    let mut pair = Pair::start();
    let mut client = pair.foo.resp();
    client.ask("MSET apple 1 zebra 2");
    let keyspace = |client: &mut RespClient| {
        let lines = info(client);
        lines.into_iter().find(|line| line.starts_with("db0:")).unwrap_or_default()
    };
    let before = keyspace(&mut client);
    assert!(before.starts_with("db0:keys=2,"), "{before}");
    pair.bar.kill();
    pair.wait_until_unlinked();
    let after = keyspace(&mut client);
    assert!(after.starts_with("db0:keys=1,"), "the keys of the nodes that are up: {after}");
}

#[test]
fn the_configuration_file_in_force_is_shown_with_its_whole_path() {
    let node = Release::alone_with("shutdown_seconds = 5\n");
    let line = |node: &Release| {
        let lines = info(&mut node.resp());
        lines.into_iter().find(|line| line.starts_with("config_file:")).expect("a line")
    };
    let path = line(&node).replace("config_file:", "");
    assert!(path.starts_with('/') && path.ends_with("/alone.toml"), "{path}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "shutdown_seconds = 5\n");
    assert_eq!(line(&Release::alone()), "config_file:");
}
