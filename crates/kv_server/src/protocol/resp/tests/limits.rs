//! The limits on a client, and the replies beyond them.

use super::{Client, Node};
use crate::limits::{Limits, OUTPUT_BYTES, PAGED_REPLY_BYTES, QUEUED_BYTES, RedisLimits};
use std::time::Duration;

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
    assert_eq!(node.client().await.rest().await, "");
    first.send("PING").await;
    first.expect("+PONG\r\n", "the first, again").await;
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
