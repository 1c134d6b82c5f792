//! What all clients together can make a node hold is bounded, whatever they do.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};
use tests::{Pair, Release, RespClient, Settings, TIMEOUT, resp::command, wait_until};

const MIB: usize = 1024 * 1024;

/// The memory for clients in these tests.
const LIMIT: usize = 64 * MIB;

/// What a node may hold besides: a command or a reply for each thread, and what the allocator keeps.
const OVERHEAD: usize = 128 * MIB;

fn node() -> Release {
    Release::alone_with("[client_limits]\nmax_memory = \"64mb\"\n")
}

fn connect(node: &Release) -> TcpStream {
    let stream = TcpStream::connect(node.clients()).expect("the node accepts clients");
    stream.set_read_timeout(Some(TIMEOUT)).expect("socket options can be set");
    stream.set_write_timeout(Some(TIMEOUT)).expect("socket options can be set");
    stream
}

/// Sends until everything is sent or the node has closed the connection.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    match stream.write_all(bytes) {
        Err(error) if !matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            panic!("the node does not read: {error}")
        }
        _ => {}
    }
}

fn assert_bounded(node: &Release, before: usize) {
    let after = node.resident_bytes();
    assert!(after < before + LIMIT + OVERHEAD, "{} -> {} MiB", before / MIB, after / MIB);
}

fn evicted(node: &Release) -> bool {
    node.log().contains("client closed: all clients together exceed client_limits.max_memory")
}

/// A node with 100 buckets, and the client that has made them.
fn node_with_topics() -> (Release, RespClient) {
    let node = node();
    let mut client = node.resp();
    (0..100).for_each(|number| assert_eq!(client.ask(&format!("HSET topic{number} milk 1")), r":1\r\n"));
    (node, client)
}

/// A Redis client that is subscribed to 100 buckets, or to 100 channels, and reads no more.
fn slow_subscriber(node: &Release, buckets: bool) -> RespClient {
    let mut client = node.resp();
    let prefix = if buckets { "__bucket__:" } else { "" };
    for number in 0..100 {
        let subscribed = client.ask(&format!("SUBSCRIBE {prefix}topic{number}"));
        assert!(subscribed.contains("subscribe"), "{subscribed}");
    }
    client
}

/// Changes 100 buckets, or publishes on 100 channels, more than any subscriber may have queued.
fn change_all(node: &Release, buckets: bool) {
    let (mut writer, value) = (node.resp(), vec![b'x'; 100_000]);
    for number in 0..100 {
        let topic = format!("topic{number}");
        let words = match buckets {
            true => [b"HSET".as_slice(), topic.as_bytes(), b"milk", &value].to_vec(),
            false => [b"PUBLISH".as_slice(), topic.as_bytes(), &value].to_vec(),
        };
        for _ in 0..25 {
            writer.command(&words);
            assert!(writer.reply().starts_with(b":"));
        }
    }
}

#[test]
fn what_is_queued_for_all_subscriptions_of_a_client_is_one_backlog() {
    for buckets in [true, false] {
        let (node, mut small) = node_with_topics();
        let mut slow = slow_subscriber(&node, buckets);
        let before = node.resident_bytes();
        change_all(&node, buckets);
        let after = node.resident_bytes();
        // 32 MiB, what is being sent, and what the buckets hold.
        assert!(after < before + 64 * MIB, "{} -> {} MiB", before / MIB, after / MIB);
        assert!(small.ask("CLIENT LIST").contains(" omem=3"), "it counts as output");
        assert!(!evicted(&node));
        assert!(slow.read_until_closed().len() < 60 * MIB, "it is disconnected after what was queued");
        assert_eq!(small.ask("HGET topic1 eggs"), r"$-1\r\n");
    }
}

