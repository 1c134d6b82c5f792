//! The limits on a client, and the replies beyond them.

use super::{Client, Node, encode, replies::expect_replies};
use crate::limits::{
    Limits, OUTPUT_BYTES, PAGED_REPLY_BYTES, QUEUED_BYTES, RedisLimits, SESSION_ARGUMENTS, STEP_ARGUMENTS,
    WATCHED,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

async fn reply_before_close(limits: Limits, bytes: &[u8]) -> String {
    let node = Node::start(limits).await;
    let mut client = node.client().await;
    client.send_bytes(bytes).await;
    client.rest().await
}

#[tokio::test]
async fn the_bytes_of_an_argument_are_limited() {
    let limits =
        Limits { redis: RedisLimits { bulk_bytes: 10, ..RedisLimits::default() }, ..Limits::default() };
    assert_eq!(
        reply_before_close(limits, b"*1\r\n$11\r\n").await,
        "-ERR Protocol error: invalid bulk length\r\n"
    );
}

#[tokio::test]
async fn the_bytes_of_a_request_are_limited() {
    let limits =
        Limits { redis: RedisLimits { request_bytes: 30, ..RedisLimits::default() }, ..Limits::default() };
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20\r\n";
    assert_eq!(
        reply_before_close(limits, request).await,
        "-ERR Protocol error: request of more than 30 bytes\r\n"
    );
}

#[tokio::test]
async fn the_arguments_of_a_request_are_limited() {
    let close = reply_before_close(Limits::default(), b"*1048577\r\n").await;
    assert_eq!(close, "-ERR Protocol error: invalid multibulk length\r\n");
}

#[tokio::test]
async fn http_closes_the_connection_unanswered() {
    for http in ["POST / HTTP/1.1\r\n", "get http://x/ HTTP/1.0\n", "host: x\r\n"] {
        let request = format!("*1\r\n$4\r\nPING\r\n{http}PING\r\n");
        assert_eq!(reply_before_close(Limits::default(), request.as_bytes()).await, "+PONG\r\n", "{http}");
    }
}

#[tokio::test]
async fn an_inline_command_is_limited() {
    let (limits, long) = (Limits::default(), "x".repeat(64 * 1024));
    let close = reply_before_close(limits, format!("*0\r\nECHO {long}\r\nPING\r\n").as_bytes()).await;
    assert_eq!(close, "-ERR Protocol error: too big inline request\r\n");
    let close = reply_before_close(limits, format!("SET {long} 1\r\nPING\r\n").as_bytes()).await;
    assert_eq!(close, "-ERR Protocol error: too big inline request\r\n");
    let close = reply_before_close(limits, b"*0\r\nPING \"x\r\nPING\r\n").await;
    assert_eq!(close, "-ERR Protocol error: unbalanced quotes in request\r\n");
}

#[tokio::test]
async fn the_number_of_clients_is_limited() {
    let node = Node::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = node.client().await;
    first.send("PING").await;
    first.expect("+PONG\r\n", "the first").await;
    assert_eq!(node.client().await.rest().await, "-ERR max number of clients reached\r\n");
    first.send("PING").await;
    first.expect("+PONG\r\n", "the first, again").await;
}

#[tokio::test]
async fn a_sleeper_that_has_left_gives_up_its_place() {
    let node = Node::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut sleeper = node.client().await;
    sleeper.send("PING").await;
    sleeper.expect("+PONG\r\n", "PING").await;
    sleeper.send("DEBUG SLEEP 60").await;
    drop(sleeper);
    loop {
        let mut next = node.client().await;
        // It is refused until the sleeper's connection has ended.
        if next.0.write_all(b"*1\r\n$4\r\nQUIT\r\n").await.is_ok() && next.rest().await == "+OK\r\n" {
            break;
        }
    }
}

#[tokio::test]
async fn no_time_is_no_sleep() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    for seconds in ["-1", "nan", "inf", "-inf", "1e300", "0"] {
        client.send(&format!("DEBUG SLEEP {seconds}")).await;
        client.expect("+OK\r\n", seconds).await;
    }
    client.send("DEBUG SLEEP x").await;
    client.expect("-ERR value is not a valid float\r\n", "x").await;
}

#[tokio::test]
async fn an_idle_client_is_disconnected_unless_it_is_subscribed() {
    let redis = RedisLimits { idle: Some(Duration::from_secs(1)), ..RedisLimits::default() };
    let node = Node::start(Limits { redis, ..Limits::default() }).await;
    let (mut silent, mut subscribed) = (node.client().await, node.client().await);
    subscribed.send("SUBSCRIBE news").await;
    subscribed.expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", "SUBSCRIBE").await;
    assert_eq!(silent.rest().await, "");
    subscribed.send("PING").await;
    subscribed.expect("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING").await;
}

