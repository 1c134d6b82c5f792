//! Which node serves a bucket, and what happens when none does or the nodes' routes contradict each other.

use tests::{BAR, FOO, Pair, Settings};

#[test]
fn each_bucket_lives_on_its_owner() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    for bucket in ["apples", "mangos", "nuts", "zucchini"] {
        assert_eq!(client.ask(&format!("CREATE {bucket}")), "OK");
        client.put(bucket, "where", "here");
        assert_eq!(client.get(bucket, "where"), "here");
    }
    // bar has no clients, so these requests go through its control socket.
    assert!(pair.bar.rpc("get nuts where").contains("here"));
    assert!(pair.bar.rpc("get apples where").contains("here"), "bar forwards it to foo");
}

#[test]
fn a_hundred_names_without_a_route_leave_the_node_up() {
    let mut pair = Pair::start();
    let mut client = pair.foo.client();
    for index in 0..100 {
        let answer = client.ask(&format!("CREATE {index}abc"));
        assert_eq!(answer, format!("ERROR no route for bucket \"{index}abc\""));
    }
    assert_eq!(client.ask("CREATE apples"), "OK");
    assert!(pair.foo.still_runs());
}

#[test]
fn contradictory_routes_are_refused_instead_of_forwarded_in_a_loop() {
    let foo = Settings { routes: vec![("a..z", BAR)], ..Settings::default() };
    let bar = Settings { routes: vec![("a..z", FOO)], ..Settings::default() };
    let pair = Pair::with(&foo, &bar);
    pair.foo.wait_for_log(&["node up", BAR]);
    let answer = pair.foo.client().ask("CREATE apples");
    assert!(answer.starts_with("ERROR ") && answer.contains(BAR), "{answer}");
    pair.foo.client().assert_in_sync();
}