#[test]
fn backlogs_count_for_all_clients_together() {
    for buckets in [true, false] {
        let (node, mut small) = node_with_topics();
        let slow: Vec<_> = (0..10).map(|_| slow_subscriber(&node, buckets)).collect();
        let before = node.resident_bytes();
        change_all(&node, buckets);
        assert_bounded(&node, before);
        assert!(evicted(&node));
        assert_eq!(small.ask("HGET topic1 eggs"), r"$-1\r\n");
        drop(slow);
        wait_until("what they held is returned", || {
            node.resp().ask("INFO memory").contains("mem_clients_normal:0")
        });
    }
}

#[test]
fn half_sent_commands_count_for_all_clients_together() {
    let node = node();
    let mut small = node.resp();
    assert_eq!(small.ask("SET milk 1"), r"+OK\r\n");
    let before = node.resident_bytes();
    let half = [b"*2\r\n$4\r\nECHO\r\n$100000000\r\n".as_slice(), &vec![b'x'; 40 * MIB]].concat();
    let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&node)).collect();
    for client in &mut clients {
        send(client, &half);
        assert_bounded(&node, before);
    }
    assert!(evicted(&node));
    assert_eq!(small.ask("GET milk"), r"$1\r\n1\r\n", "one that holds little is never closed");
}

#[test]
fn many_clients_that_each_hold_less_than_a_megabyte_stay_within_the_limit() {
    let node = node();
    let mut small = node.resp();
    assert_eq!(small.ask("SET milk 1"), r"+OK\r\n");
    let before = node.resident_bytes();
    let set = command(&[b"SET".as_slice(), b"milk", &vec![b'x'; 400_000]]);
    let queue = [command(&["MULTI"]), set.clone(), set].concat();
    let clients: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut client = connect(&node);
            send(&mut client, &queue);
            // It is answered, or closed: nobody waits forever.
            let mut replies = [0; 5 + 2 * 9];
            match client.read_exact(&mut replies) {
                Ok(()) => assert!(replies.ends_with(b"+QUEUED\r\n")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("neither answered nor closed:\n{}", small.ask("CLIENT LIST").replace("\\n", "\n"))
                }
                Err(_) => {}
            }
            client
        })
        .collect();
    wait_until("all together are within the limit", || {
        let info = small.ask("INFO memory");
        let held = info.split("mem_clients_normal:").nth(1).and_then(|rest| rest.split(r"\r").next());
        held.and_then(|held| held.parse().ok()).is_some_and(|held: usize| held <= LIMIT)
    });
    assert_bounded(&node, before);
    assert!(evicted(&node));
    assert_eq!(small.ask("GET milk"), r"$1\r\n1\r\n");
    drop(clients);
}

#[test]
fn unread_replies_count_for_all_clients_together() {
    let node = node();
    let mut small = node.resp();
    small.command(&[b"SET".as_slice(), b"milk", &vec![b'x'; 20 * MIB]]);
    assert_eq!(small.reply(), b"+OK\r\n");
    let before = node.resident_bytes();
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut client = connect(&node);
            send(&mut client, &command(&["GET", "milk"]));
            client.peek(&mut [0]).expect("a reply");
            assert_bounded(&node, before);
            client
        })
        .collect();
    assert!(evicted(&node));
    assert_eq!(small.ask("STRLEN milk"), r":20971520\r\n");
    drop(clients);
}

/// Replies to what has waited for the disk, or for another node, arrive together. They count as well while
/// the first of them are not read.
#[test]
fn unread_replies_that_have_arrived_together_count_for_all_clients_together() {
    let limit = "client_limits.max_memory = \"64mb\"\n";
    let node = Release::durable_with(limit);
    check_slow_readers(&node, "eggs", "milk");
    assert!(evicted(&node));
    drop(node);
    // Another node sends a few of them at a time.
    let volatile = Settings::default();
    let limited = Settings { head: format!("{}{limit}", volatile.head), ..volatile.clone() };
    let pair = Pair::with(&limited, &volatile);
    pair.wait_until_linked();
    check_slow_readers(&pair.foo, "pears", "rice");
}