#[tokio::test]
async fn the_transaction_queue_is_limited() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send("MULTI").await;
    client.expect("+OK\r\n", "MULTI").await;
    client.send(&format!("SET a {}", "x".repeat(QUEUED_BYTES))).await;
    client
        .expect(
            "-ERR transaction too large: it may have 100000 commands and 67108864 bytes\r\n",
            "too much for EXEC",
        )
        .await;
    client.send("EXEC").await;
    client.expect("-EXECABORT Transaction discarded because of previous errors.\r\n", "EXEC").await;
}

#[tokio::test]
async fn a_transaction_that_may_touch_too_much_does_nothing() {
    const REFUSED: &str = "-ERR transaction too large: it may touch 20000 keys and fields, and 16777216 bytes; \
                           nothing was done; do it in parts, or raise storage.max_transaction_entries and \
                           _bytes\r\n";
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send(&format!("SET large {}", "x".repeat(1 << 20))).await;
    client.expect("+OK\r\n", "SET").await;
    client.send(&format!("SET medium {}", "x".repeat(200_000))).await;
    client.expect("+OK\r\n", "SET").await;
    for (queued, times) in [
        ("COPY medium copy REPLACE", 100),
        ("GET large", 20),
        ("HGETALL none", 20_001),
        ("MGET a b c", 7_000),
    ] {
        client.send("MULTI").await;
        client.send("SET a 1").await;
        client.send_bytes(&encode(queued).repeat(times)).await;
        client.send("EXEC").await;
        client.expect(&format!("+OK\r\n{}{REFUSED}", "+QUEUED\r\n".repeat(times + 1)), queued).await;
    }
    client.send("EXISTS a copy").await;
    client.expect(":0\r\n", "nothing was done").await;
}

/// The steps of an EXEC are limited one by one: two that are too large together are executed if something
/// separates them.
#[tokio::test]
async fn memory_usage_splits_a_transaction_into_two_steps() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let pairs: String = (0..6_000).map(|number| format!(" {number} 1")).collect();
    for (between, replies) in
        [("HLEN none", None), ("MEMORY USAGE none", Some("*3\r\n:6000\r\n$-1\r\n:6000\r\n"))]
    {
        client.send("MULTI").await;
        for queued in [&format!("HSET one{pairs}"), between, &format!("HSET two{pairs}"), "EXEC"] {
            client.send(queued).await;
        }
        client.expect(&format!("+OK\r\n{}", "+QUEUED\r\n".repeat(3)), between).await;
        client.expect(replies.unwrap_or("-ERR transaction too large: "), between).await;
        if replies.is_none() {
            client.line().await;
        }
    }
}

#[tokio::test]
async fn a_command_that_copies_too_much_says_what_to_do() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let pairs: Vec<String> = (0..65).map(|number| format!(" {number} {}", "x".repeat(1 << 18))).collect();
    for command in ["HSET h", "MSETNX a 1"] {
        client.send(&format!("{command}{}", pairs.concat())).await;
        client
            .expect(
                "-ERR command too large: one step may read or write 16777216 bytes in names, fields, and values \
                 up to 262144 bytes; nothing was done; do it in parts\r\n",
                command,
            )
            .await;
    }
    client.send(&format!("HSET h{}", pairs[..63].concat())).await;
    client.expect(":63\r\n", "HSET").await;
}

#[tokio::test]
async fn the_arguments_of_one_step_are_limited() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    let words = |count: usize| (0..count).map(|number| format!(" {number}")).collect::<String>();
    for name in ["HSET", "HDEL", "HMGET", "MSETNX"] {
        client.send(&format!("{name}{}", words(STEP_ARGUMENTS + 2 - STEP_ARGUMENTS % 2))).await;
        client
            .expect("-ERR command too large: it may have 40000 arguments, because it is one step\r\n", name)
            .await;
    }
    client.send(&format!("HSET{}", words(STEP_ARGUMENTS - 1))).await;
    client.expect(&format!(":{}\r\n", STEP_ARGUMENTS / 2 - 1), "HSET").await;
    client.send(&format!("MSET{}", words(2 * STEP_ARGUMENTS))).await;
    client.expect("+OK\r\n", "MSET").await;
    client.send(&format!("DEL{}", words(2 * STEP_ARGUMENTS))).await;
    client.expect(&format!(":{STEP_ARGUMENTS}\r\n"), "DEL").await;
}

/// A client that sends without reading blocks only itself, and few of its replies are buffered.
#[tokio::test]
async fn reading_pauses_while_a_client_does_not_read_its_replies() {
    let node = Node::start(Limits::default()).await;
    let (mut slow, mut other) = (node.client().await, node.client().await);
    let value = "x".repeat(OUTPUT_BYTES);
    slow.send(&format!("SET a {value}")).await;
    slow.expect("+OK\r\n", "SET").await;
    let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    let asked = PAGED_REPLY_BYTES / OUTPUT_BYTES;
    slow.send_bytes(&get.repeat(asked)).await;
    other.send("PING").await;
    other.expect("+PONG\r\n", "another client").await;
    let reply = format!("${OUTPUT_BYTES}\r\n{value}\r\n");
    for number in 0..asked {
        slow.expect(&reply, &format!("reply {number}")).await;
    }
}

