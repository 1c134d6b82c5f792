//! A node that dies, is silent, or comes back.

use std::time::{Duration, Instant};
use tests::{BAR, Pair, Signal, wait_until};

/// How soon a node that is started again must serve.
const HEALED: Duration = Duration::from_secs(2);

/// How soon a client must hear that a node known to be down is down.
const AT_ONCE: Duration = Duration::from_millis(500);

#[test]
fn a_dead_node_is_named_at_once_and_the_connection_stays() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE apples"), "OK");
    assert_eq!(client.ask("CREATE shopping"), "OK");
    pair.bar.kill();
    pair.wait_until_parted();

    let start = Instant::now();
    let answer = client.ask("GET shopping milk");
    assert!(answer.starts_with(&format!("ERROR node {BAR} is down")), "{answer}");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());

    client.put("apples", "red", "3");
    assert_eq!(client.get("apples", "red"), "3");
    pair.foo.wait_for_log(&["node down", BAR]);
}

#[test]
fn a_killed_node_that_is_started_again_heals_without_help() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    pair.bar.kill();
    pair.wait_until_parted();
    pair.start_bar_again();

    let took = wait_until("foo reaches bar again", || client.ask("CREATE shopping") == "OK");
    assert!(took < HEALED, "healed after {took:?}");
    client.put("shopping", "milk", "1");
    assert_eq!(client.get("shopping", "milk"), "1");
}

#[test]
fn a_long_absence_heals_as_fast() {
    let mut pair = Pair::start();
    pair.foo.kill();
    pair.wait_for_attempts(8);
    pair.start_foo_again();
    let mut client = pair.foo.client();
    let took = wait_until("the nodes are linked again", || client.ask("CREATE shopping") == "OK");
    assert!(took < HEALED, "healed after {took:?}");
}

#[test]
fn a_stopped_process_is_noticed_by_its_silence_and_welcome_when_it_goes_on() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    client.put("shopping", "milk", "1");

    pair.bar.signal(Signal::STOP);
    // Its threads do not stop all at once.
    let mut answers = std::iter::repeat_with(|| client.ask("PUT shopping milk 2"));
    let answer = answers.find(|answer| answer != "OK").expect("it repeats for ever");
    assert!(answer.starts_with("ERROR outcome unknown: ") && answer.contains(BAR), "{answer}");
    pair.wait_until_parted();
    pair.bar.signal(Signal::CONT);
    pair.wait_until_linked();
    assert!(["1", "2"].contains(&client.get("shopping", "milk").as_str()));
}

#[test]
fn a_cut_after_a_write_has_left_leaves_its_outcome_unknown_and_says_so() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");

    pair.stall();
    client.send("PUT shopping milk-of-the-cut 1\r\n");
    pair.wait_for_held(b"milk-of-the-cut");
    pair.cut();
    let answer = client.line();
    assert!(answer.starts_with("ERROR outcome unknown: ") && answer.contains(BAR), "{answer}");

    pair.mend();
    pair.wait_until_linked();
    client.put("shopping", "milk", "2");
    assert_eq!(client.get("shopping", "milk"), "2");
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
