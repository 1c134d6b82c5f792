//! Large values and lines above the limit, alone and over two nodes.

use tests::{BAR, Client, Pair, Release, Settings};

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

/// A link that lasts, as its calls do, although a test holds it for a while on a busy machine.
fn patient() -> Settings {
    let links = "links.missed_heartbeats = 600\nlinks.call_timeout_ms = 600000\n";
    Settings { head: format!("cookie = \"weknoweachother\"\n{links}"), ..Settings::default() }
}

#[test]
fn small_requests_cross_the_link_between_the_fragments_of_a_large_value() {
    let pair = Pair::with(&patient(), &patient());
    pair.wait_until_linked();
    let (mut client, mut other, value) = (pair.foo.resp(), pair.foo.resp(), a_value_for_several_frames());
    let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();

    pair.stall_at(b"sugar");
    client.command(&[b"SET", &b"sugar"[..], &value]);
    pair.wait_for_held(b"sugar");
    other.command(&["SET", "salt", "1"]);
    // Half of the value, at most: what waits for all of it gets no reply.
    pair.forward_only(value.len() / 2);
    assert_eq!(other.reply(), b"+OK\r\n");
    pair.restore();
    assert_eq!(client.reply(), b"+OK\r\n");

    // The same for a large reply, which is known by its beginning.
    pair.stall_at(&value[..200]);
    client.command(&["GET", "sugar"]);
    pair.wait_for_held(&value[..200]);
    other.command(&["GET", "salt"]);
    pair.forward_only(value.len() / 2);
    assert_eq!(other.reply(), b"$1\r\n1\r\n");
    pair.restore();
    assert!(client.reply() == expected, "the value has changed");
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
