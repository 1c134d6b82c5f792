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
    let mut pair = Pair::with_holes();
    let mut client = pair.foo.client();
    for index in 0..100 {
        let answer = client.ask(&format!("CREATE {index}abc"));
        assert_eq!(answer, format!("ERROR no route for bucket \"{index}abc\""));
    }
    assert_eq!(client.ask("CREATE apples"), "OK");
    assert!(pair.foo.still_runs());
}

#[test]
fn the_shipped_routes_leave_no_name_out() {
    let pair = Pair::start();
    let mut client = pair.foo.resp();
    for first in 0..=u8::MAX {
        let name = [&[first][..], b":1:session"].concat();
        client.command(&[&b"SET"[..], &name, b"1"]);
        assert_eq!(client.reply(), b"+OK\r\n", "{}", name.escape_ascii());
    }
    assert_eq!(client.ask("DBSIZE"), ":256\\r\\n");
    assert!(!pair.foo.log().contains("no route"), "{}", pair.foo.log());
}

#[test]
fn names_of_which_two_nodes_disagree_are_refused_by_both_and_all_others_go_on() {
    let bar = Settings { routes: vec![("..k", FOO), ("l..", BAR)], ..Settings::default() };
    let pair = Pair::with(&Settings::default(), &bar);
    pair.wait_until_linked();
    let (mut text, mut redis) = (pair.foo.client(), pair.foo.resp());
    let differ =
        "routes of foo@127.0.0.1 and bar@127.0.0.1 differ for \"lemon\": give both the same configuration";
    assert_eq!(text.ask("CREATE lemon"), format!("ERROR {differ}"));
    let answer = redis.ask("SET lemon 1");
    assert_eq!(answer, format!("-CLUSTERDOWN {differ}\\r\\n").replace('"', "\\\""));
    assert_eq!(redis.ask("MSET kiwi 1 lemon 2"), answer);
    assert_eq!(redis.ask("MSET kiwi 1 nut 2"), "+OK\\r\\n");
    let refused = pair.bar.verb(&["rpc", "create lemon"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("routes of bar@127.0.0.1 and foo@127.0.0.1"));

    let names = "from \"l\" to below \"n\"";
    for (node, other) in [(&pair.foo, BAR), (&pair.bar, FOO)] {
        node.wait_for_log(&["WARN", "routes", "differ", other, names]);
        let nodes = node.rpc("nodes");
        assert!(nodes.lines().any(|line| line.starts_with(other) && line.contains(names)), "{nodes}");
    }
}
