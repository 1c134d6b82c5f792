//! Commands of the session, and their exact replies, which are those of Redis.

use super::{Client, Node};
use crate::limits::Limits;
use std::collections::HashSet;
use tokio::io::AsyncReadExt;

/// Sends one command after the other and compares each reply.
pub(super) async fn expect_replies(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        client.send(line).await;
        client.expect(reply, line).await;
    }
}

async fn expect_replies_of_new_node(lines: &[(&str, &str)]) {
    let node = Node::start(Limits::default()).await;
    expect_replies(&mut node.client().await, lines).await;
}

const NO_PASSWORD: &str = "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n";

#[tokio::test]
async fn connection_commands() {
    expect_replies_of_new_node(&[
        ("PING", "+PONG\r\n"),
        ("ping hi", "$2\r\nhi\r\n"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
        ("ECHO hi", "$2\r\nhi\r\n"),
        ("FOO a", "-ERR unknown command 'FOO', with args beginning with: 'a' \r\n"),
        ("SELECT 0", "+OK\r\n"),
        ("SELECT 16", "-ERR DB index is out of range\r\n"),
        ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
        ("AUTH x", NO_PASSWORD),
        ("AUTH default x", "+OK\r\n"),
        ("AUTH bob x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("RESET", "+RESET\r\n"),
        ("QUIT", "+OK\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn client_commands() {
    expect_replies_of_new_node(&[
        ("CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
        ("CLIENT ID", ":1\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETNAME bob", "+OK\r\n"),
        ("CLIENT GETNAME", "$3\r\nbob\r\n"),
        ("CLIENT SETINFO LIB-NAME kv", "+OK\r\n"),
        ("CLIENT NO-EVICT ON", "+OK\r\n"),
        ("CLIENT NO-TOUCH MAYBE", "-ERR syntax error\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn client_reply_suppresses_replies() {
    expect_replies_of_new_node(&[
        ("CLIENT REPLY SKIP", ""),
        ("PING lost", ""),
        ("PING 1", "$1\r\n1\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("SET a 1", ""),
        ("FOO", ""),
        ("CLIENT REPLY ON", "+OK\r\n"),
        ("GET a", "$1\r\n1\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_client_that_wants_no_replies_gets_no_protocol_error() {
    let node = Node::start(Limits::default()).await;
    for (bytes, error) in
        [("SET a \"b", "unbalanced quotes in request"), ("*1\r\n#", "expected '$', got '#'")]
    {
        for (before, reply) in [
            ("", format!("-ERR Protocol error: {error}\r\n").as_str()),
            ("CLIENT REPLY SKIP", ""),
            ("PING\r\nCLIENT REPLY OFF\r\nPING", "+PONG\r\n"),
        ] {
            let mut client = node.client().await;
            client.send_bytes(format!("*0\r\n{before}\r\n{bytes}\r\n").as_bytes()).await;
            assert_eq!(client.rest().await, reply, "{before} {bytes}");
        }
    }
}

#[tokio::test]
async fn skip_skips_one_reply_however_often_it_is_said() {
    expect_replies_of_new_node(&[
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY SKIP", ""),
        ("ECHO a", ""),
        ("ECHO b", "$1\r\nb\r\n"),
        ("CLIENT REPLY SKIP", ""),
        ("CLIENT REPLY ON", "+OK\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("CLIENT REPLY SKIP", ""),
        ("ECHO c", ""),
        ("ECHO d", ""),
        ("CLIENT REPLY ON", "+OK\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn confirmations_of_subscriptions_are_not_replies() {
    expect_replies_of_new_node(&[
        ("CLIENT REPLY OFF", ""),
        ("SUBSCRIBE x", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"),
        ("GET a", ""),
        ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n"),
        ("GET a", ""),
        ("CLIENT REPLY ON", "+OK\r\n"),
        ("CLIENT REPLY SKIP", ""),
        ("PSUBSCRIBE y", "*3\r\n$10\r\npsubscribe\r\n$1\r\ny\r\n:1\r\n"),
        ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
    ])
    .await;
}

const BECAUSE: &str = "-EXECABORT Transaction discarded because of:";
const PREVIOUS: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

#[tokio::test]
async fn what_may_not_be_queued() {
    expect_replies_of_new_node(&[
        ("MULTI", "+OK\r\n"),
        ("CLIENT REPLY OFF", "-ERR Command not allowed inside a transaction\r\n"),
        ("EXEC", PREVIOUS),
        ("MULTI", "+OK\r\n"),
        (
            "SUBSCRIBE a b",
            "-ERR SUBSCRIBE takes one name inside a transaction, because each has a reply of its own\r\n",
        ),
        ("EXEC", PREVIOUS),
        ("MULTI", "+OK\r\n"),
        ("MSET a 1 b", "+QUEUED\r\n"),
        ("SET c 1", "+QUEUED\r\n"),
        ("EXEC", "*2\r\n-ERR wrong number of arguments for 'mset' command\r\n+OK\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn an_exec_that_is_rejected_ends_the_transaction() {
    let arity = format!("{BECAUSE} wrong number of arguments for 'exec' command\r\n");
    let subscribed = format!(
        "{BECAUSE} Can't execute 'exec': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context\r\n"
    );
    expect_replies_of_new_node(&[
        ("MULTI", "+OK\r\n"),
        ("SET a 1", "+QUEUED\r\n"),
        ("EXEC x", &arity),
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("EXISTS a", ":0\r\n"),
        ("SUBSCRIBE x", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"),
        ("EXEC", &subscribed),
    ])
    .await;
}

#[tokio::test]
async fn an_exec_without_multi_leaves_the_watches() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut other) = (node.client().await, node.client().await);
    expect_replies(&mut client, &[("WATCH a", "+OK\r\n"), ("EXEC", "-ERR EXEC without MULTI\r\n")]).await;
    expect_replies(&mut other, &[("SET a 1", "+OK\r\n")]).await;
    let lines = [("MULTI", "+OK\r\n"), ("GET a", "+QUEUED\r\n"), ("EXEC", "*-1\r\n")];
    expect_replies(&mut client, &lines).await;
}

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

#[tokio::test]
async fn memory_is_judged_when_a_command_is_queued_and_when_exec_begins() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut other) = (node.client().await, node.client().await);
    expect_replies(&mut client, &[("SET a 1", "+OK\r\n"), ("MULTI", "+OK\r\n"), ("SET b 1", "+QUEUED\r\n")])
        .await;
    expect_replies(&mut other, &[("CONFIG SET maxmemory 1", "+OK\r\n")]).await;
    let because = format!("{BECAUSE} OOM command not allowed when used memory > 'maxmemory'.\r\n");
    expect_replies(
        &mut client,
        &[
            ("EXEC", because.as_str()),
            ("MULTI", "+OK\r\n"),
            ("GET a", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n$1\r\n1\r\n"),
            ("MULTI", "+OK\r\n"),
            ("GET a", "+QUEUED\r\n"),
            ("SET b 1", OOM),
            ("EXEC", PREVIOUS),
            ("EXISTS b", ":0\r\n"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_mset_that_does_not_fit_writes_nothing() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    expect_replies(&mut client, &[("CONFIG SET maxmemory 100kb", "+OK\r\n")]).await;
    for keys in [3, 300] {
        let value = "v".repeat(150_000 / keys);
        let pairs: String = (0..keys).map(|key| format!(" key{key} {value}")).collect();
        expect_replies(&mut client, &[(&format!("MSET{pairs}"), OOM), ("DBSIZE", ":0\r\n")]).await;
    }
}

#[tokio::test]
async fn client_list_is_filtered_by_type_and_id() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut other) = (node.client().await, node.client().await);
    other.send("SUBSCRIBE x").await;
    other.reply().await;
    for (filter, ids) in [("TYPE normal ID 1 2", vec![1]), ("ID 1 2 TYPE pubsub", vec![2]), ("ID 3", vec![])]
    {
        client.send(&format!("CLIENT LIST {filter}")).await;
        let listed = client.bulk().await;
        let found: Vec<u64> = listed
            .lines()
            .filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(found, ids, "{filter}");
    }
    expect_replies(
        &mut client,
        &[
            ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID\r\n"),
            ("CLIENT LIST ID", "-ERR syntax error\r\n"),
        ],
    )
    .await;
}

const SLOWLOG_HELP: &str = "*9\r\n+SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n\
    +GET [count]\r\n+    Returns an empty list: slow commands are not recorded.\r\n\
    +HELP\r\n+    Lists the subcommands.\r\n\
    +LEN\r\n+    Returns 0: slow commands are not recorded.\r\n\
    +RESET\r\n+    Returns OK: slow commands are not recorded.\r\n";

#[tokio::test]
async fn every_command_with_subcommands_has_help() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for container in
        ["CLIENT", "COMMAND", "CONFIG", "DEBUG", "LATENCY", "MEMORY", "OBJECT", "PUBSUB", "SLOWLOG"]
    {
        client.send(&format!("{container} HELP")).await;
        let help = client.reply().await;
        assert!(
            help.contains(&format!("+{container} <subcommand>")) && help.contains("\r\n+HELP\r\n"),
            "{help}"
        );
    }
}

#[tokio::test]
async fn command_info_says_where_keys_are() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for (command, last, step) in [("get", 0, 1), ("rename", 0, 1), ("del", -1, 1), ("mset", -1, 2)] {
        client.send(&format!("COMMAND INFO {command}")).await;
        let info = client.reply().await;
        let found = format!("$7\r\nlastkey\r\n:{last}\r\n$7\r\nkeystep\r\n:{step}\r\n");
        assert!(info.contains(&found), "{command}: {info}");
    }
    client.send("HELLO 3").await;
    client.reply().await;
    client.send("COMMAND INFO mget ping").await;
    let info = client.reply().await;
    for set in ["~1\r\n$26\r\nrequest_policy:multi_shard\r\n", "~1\r\n%3\r\n$5\r\nflags\r\n", "~0\r\n*0\r\n"]
    {
        assert!(info.contains(set), "{info}");
    }
    client.send("COMMAND LIST FILTERBY ACLCAT connection").await;
    assert!(client.reply().await.contains("client|id"));
}

#[tokio::test]
async fn server_commands() {
    expect_replies_of_new_node(&[
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        ("CONFIG GET nope", "*0\r\n"),
        ("CONFIG SET timeout 7", "+OK\r\n"),
        ("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n"),
        (
            "CONFIG SET port 1",
            "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n",
        ),
        (
            "CONFIG SET timeout 1 TIMEOUT 2",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter\r\n",
        ),
        ("CONFIG SET proto-max-bulk-len 512mb", "+OK\r\n"),
        ("SLOWLOG GET -1", "*0\r\n"),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n"),
        ("SCAN -0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SLOWLOG HELP", SLOWLOG_HELP),
        ("CONFIG SET nope 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'\r\n"),
        ("CONFIG RESETSTAT", "+OK\r\n"),
        ("WAIT 0 0", ":0\r\n"),
        ("HSET abc milk 12", ":1\r\n"),
        ("MEMORY USAGE abc", ":16\r\n"),
        ("SET abc 1234", "+OK\r\n"),
        ("MEMORY USAGE abc SAMPLES 0", ":16\r\n"),
        ("MEMORY USAGE nope", "$-1\r\n"),
        ("SLOWLOG GET", "*0\r\n"),
        ("LATENCY RESET", ":0\r\n"),
        ("COMMAND INFO nosuch", "*1\r\n$-1\r\n"),
        ("COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("COMMAND GETKEYS OBJECT ENCODING a", "*1\r\n$1\r\na\r\n"),
        ("COMMAND GETKEYS PING", "-ERR The command has no key arguments\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn keyspace_commands() {
    expect_replies_of_new_node(&[
        ("MSET a 1 b 2", "+OK\r\n"),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
        ("HSET h f v", ":1\r\n"),
        ("MGET a h b c", "*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n$-1\r\n"),
        ("EXISTS a a c", ":2\r\n"),
        ("DBSIZE", ":3\r\n"),
        ("KEYS h*", "*1\r\n$1\r\nh\r\n"),
        ("SCAN 0 COUNT 1000000 TYPE hash", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nh\r\n"),
        ("SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SCAN x", "-ERR invalid cursor\r\n"),
        ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
        ("DEL a b c", ":2\r\n"),
        ("RANDOMKEY", "$1\r\nh\r\n"),
        ("FLUSHALL", "+OK\r\n"),
        ("RANDOMKEY", "$-1\r\n"),
        ("FLUSHALL NOW", "-ERR syntax error\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn transaction_commands() {
    expect_replies_of_new_node(&[
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
        ("MULTI", "+OK\r\n"),
        ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
        ("SET a 1", "+QUEUED\r\n"),
        ("PING", "+QUEUED\r\n"),
        ("HGET a f", "+QUEUED\r\n"),
        ("MGET a b", "+QUEUED\r\n"),
        (
            "EXEC",
            "*4\r\n+OK\r\n+PONG\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n*2\r\n$1\r\n1\r\n$-1\r\n",
        ),
        ("MULTI", "+OK\r\n"),
        ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ("MULTI", "+OK\r\n"),
        ("SET b 1", "+QUEUED\r\n"),
        ("FLUSHALL", "+QUEUED\r\n"),
        ("SET c 1", "+QUEUED\r\n"),
        ("KEYS *", "+QUEUED\r\n"),
        ("EXEC", "*4\r\n+OK\r\n+OK\r\n+OK\r\n*1\r\n$1\r\nc\r\n"),
        ("MULTI", "+OK\r\n"),
        ("EXEC", "*0\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn exec_fails_when_a_watched_key_has_changed() {
    let node = Node::start(Limits::default()).await;
    let (mut watcher, mut other) = (node.client().await, node.client().await);
    expect_replies(&mut watcher, &[("WATCH a", "+OK\r\n"), ("GET a", "$-1\r\n"), ("MULTI", "+OK\r\n")]).await;
    expect_replies(&mut other, &[("SET a 1", "+OK\r\n")]).await;
    expect_replies(
        &mut watcher,
        &[("SET a 2", "+QUEUED\r\n"), ("EXEC", "*-1\r\n"), ("GET a", "$1\r\n1\r\n")],
    )
    .await;
    expect_replies(&mut watcher, &[("WATCH a", "+OK\r\n"), ("UNWATCH", "+OK\r\n")]).await;
    expect_replies(&mut other, &[("SET a 3", "+OK\r\n")]).await;
    expect_replies(
        &mut watcher,
        &[("MULTI", "+OK\r\n"), ("GET a", "+QUEUED\r\n"), ("EXEC", "*1\r\n$1\r\n3\r\n")],
    )
    .await;
}

#[tokio::test]
async fn pubsub_commands() {
    let node = Node::start(Limits::default()).await;
    let (mut subscriber, mut publisher) = (node.client().await, node.client().await);
    expect_replies(
        &mut subscriber,
        &[
            ("SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"),
            ("PSUBSCRIBE n*", "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:2\r\n"),
            (
                "GET a",
                "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n",
            ),
            ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ],
    )
    .await;
    expect_replies(&mut publisher, &[("PUBLISH news hi", ":2\r\n"), ("PUBSUB NUMPAT", ":1\r\n")]).await;
    expect_replies(&mut publisher, &[("PUBSUB NUMSUB news", "*2\r\n$4\r\nnews\r\n:1\r\n")]).await;
    subscriber.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n", "a message").await;
    subscriber.expect("*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n", "by pattern").await;
    expect_replies(
        &mut subscriber,
        &[
            ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n"),
            ("PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$2\r\nn*\r\n:0\r\n"),
            ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
            ("GET a", "$-1\r\n"),
        ],
    )
    .await;
}

#[tokio::test]
async fn changes_of_a_bucket_are_messages() {
    let node = Node::start(Limits::default()).await;
    let (mut subscriber, mut text) = (node.client().await, node.client().await);
    text.send_bytes(b"CREATE shopping\r\n").await;
    text.expect("OK\r\n", "CREATE").await;
    subscriber.send("SUBSCRIBE __bucket__:shopping").await;
    subscriber.expect("*3\r\n$9\r\nsubscribe\r\n$19\r\n__bucket__:shopping\r\n:1\r\n", "SUBSCRIBE").await;
    text.send_bytes(b"PUT shopping milk 1\r\nDELETE shopping milk\r\nDROP shopping\r\n").await;
    for payload in ["$13\r\nmilk SET TO 1", "$12\r\nmilk DELETED", "$29\r\nENDED: the bucket was dropped"] {
        let message = format!("*3\r\n$7\r\nmessage\r\n$19\r\n__bucket__:shopping\r\n{payload}\r\n");
        subscriber.expect(&message, payload).await;
    }
    subscriber.expect("*3\r\n$11\r\nunsubscribe\r\n$19\r\n__bucket__:shopping\r\n:0\r\n", "the end").await;
}

#[tokio::test]
async fn resp3_types() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send("HELLO 3 SETNAME bob").await;
    let fields = "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n";
    let more = "$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    client.expect(&format!("%7\r\n{fields}{more}"), "HELLO 3").await;
    expect_replies(
        &mut client,
        &[
            ("GET a", "_\r\n"),
            ("HSET h f v", ":1\r\n"),
            ("HGETALL h", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n"),
            ("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("SUBSCRIBE news", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"),
            ("GET a", "_\r\n"),
            ("WATCH h", "+OK\r\n"),
            ("HSET h f w", ":0\r\n"),
            ("MULTI", "+OK\r\n"),
            ("EXEC", "_\r\n"),
        ],
    )
    .await;
}

/// A hash of several pages is listed completely, and its reply stays in order.
#[tokio::test]
async fn a_paged_reply_keeps_its_place() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let fields: String = (0..5_000).map(|number| format!(" f{number:04} {number:04}")).collect();
    client.send(&format!("HSET h{fields}")).await;
    client.expect(":5000\r\n", "HSET").await;
    client.send("HKEYS h").await;
    client.send("DEL h").await;
    client.expect("*5000\r\n", "HKEYS").await;
    let mut keys = Vec::new();
    for _ in 0..5_000 {
        let mut bytes = [0; 11];
        tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut bytes).await.expect("a key");
        keys.push(bytes);
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 5_000);
    client.expect(":1\r\n", "DEL").await;
}

#[tokio::test]
async fn more_random_fields_than_one_step_picks() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let (field, value) = ("$1\r\nf\r\n", "$1\r\n1\r\n");
    expect_replies(
        &mut client,
        &[
            ("HSET h f 1", ":1\r\n"),
            ("HRANDFIELD h -20001", &format!("*20001\r\n{}", field.repeat(20_001))),
            (
                "HRANDFIELD h -20001 WITHVALUES",
                &format!("*40002\r\n{}", [field, value].concat().repeat(20_001)),
            ),
            ("HRANDFIELD nothing -20001", "*0\r\n"),
            ("HRANDFIELD text -20001", "*0\r\n"),
            (
                "HRANDFIELD h -9223372036854775807",
                "-ERR more than 67108864 bytes to be listed: use a smaller count\r\n",
            ),
            ("MULTI", "+OK\r\n"),
            ("HRANDFIELD h -20001", "+QUEUED\r\n"),
            (
                "EXEC",
                "*1\r\n-ERR too many random fields for a transaction: use a smaller count, or HRANDFIELD outside of \
                 it\r\n",
            ),
        ],
    )
    .await;
    for number in 0..25_000 {
        client.send(&format!("HSET many {number:05} 1")).await;
        client.expect(":1\r\n", "a new field").await;
    }
    for (count, picked) in [(24_000, 24_000), (30_000, 25_000)] {
        client.send(&format!("HRANDFIELD many {count}")).await;
        client.expect(&format!("*{picked}\r\n"), "the header").await;
        let mut fields = vec![0; picked * "$5\r\n00000\r\n".len()];
        client.0.read_exact(&mut fields).await.expect("all fields");
        let fields: HashSet<&[u8]> = fields.chunks("$5\r\n00000\r\n".len()).collect();
        assert_eq!(fields.len(), picked, "no field twice");
    }
}
