//! INFO and CLIENT LIST show what has happened.

use super::{Client, Node, encode};
use crate::limits::Limits;
use kv_metrics::{Family, SampleValue};
use std::collections::HashMap;

/// The fields of INFO, whose reply ends with `last`.
async fn info(client: &mut Client, sections: &str) -> HashMap<String, String> {
    client.send(&format!("INFO {sections}")).await;
    let text = client.bulk().await;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

/// The fields of this client's line in CLIENT LIST.
async fn listed(client: &mut Client, id: u64) -> HashMap<String, String> {
    client.send(&format!("CLIENT LIST ID {id}")).await;
    let text = client.bulk().await;
    let fields = text.split_whitespace().filter_map(|field| field.split_once('='));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

/// The number after `name=` in a list such as `calls=1,usec=2`.
fn number(list: &str, name: &str) -> f64 {
    let value = list.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {list}"))
}

#[tokio::test]
async fn commands_are_counted_with_their_time_and_their_failures() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let sent = [
        "SET a 1",
        "GET a",
        "GET a",
        "GET nothing",
        "HGET a x",
        "GET",
        "NOSUCH",
        "CLIENT ID",
        "DEBUG SLEEP 0.02",
    ];
    for line in sent {
        client.send(line).await;
        client.reply().await;
    }
    let stats = info(&mut client, "everything").await;
    let get = &stats["cmdstat_get"];
    assert_eq!(
        [number(get, "calls"), number(get, "rejected_calls"), number(get, "failed_calls")],
        [3.0, 1.0, 0.0]
    );
    assert_eq!(number(&stats["cmdstat_hget"], "failed_calls"), 1.0);
    assert_eq!(number(&stats["cmdstat_client|id"], "calls"), 1.0);
    assert!(number(&stats["cmdstat_debug|sleep"], "usec") >= 20_000.0, "{stats:?}");
    assert!(number(&stats["latency_percentiles_usec_debug|sleep"], "p50") >= 20_000.0, "{stats:?}");
    assert_eq!([&stats["errorstat_WRONGTYPE"], &stats["errorstat_ERR"]], ["count=1", "count=2"]);
    assert_eq!([&stats["keyspace_hits"], &stats["keyspace_misses"]], ["3", "1"]);
    assert_eq!([&stats["total_error_replies"], &stats["total_commands_processed"]], ["3", "7"]);
    let received =
        sent.map(|line| encode(line).len()).iter().sum::<usize>() + encode("INFO everything").len();
    assert_eq!(stats["total_net_input_bytes"], received.to_string());
    assert!(stats["total_net_output_bytes"].parse::<u64>().unwrap() > 200, "{stats:?}");
    client.send("LATENCY HISTOGRAM debug").await;
    assert!(client.reply().await.starts_with("*2\r\n$11\r\ndebug|sleep\r\n*4\r\n$5\r\ncalls\r\n:1\r\n"));
    client.send("CONFIG RESETSTAT").await;
    client.expect("+OK\r\n", "RESETSTAT").await;
    let stats = info(&mut client, "everything").await;
    assert!(!stats.contains_key("cmdstat_get") && !stats.contains_key("errorstat_ERR"), "{stats:?}");
    assert_eq!([&stats["keyspace_hits"], &stats["total_connections_received"]], ["0", "0"]);
}

#[tokio::test]
async fn what_is_refused_for_want_of_memory_is_no_call() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for line in ["SET a 1", "CONFIG SET maxmemory 1", "SET a 2", "MSET a 3 b 3", "CONFIG SET maxmemory 0"] {
        client.send(line).await;
        client.reply().await;
    }
    let stats = info(&mut client, "commandstats").await;
    let counts = |name: &str| ["calls", "rejected_calls"].map(|count| number(&stats[name], count));
    assert_eq!((counts("cmdstat_set"), counts("cmdstat_mset")), ([1.0, 1.0], [0.0, 1.0]));
}

#[tokio::test]
async fn a_batch_shares_its_time_among_its_commands() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send_bytes(&[encode("SET a 1"), encode("GET a"), encode("GET a")].concat()).await;
    client.expect("+OK\r\n$1\r\n1\r\n$1\r\n1\r\n", "a batch").await;
    let stats = info(&mut client, "commandstats").await;
    let each = |name: &str| number(&stats[name], "usec_per_call");
    assert_eq!(each("cmdstat_set"), each("cmdstat_get"), "{stats:?}");
}

#[tokio::test]
async fn the_keyspace_counts_what_will_expire() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for line in ["MSET a 1 b 2", "SET c 3 EX 1000", "HSETEX h EX 10 FIELDS 1 f v"] {
        client.send(line).await;
        client.reply().await;
    }
    let keyspace = &info(&mut client, "keyspace").await["db0"];
    let counts = ["keys", "expires", "subexpiry"].map(|name| number(keyspace, name));
    assert_eq!(counts, [4.0, 1.0, 1.0]);
    assert!((900_000.0..=1_000_000.0).contains(&number(keyspace, "avg_ttl")), "{keyspace}");
}

