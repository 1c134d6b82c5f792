//! A node that dies, stops responding, or comes back.

use tests::{BAR, Pair, Signal, wait_until};

#[test]
fn a_dead_node_is_named_at_once_and_the_connection_stays() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE apples"), "OK");
    assert_eq!(client.ask("CREATE shopping"), "OK");
    pair.bar.kill();
    pair.wait_until_unlinked();

    const REQUESTS: usize = 1_000;
    let attempts_before = pair.attempts();
    for _ in 0..REQUESTS {
        let answer = client.ask("GET shopping milk");
        assert!(answer.starts_with(&format!("ERROR node {BAR} is down")), "{answer}");
    }
    assert!(pair.attempts() - attempts_before < REQUESTS / 2, "requests wait for attempts to link");

    client.put("apples", "red", "3");
    assert_eq!(client.get("apples", "red"), "3");
    pair.foo.wait_for_log(&["node down", BAR]);
}

#[test]
fn a_restarted_node_is_linked_again() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    pair.bar.kill();
    pair.wait_until_unlinked();
    pair.restart_bar();

    wait_until("foo reaches bar again", || client.ask("CREATE shopping") == "OK");
    client.put("shopping", "milk", "1");
    assert_eq!(client.get("shopping", "milk"), "1");
}

#[test]
fn a_node_that_was_down_for_long_is_linked_as_fast() {
    let mut pair = Pair::start();
    pair.foo.kill();
    pair.wait_for_attempts(8);
    pair.restart_foo();
    let mut client = pair.foo.client();
    let attempts_before = pair.attempts();
    wait_until("the nodes are linked again", || client.ask("CREATE shopping") == "OK");
    // The pause before the attempt that succeeds is a second at most, whatever came before (`backoff.rs`).
    assert!(pair.attempts() - attempts_before <= 1, "the first attempts after the start link the nodes");
}

#[test]
fn a_stopped_process_is_noticed_by_its_heartbeat_and_linked_again_when_it_continues() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.put("shopping", "milk", "1");

    pair.bar.signal(Signal::STOP);
    // Its threads do not stop at the same time.
    let mut answers = std::iter::repeat_with(|| client.ask("PUT shopping milk 2"));
    let answer = answers.find(|answer| answer != "OK").expect("it repeats forever");
    assert!(answer.starts_with("ERROR outcome unknown: ") && answer.contains(BAR), "{answer}");
    pair.wait_until_unlinked();
    pair.bar.signal(Signal::CONT);
    pair.wait_until_linked();
    assert!(["1", "2"].contains(&client.get("shopping", "milk").as_str()));
}

#[test]
fn the_outcome_of_a_write_on_a_cut_link_is_unknown() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");

    pair.stall();
    client.send("PUT shopping milk-of-the-cut 1\r\n");
    pair.wait_for_held(b"milk-of-the-cut");
    pair.cut();
    let answer = client.line();
    assert!(answer.starts_with("ERROR outcome unknown: ") && answer.contains(BAR), "{answer}");

    pair.restore();
    pair.wait_until_linked();
    client.put("shopping", "milk", "2");
    assert_eq!(client.get("shopping", "milk"), "2");
}

#[test]
fn a_bit_that_flips_between_two_nodes_changes_no_value() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.put("shopping", "milk", "a-value-to-damage");
    pair.damage(b"a-value-to-damage");
    let answer = client.ask("PUT shopping eggs a-value-to-damage");
    assert!(answer.starts_with("ERROR outcome unknown: ") && answer.contains(BAR), "{answer}");
    pair.wait_until_linked();
    let answer = client.ask("GET shopping milk");
    assert!(answer.starts_with(&format!("ERROR node {BAR} is down: ")), "the reply was damaged: {answer}");
    let logs = [pair.foo.log(), pair.bar.log()].concat();
    assert!(logs.contains("wrong checksum"), "{logs}");

    pair.restore();
    pair.wait_until_linked();
    assert_eq!(client.get("shopping", "milk"), "a-value-to-damage");
    assert_eq!(client.get("shopping", "eggs"), "", "what was damaged is not taken for a request");
}

#[test]
fn a_cut_between_pipelined_requests_answers_each_of_them() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE apples"), "OK");
    pair.stall();
    client.send("PUT shopping a-held-key 1\r\nPUT apples red 1\r\nGET shopping a-held-key\r\nPING\r\n");
    pair.wait_for_held(b"a-held-key");
    pair.cut();
    let answers = client.lines(4);
    assert!(answers[0].starts_with("ERROR outcome unknown: "), "{answers:?}");
    assert_eq!(answers[1], "OK");
    assert!(answers[2].starts_with(&format!("ERROR node {BAR} is down")), "{answers:?}");
    assert_eq!(answers[3], "+PONG");
}
