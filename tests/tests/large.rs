//! Large values and lines above the limit, alone and over two nodes.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tests::{BAR, Client, Pair, Release, RespClient};

const MILLION: usize = 1_000_000;
const MIB: usize = 1024 * 1024;
const LINE_LIMIT: usize = 1024 * 1024;

fn a_large_value_comes_back_identical(client: &mut Client) {
    // Every byte except separators and line ends.
    let alphabet: Vec<u8> = (0..=u8::MAX).filter(|byte| !b" \t\r\n\"".contains(byte)).collect();
    let value: Vec<u8> = alphabet.iter().copied().cycle().take(MILLION).collect();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.send([b"PUT shopping big ", &value[..], b"\r\n"].concat());
    assert_eq!(client.line(), "OK");
    client.send("GET shopping big\r\n");
    assert!(client.bytes(MILLION) == value, "the value has changed");
    assert_eq!(client.bytes(6), b"\r\nOK\r\n");
}

fn a_line_above_the_limit_gets_one_error(client: &mut Client) {
    for surplus in [1, 5 * LINE_LIMIT] {
        client.send("PUT shopping big ");
        client.send(vec![b'x'; LINE_LIMIT + surplus]);
        client.send("\r\nPING\r\n");
        let error = client.line();
        assert!(error.starts_with("ERROR ") && error.contains("1048576"), "{error}");
        assert_eq!(client.line(), "+PONG");
    }
}

#[test]
fn on_a_single_node() {
    let node = Release::alone();
    a_large_value_comes_back_identical(&mut node.client());
    a_line_above_the_limit_gets_one_error(&mut node.client());
}

#[test]
fn over_two_nodes() {
    let pair = Pair::start();
    a_large_value_comes_back_identical(&mut pair.foo.client());
    a_line_above_the_limit_gets_one_error(&mut pair.foo.client());
}

#[test]
fn a_long_pipeline_of_large_answers_keeps_its_order() {
    const REQUESTS: usize = 200;
    let pair = Pair::start();
    let mut client = pair.foo.client();
    for bucket in ["apples", "shopping"] {
        assert_eq!(client.ask(&format!("CREATE {bucket}")), "OK");
        client.put(bucket, "big", &bucket.repeat(10_000));
    }
    client.send("GET apples big\r\nGET shopping big\r\n".repeat(REQUESTS / 2));
    for _ in 0..REQUESTS / 2 {
        for bucket in ["apples", "shopping"] {
            assert!(client.line() == bucket.repeat(10_000), "an answer out of order");
            assert_eq!(client.line(), "OK");
        }
    }
}

/// More than one frame can hold. Its period is a prime number, so that no two fragments are equal.
fn a_value_for_several_frames() -> Vec<u8> {
    let bytes: Vec<u8> = (0..251).collect();
    let mut value = bytes.repeat(40 * MIB / bytes.len() + 1);
    value.truncate(40 * MIB);
    value
}

/// Writes and reads until `stop` is set, and returns the longest time that a reply took.
fn slowest_of_small_requests(mut client: RespClient, stop: &AtomicBool) -> Duration {
    let mut slowest = Duration::ZERO;
    while !stop.load(Relaxed) {
        for (request, answer) in [("SET salt 1", "+OK\\r\\n"), ("GET salt", "$1\\r\\n1\\r\\n")] {
            let start = Instant::now();
            assert_eq!(client.ask(request), answer);
            slowest = slowest.max(start.elapsed());
        }
    }
    slowest
}

#[test]
fn a_value_of_several_frames_crosses_the_link_and_small_requests_are_not_delayed() {
    let pair = Pair::start();
    let (mut client, value) = (pair.foo.resp(), a_value_for_several_frames());
    let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let (stop, others) = (AtomicBool::new(false), pair.foo.resp());
    thread::scope(|scope| {
        let slowest = scope.spawn(|| slowest_of_small_requests(others, &stop));
        client.command(&[b"SET", &b"sugar"[..], &value]);
        assert_eq!(client.reply(), b"+OK\r\n");
        client.command(&["GET", "sugar"]);
        let same = client.reply() == expected;
        stop.store(true, Relaxed);
        assert!(same, "the value has changed");
        let slowest = slowest.join().expect("small requests are answered");
        assert!(slowest < Duration::from_secs(1), "a small request took {slowest:?}");
    });
}

#[test]
fn a_value_whose_link_is_cut_halfway_has_an_unknown_outcome() {
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    pair.stall_at(b"sugar");
    client.command(&[b"SET", &b"sugar"[..], &a_value_for_several_frames()]);
    pair.wait_for_held(b"sugar");
    pair.cut();
    let error = String::from_utf8(client.reply()).expect("an error is text");
    assert!(error.starts_with(&format!("-ERR outcome unknown: the link to {BAR} was lost")), "{error}");
    pair.restore();
    pair.wait_until_linked();
    assert_eq!(client.ask("EXISTS sugar"), ":0\\r\\n");
}