/// Has many clients write one bucket and read another one, but not the replies.
fn check_slow_readers(node: &Release, written: &str, read: &str) {
    let mut small = node.resp();
    // Copied for each of them.
    small.command(&[b"SET".as_slice(), read.as_bytes(), &vec![b'x'; 250_000]]);
    assert_eq!(small.reply(), b"+OK\r\n");
    let before = node.resident_bytes();
    let pipeline = [command(&["SET", written, "1"]), command(&["GET", read]).repeat(63)].concat();
    let clients: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut client = connect(node);
            send(&mut client, &pipeline.repeat(4));
            client.peek(&mut [0]).expect("a reply");
            assert_bounded(node, before);
            assert!(small.ask(&format!("INCR {written}:count")).starts_with(':'), "others go on");
            client
        })
        .collect();
    assert_eq!(small.ask(&format!("STRLEN {read}")), r":250000\r\n");
    drop(clients);
}

#[test]
fn an_idle_client_keeps_no_more_than_it_has_sent() {
    let node = Release::alone();
    let before = node.resident_bytes();
    let mut client = node.resp();
    let value = vec![b'x'; 100 * MIB];
    // A part of the next command has arrived when the connection falls idle.
    client.send([command(&[b"ECHO", value.as_slice()]), b"*1\r\n$4\r\n".to_vec()].concat());
    assert_eq!(client.reply().len(), value.len() + b"$104857600\r\n\r\n".len());
    wait_until("the memory is returned", || node.resident_bytes() < before + OVERHEAD);
    client.send("PING\r\n");
    assert_eq!(client.reply(), b"+PONG\r\n");
}

/// Sends `request` `count` times before it reads a reply.
fn pipeline(node: &Release, request: &[u8], reply: &[u8], count: usize) {
    let mut client = connect(node);
    client.write_all(&request.repeat(count)).expect("the node reads on");
    let mut replies = vec![0; reply.len() * count];
    client.read_exact(&mut replies).expect("all replies");
    assert!(replies.chunks(reply.len()).all(|received| received == reply));
}

#[test]
fn a_client_may_send_all_its_requests_before_it_reads() {
    for node in [Release::alone(), Release::alone_with_epoll()] {
        let value = "x".repeat(100);
        let mut client = node.client();
        assert_eq!(client.ask("CREATE shopping"), "OK");
        client.put("shopping", "milk", &value);
        let get = command(&["HGET", "shopping", "milk"]);
        pipeline(&node, &get, format!("$100\r\n{value}\r\n").as_bytes(), 400_000);
        pipeline(&node, b"GET shopping milk\r\n", format!("{value}\r\nOK\r\n").as_bytes(), 400_000);
        let megabyte = vec![b'x'; MIB];
        let echoed = [format!("${MIB}\r\n").as_bytes(), &megabyte, b"\r\n"].concat();
        pipeline(&node, &command(&[b"ECHO", megabyte.as_slice()]), &echoed, 36);
    }
}

