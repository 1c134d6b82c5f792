//! Malicious bytes and slow or idle clients cost little and do not stop the server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use tests::{Pair, Release, resp::command, wait_until};

#[test]
fn a_protocol_error_is_reported_and_closes_the_connection() {
    let mut node = Release::alone();
    for (sent, error) in [
        ("*1\r\n$1000000000000\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$abc\r\n", "invalid bulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*abc\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n$4\r\nPINGPING\r\n", "expected CRLF after a bulk string"),
    ] {
        let mut client = node.resp();
        // What comes before is answered, what comes after is not.
        client.send([&command(&["PING"]), sent.as_bytes(), &command(&["PING"])].concat());
        let answer = client.read_until_closed();
        assert_eq!(
            answer,
            format!(r"+PONG\r\n-ERR Protocol error: {}\r\n", error.escape_default()),
            "{sent:?}"
        );
    }
    for endless in ["*1", "*1\r\n$1"] {
        let mut client = node.resp();
        client.send([endless, &"1".repeat(64 * 1024)].concat());
        let error = client.read_until_closed();
        assert!(error.starts_with("-ERR Protocol error: "), "{error}");
    }
    assert!(node.still_runs());
    assert_eq!(node.resp().ask("PING"), r"+PONG\r\n");
}

#[test]
fn a_browser_is_disconnected() {
    let node = Release::alone();
    let command = String::from_utf8(command(&["SET", "stolen", "1"])).unwrap();
    for head in ["POST / HTTP/1.1\r\nHost: x\r\n\r\n", "Host: x\r\n"] {
        let mut client = node.client();
        client.send(format!("{head}{command}"));
        client.read_until_closed();
    }
    assert_eq!(node.resp().ask("EXISTS stolen"), r":0\r\n");
}

#[test]
fn words_up_to_the_limit_are_accepted() {
    let node = Release::alone();
    let mut client = node.resp();
    let mut words = vec!["DEL"; 1_048_576];
    words[1] = "apples";
    client.ask("SET apples 1");
    client.command(&words);
    assert_eq!(client.reply(), b":1\r\n");
}

#[test]
fn a_client_that_reads_no_replies_is_not_read_from() {
    const MEGABYTE: usize = 1024 * 1024;
    const REQUESTS: usize = 1_000;
    let pair = Pair::start();
    for bucket in ["apples", "shopping"] {
        let mut client = pair.foo.resp();
        client.command(&[b"SET".as_slice(), bucket.as_bytes(), &vec![b'x'; MEGABYTE]]);
        assert_eq!(client.reply(), b"+OK\r\n");
        let before = pair.foo.resident_bytes();
        let mut slow = TcpStream::connect(pair.foo.clients()).unwrap();
        slow.write_all(&command(&["GET", bucket]).repeat(REQUESTS)).unwrap();
        slow.peek(&mut [0]).unwrap();
        // Others are served meanwhile, and the memory of the slow client does not grow with its requests.
        for _ in 0..100 {
            client.ask("STRLEN shopping");
        }
        let after = pair.foo.resident_bytes();
        assert!(after < before + 64 * MEGABYTE, "{before} -> {after} bytes");
        slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reply = vec![0; 10 + MEGABYTE + 2];
        for _ in 0..REQUESTS {
            slow.read_exact(&mut reply).unwrap();
            assert!(reply.starts_with(b"$1048576\r\nx"), "a reply is lost");
        }
    }
}

#[test]
fn the_answers_of_a_transaction_are_bounded() {
    const MEGABYTE: usize = 1024 * 1024;
    let node = Release::alone();
    let mut client = node.resp();
    client.command(&[b"SET".as_slice(), b"apples", &vec![b'x'; MEGABYTE]]);
    assert_eq!(client.reply(), b"+OK\r\n");
    let before = node.resident_bytes();
    client.send(
        [command(&["MULTI"]), command(&["GET", "apples"]).repeat(500), command(&["DEL", "apples"])].concat(),
    );
    (0..502).for_each(|_| drop(client.reply()));
    client.command(&["EXEC"]);
    let answer = client.reply();
    assert!(answer.starts_with(b"-ERR transaction too large: "), "{}", answer.escape_ascii());
    let after = node.resident_bytes();
    assert!(after < before + 16 * MEGABYTE, "{before} -> {after} bytes");
}

#[test]
fn a_subscriber_that_falls_behind_is_disconnected() {
    let pair = Pair::start();
    let before = pair.foo.resident_bytes();
    let mut slow = pair.foo.resp();
    assert_eq!(slow.ask("SUBSCRIBE news"), r"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    let mut publisher = pair.foo.resp();
    let message = command(&[b"PUBLISH".as_slice(), b"news", &[b'x'; 10_000]]);
    wait_until("the subscriber is gone", || {
        publisher.send(message.repeat(100));
        (0..100).map(|_| publisher.reply()).any(|received| received == b":0\r\n")
    });
    let after = pair.foo.resident_bytes();
    assert!(after < before + 128 * 1024 * 1024, "{before} -> {after} bytes");
    slow.read_until_closed();
}

#[test]
fn a_thousand_idle_connections_are_cheap() {
    const CONNECTIONS: usize = 1_000;
    let node = Release::alone();
    let before = node.resident_bytes();
    let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| node.resp()).collect();
    for client in &mut idle {
        assert_eq!(client.ask("PING"), r"+PONG\r\n");
    }
    let each = (node.resident_bytes() - before) / CONNECTIONS;
    // 10,000 of them may take 100 MB.
    assert!(each < 10_000, "{each} bytes for each");
}
