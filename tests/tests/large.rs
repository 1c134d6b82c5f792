//! Large values and lines above the limit, alone and over two nodes.

use tests::{Client, Pair, Release};

const MILLION: usize = 1_000_000;
const LINE_LIMIT: usize = 1024 * 1024;

fn a_large_value_comes_back_identical(client: &mut Client) {
    // Every byte but the separators and the line's ends, so that nothing can be mistaken.
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