/// Replies are sent in order, however many commands arrive together.
#[tokio::test]
async fn a_pipeline_may_be_of_any_depth() {
    let node = Node::start(Limits::default()).await;
    let Client(stream) = node.client().await;
    let (reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        writer.write_all(&b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(100_000)).await.map(|()| writer)
    });
    use tokio::io::AsyncBufReadExt;
    let mut lines = tokio::io::BufReader::new(reader).lines();
    for number in 1..=100_000 {
        assert_eq!(lines.next_line().await.unwrap(), Some(format!(":{number}")));
    }
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn watched_names_have_a_budget_and_end_with_their_connection() {
    let node = Node::start(Limits::default()).await;
    let mut other = node.client().await;
    expect_replies(
        &mut other,
        &[("CONFIG SET maxmemory 1600000", "+OK\r\n"), ("WATCH mine", "+OK\r\n"), ("MULTI", "+OK\r\n")],
    )
    .await;
    let oom = "-OOM the watched keys of all clients take the memory they may have: UNWATCH some, or raise \
               maxmemory\r\n";
    for end in ["UNWATCH", "QUIT", "MULTI", "QUIT", "EXEC", "QUIT"] {
        let mut greedy = node.client().await;
        let mut kept = 0;
        loop {
            greedy.send(&format!("WATCH {}{kept}", "name".repeat(250))).await;
            let first = greedy.line().await;
            if first == "+OK\r\n" {
                kept += 1;
                continue;
            }
            assert_eq!(first, oom);
            // 100,000 bytes. A connection that was closed before may end a little later.
            if kept >= 40 {
                break;
            }
        }
        assert!(kept < 50, "{kept} before {end}");
        match end {
            "UNWATCH" => expect_replies(&mut greedy, &[("UNWATCH", "+OK\r\n")]).await,
            "MULTI" => expect_replies(&mut greedy, &[("MULTI", "+OK\r\n"), ("DISCARD", "+OK\r\n")]).await,
            "EXEC" => expect_replies(&mut greedy, &[("MULTI", "+OK\r\n"), ("EXEC", "*0\r\n")]).await,
            _ => {
                greedy.send("QUIT").await;
                greedy.rest().await;
            }
        }
    }
    expect_replies(&mut other, &[("EXEC", "*0\r\n")]).await;
}

#[tokio::test]
async fn a_watch_of_more_keys_than_a_connection_may_watch_watches_none_of_them() {
    let node = Node::start(Limits::default()).await;
    let (mut client, mut other) = (node.client().await, node.client().await);
    for first in [0, WATCHED / 2] {
        let keys: String = (first..first + WATCHED / 2).map(|number| format!(" {number}")).collect();
        client.send(&format!("WATCH{keys}")).await;
        client.expect("+OK\r\n", "up to the limit").await;
    }
    client.send("WATCH 1 2 more").await;
    client.expect("-ERR one connection may watch 10000 keys\r\n", "one more").await;
    expect_replies(&mut client, &[("WATCH 1 2", "+OK\r\n"), ("MULTI", "+OK\r\n")]).await;
    expect_replies(&mut other, &[("SET more 1", "+OK\r\n"), ("WATCH other", "+OK\r\n")]).await;
    expect_replies(&mut client, &[("EXEC", "*0\r\n"), ("WATCH 1", "+OK\r\n"), ("MULTI", "+OK\r\n")]).await;
    expect_replies(&mut other, &[("SET 1 1", "+OK\r\n")]).await;
    expect_replies(&mut client, &[("EXEC", "*-1\r\n")]).await;
}

#[tokio::test]
async fn the_arguments_of_commands_of_the_session_are_limited() {
    let node = Node::start(Limits::default()).await;
    let mut client = node.client().await;
    client.send(&format!("EXISTS{}", " a".repeat(SESSION_ARGUMENTS + 1))).await;
    client.expect(":0\r\n", "a command on buckets").await;
    for (command, name) in [
        ("COMMAND DOCS", "command|docs"),
        ("CLIENT LIST ID", "client|list"),
        ("WATCH", "watch"),
        ("INFO", "info"),
    ] {
        client.send(&format!("{command}{}", " 1".repeat(SESSION_ARGUMENTS))).await;
        let error = format!("-ERR too many arguments for '{name}' command: the limit is 10000\r\n");
        client.expect(&error, command).await;
    }
    client.send("MULTI").await;
    client.expect("+OK\r\n", "MULTI").await;
    client.send(&format!("CONFIG GET{}", " 1".repeat(SESSION_ARGUMENTS))).await;
    client.expect("-ERR too many arguments for 'config|get' command: the limit is 10000\r\n", "queued").await;
    client.send("EXEC").await;
    client.expect("-EXECABORT Transaction discarded because of previous errors.\r\n", "EXEC").await;
}
