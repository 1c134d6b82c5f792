//! Subscriptions to the changes of a bucket.

use tests::{BAR, Client, Pair, Release, wait_until};

fn subscriber(node: &Release, bucket: &str) -> Client {
    let mut client = node.client();
    assert_eq!(client.ask(&format!("SUBSCRIBE {bucket}")), "OK");
    client
}

/// The test in the guide's chapter on subscriptions, with the writer on another connection.
fn changes_arrive_in_order(node: &Release) {
    let mut writer = node.client();
    assert_eq!(writer.ask("CREATE shopping"), "OK");
    let mut reader = subscriber(node, "shopping");
    writer.put("shopping", "milk", "1");
    writer.put("shopping", "milk", "2");
    assert_eq!(writer.ask("DELETE shopping milk"), "OK");
    writer.put("shopping", "note", r#""two\nlines""#);
    let expected = ["milk SET TO 1", "milk SET TO 2", "milk DELETED", r#"note SET TO "two\nlines""#];
    assert_eq!(reader.lines(4), expected);

    // The subscriber can still send commands, and receives its own changes.
    reader.put("shopping", "eggs", "3");
    assert_eq!(reader.line(), "eggs SET TO 3");
    assert_eq!(reader.get("shopping", "eggs"), "3");

    assert_eq!(writer.ask("DROP shopping"), "OK");
    let last = reader.line();
    assert!(last.starts_with("ERROR subscription to \"shopping\" ended: "), "{last}");
    reader.assert_in_sync();
}

/// A subscriber that reads nothing is dropped; the writer does not wait for it.
fn a_slow_subscriber_is_dropped(node: &Release) {
    let mut writer = node.client();
    assert_eq!(writer.ask("CREATE shopping"), "OK");
    let mut idle = subscriber(node, "shopping");
    let value = "x".repeat(100_000);
    // Far more than fits in socket buffers and queues, and nothing of it is read meanwhile.
    for _ in 0..400 {
        writer.put("shopping", "milk", &value);
    }
    let mut received = 0;
    while let Some(line) = idle.next_line() {
        if line.starts_with(b"ERROR subscription to \"shopping\" ended: ") {
            break;
        }
        received += 1;
    }
    assert!(received < 400, "it received all {received} changes");
}

#[test]
fn on_a_single_node() {
    changes_arrive_in_order(&Release::alone());
}

#[test]
fn over_two_nodes() {
    changes_arrive_in_order(&Pair::start().foo);
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_on_a_single_node() {
    a_slow_subscriber_is_dropped(&Release::alone());
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_over_two_nodes() {
    a_slow_subscriber_is_dropped(&Pair::start().foo);
}

#[test]
fn a_lost_node_ends_its_subscriptions_and_the_connection_stays() {
    let mut pair = Pair::start();
    assert_eq!(pair.foo.client().ask("CREATE shopping"), "OK");
    let mut reader = subscriber(&pair.foo, "shopping");
    pair.bar.kill();
    let last = reader.line();
    assert!(last.starts_with("ERROR subscription to \"shopping\" ended: "), "{last}");
    let answer = reader.ask("SUBSCRIBE shopping");
    assert!(answer.starts_with(&format!("ERROR node {BAR} is down")), "{answer}");
}

#[test]
fn a_subscription_ends_with_its_connection() {
    let pair = Pair::start();
    let mut writer = pair.foo.client();
    assert_eq!(writer.ask("CREATE shopping"), "OK");
    for _ in 0..20 {
        subscriber(&pair.foo, "shopping");
    }
    let mut reader = subscriber(&pair.foo, "shopping");
    wait_until("the others are gone", || pair.foo.rpc("tree").contains("connections (2 running"));
    writer.put("shopping", "milk", "1");
    assert_eq!(reader.line(), "milk SET TO 1");
    reader.assert_in_sync();
}