#[test]
fn a_pipeline_pauses_until_the_client_has_taken_a_large_value() {
    let node = node();
    let mut client = node.resp();
    let value = vec![b'x'; 16 * MIB];
    client.command(&[b"SET".as_slice(), b"milk", &value]);
    assert_eq!(client.reply(), b"+OK\r\n");
    let mut slow = connect(&node);
    send(&mut slow, &command(&["GET", "milk"]).repeat(100));
    // One reply, in a buffer of its own, and not a second one.
    wait_until("the node waits for the client", || {
        let list = client.ask("CLIENT LIST");
        let waiting = list.split(" omem=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
        waiting.max().is_some_and(|bytes: usize| (16 * MIB..32 * MIB).contains(&bytes))
    });
    let expected = [b"$16777216\r\n", value.as_slice(), b"\r\n"].concat();
    let mut reply = vec![0; expected.len()];
    for number in 0..100 {
        slow.read_exact(&mut reply).unwrap_or_else(|error| panic!("reply {number}: {error}"));
        assert!(reply == expected, "reply {number}");
    }
    assert!(!evicted(&node));
}

#[test]
fn a_client_that_only_sends_is_closed_when_memory_for_clients_is_short() {
    let node = node();
    let mut small = node.resp();
    assert_eq!(small.ask("SET milk 1"), r"+OK\r\n");
    let before = node.resident_bytes();
    let requests = command(&["ECHO", &"x".repeat(1000)]).repeat(1000);
    let mut client = connect(&node);
    wait_until("the client is closed", || {
        assert_bounded(&node, before);
        client.write_all(&requests).is_err()
    });
    assert!(evicted(&node));
    assert_eq!(small.ask("GET milk"), r"$1\r\n1\r\n");
    assert!(small.ask("INFO stats").contains(r"evicted_clients:1\r\n"));
}

#[test]
fn a_client_that_never_takes_its_reply_is_closed_by_timeout() {
    for node in [Release::alone(), Release::alone_with_epoll()] {
        assert_eq!(node.resp().ask("CONFIG SET timeout 1"), r"+OK\r\n");
        let mut client = connect(&node);
        send(&mut client, &command(&[b"ECHO".as_slice(), &vec![b'x'; 20 * MIB]]));
        client.peek(&mut [0]).expect("a reply");
        let listed = format!(" addr={} ", client.local_addr().expect("connected"));
        wait_until("it is closed", || !node.resp().ask("CLIENT LIST").contains(&listed));
    }
}

#[test]
fn clients_are_probed_by_tcp() {
    let node = Release::alone();
    let client = connect(&node);
    assert_eq!(node.resp().ask("CONFIG GET tcp-keepalive"), r"*2\r\n$13\r\ntcp-keepalive\r\n$3\r\n300\r\n");
    // Linux lists the node's end with the timer of the probes: number 2.
    let (local, remote) = (node.clients().port(), client.local_addr().expect("connected").port());
    wait_until("the timer runs", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        let ends = format!("0100007F:{local:04X} 0100007F:{remote:04X}");
        let line = sockets.lines().find(|line| line.contains(&ends));
        line.is_some_and(|line| line.split_whitespace().nth(5).is_some_and(|timer| timer.starts_with("02:")))
    });
}

#[test]
fn the_documentation_of_many_commands_is_written_in_pieces() {
    let node = node();
    let before = node.resident_bytes();
    let documented = vec!["CLIENT"; 9_000];
    let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(&node)).collect();
    for client in &mut clients {
        send(client, &command(&[&["COMMAND", "DOCS"], documented.as_slice()].concat()));
        send(client, &command(&[&["COMMAND", "INFO"], documented.as_slice()].concat()));
        client.peek(&mut [0]).expect("a reply");
    }
    assert_eq!(node.resp().ask("PING"), r"+PONG\r\n");
    assert_bounded(&node, before);
    assert!(!evicted(&node), "none of them holds much");
    let mut client = node.resp();
    client.command(&[&["COMMAND", "DOCS"], documented.as_slice()].concat());
    let reply = client.reply();
    assert!(reply.starts_with(b"*18000\r\n$6\r\nclient\r\n"), "and all of it arrives");
}

#[test]
fn errors_quote_the_start_of_a_name() {
    let node = Release::alone();
    let before = node.resident_bytes();
    let long = vec![b'\n'; 100 * MIB];
    let bucket = [b"__bucket__:".as_slice(), &long].concat();
    for words in [
        &[b"SUBSCRIBE".as_slice(), &bucket][..],
        &[b"HELLO", b"3", &long],
        &[b"CONFIG", b"SET", &long, b"1"],
        &[b"CLIENT", b"LIST", b"TYPE", &long],
        &[b"CLIENT", &long],
        &[b"EXPIRE", b"milk", b"1", &long],
        &[&long],
    ] {
        let mut client = node.resp();
        client.command(words);
        let error = client.reply();
        assert!(error.starts_with(b"-ERR ") && error.len() < 600, "{} bytes", error.len());
        // The command itself, and the input grown by a quarter; not the name with its bytes escaped.
        let now = node.resident_bytes();
        assert!(now < before + 250 * MIB, "{} -> {} MiB", before / MIB, now / MIB);
    }
}