#[tokio::test]
async fn clients_show_others_as_they_are() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut other) = (node.client().await, node.client().await);
    for line in ["WATCH a b", "HELLO 3", "MULTI", "SET a 1"] {
        other.send(line).await;
        other.reply().await;
    }
    let line = listed(&mut client, 2).await;
    let fields =
        ["flags", "multi", "watch", "cmd", "resp", "sub", "tot-cmds"].map(|field| line[field].as_str());
    assert_eq!(fields, ["x", "1", "2", "multi", "3", "0", "3"]);
    assert!(line["tot-net-in"].parse::<usize>().unwrap() > encode("WATCH a b").len(), "{line:?}");
    for line in ["DISCARD", "SUBSCRIBE c", "PSUBSCRIBE c*"] {
        other.send(line).await;
        other.reply().await;
    }
    let line = listed(&mut client, 2).await;
    let fields = ["flags", "multi", "watch", "cmd", "sub", "psub"].map(|field| line[field].as_str());
    assert_eq!(fields, ["P", "-1", "0", "psubscribe", "1", "1"]);
    let stats = info(&mut client, "clients stats").await;
    let fields =
        ["connected_clients", "pubsub_clients", "watching_clients", "pubsub_channels", "pubsub_patterns"];
    assert_eq!(fields.map(|field| stats[field].as_str()), ["2", "1", "0", "1", "1"]);
}

#[tokio::test]
async fn subscribers_of_the_text_protocol_are_shown_too() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut text) = (node.client().await, node.client().await);
    for lines in ["CREATE shopping\nSUBSCRIBE shopping\n", "CREATE fruit\nSUBSCRIBE fruit\n"] {
        text.send_bytes(lines.as_bytes()).await;
        text.expect("OK\r\nOK\r\n", lines).await;
    }
    text.send_bytes(b"ECHO 1\n").await;
    text.expect("$1\r\n1\r\n", "a word of Redis").await;
    let shown = async |client: &mut Client| {
        let line = listed(client, 2).await;
        let clients = info(client, "clients").await;
        [line["flags"].clone(), line["sub"].clone(), clients["pubsub_clients"].clone()]
    };
    assert_eq!(shown(&mut client).await, ["P", "2", "1"]);
    text.send_bytes(b"DROP fruit\n").await;
    text.expect("OK\r\nERROR subscription to \"fruit\" ended: the bucket was dropped\r\n", "DROP").await;
    assert_eq!(shown(&mut client).await, ["P", "1", "1"]);
    text.send("ECHO 1").await;
    text.expect("$1\r\n1\r\n", "RESP ends what text subscribed to").await;
    assert_eq!(shown(&mut client).await, ["N", "0", "0"]);
}

#[tokio::test]
async fn the_memory_of_all_keys_and_the_overhead_add_up_to_what_is_used() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let (long, longest) = ("v".repeat(10_000), "v".repeat(100_000));
    let mut keys = Vec::new();
    for number in 0..300 {
        let lines = [
            format!("SET string{number} {number} EX 1000"),
            format!("HSET small{number} milk 1 eggs 2"),
            format!("HSET large{} field{number} {}", number % 3, &long[..number * 30]),
            format!("HSETEX expiring{} EX 1000 FIELDS 1 field{number} {long}", number % 3),
        ];
        for line in lines {
            keys.extend(line.split(' ').nth(1).map(str::to_owned));
            client.send(&line).await;
            client.reply().await;
        }
    }
    client.send(&format!("SET longest {longest}")).await;
    client.expect("+OK\r\n", "SET").await;
    keys.push("longest".to_owned());
    keys.sort_unstable();
    keys.dedup();
    let mut sum = 0;
    for key in keys {
        client.send(&format!("MEMORY USAGE {key}")).await;
        let usage: u64 = client.reply().await[1..].trim_end().parse().unwrap();
        assert!(key != "longest" || (100_000..100_100).contains(&usage), "{usage}");
        sum += usage;
    }
    let memory = info(&mut client, "memory").await;
    let field = |name: &str| memory[name].parse::<u64>().unwrap();
    assert_eq!((sum, field("lazyfree_pending_objects")), (field("used_memory_dataset"), 0), "{memory:?}");
    assert_eq!(sum + field("used_memory_overhead"), field("used_memory"), "{memory:?}");
    assert!((1..20_000).contains(&field("used_memory_overhead")), "{memory:?}");
    assert!(field("used_memory") <= field("allocator_active"), "{memory:?}");
    assert!(field("allocator_active") <= field("used_memory_rss"), "{memory:?}");
    assert!(field("used_memory") <= field("used_memory_peak"), "{memory:?}");
}

/// The number of a family with these labels.
fn integer(families: &[Family], name: &str, labels: &[(&str, &str)]) -> u64 {
    let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name}"));
    match family.value(labels) {
        Some(SampleValue::Integer(value)) => *value,
        Some(SampleValue::Histogram(histogram)) => histogram.count(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn the_registry_has_the_numbers_that_info_shows() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for line in ["SET a 1", "GET a", "GET a", "GET", "HGET a x"] {
        client.send(line).await;
        client.reply().await;
    }
    let info = info(&mut client, "everything").await;
    let families = node.registry.collect();
    let number = |name, labels: &[_]| integer(&families, name, labels);
    assert_eq!(number("kv_command_calls_total", &[("command", "get")]), 2);
    assert_eq!(number("kv_command_seconds", &[("command", "get")]), 2);
    assert_eq!(number("kv_command_rejected_total", &[("command", "get")]), 1);
    assert_eq!(number("kv_error_replies_total", &[("code", "WRONGTYPE")]), 1);
    for (field, name) in [
        ("connected_clients", "kv_clients"),
        ("maxclients", "kv_clients_limit"),
        ("total_connections_received", "kv_connections_total"),
        ("total_net_input_bytes", "kv_client_received_bytes_total"),
    ] {
        assert_eq!(info[field], number(name, &[]).to_string(), "{field}");
    }
}

#[tokio::test]
async fn every_number_is_named_as_prometheus_wants_it() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send("PING").await;
    client.reply().await;
    for family in node.registry.collect() {
        assert!(family.name.starts_with("kv_"), "{}", family.name);
        let is_counter = family.kind == kv_metrics::FamilyKind::Counter;
        assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
        assert!(!family.help.is_empty() && !family.help.ends_with('.'), "{}", family.name);
    }
}
