//! What a crash ends, what it does not, and when the node gives up.

use tests::{Pair, Release, wait_until};

#[test]
fn a_crashed_bucket_ends_alone() {
    let node = Release::alone();
    let mut client = node.client();
    for bucket in ["apples", "shopping"] {
        assert_eq!(client.ask(&format!("CREATE {bucket}")), "OK");
        client.put(bucket, "milk", "1");
    }
    node.rpc("crash shopping");
    assert_eq!(client.ask("GET shopping milk"), "NOT FOUND");
    assert_eq!(client.get("apples", "milk"), "1");
    assert_eq!(client.ask("CREATE shopping"), "OK");
    assert_eq!(client.get("shopping", "milk"), "", "it starts empty");
    node.wait_for_log(&["shopping", "crash"]);
}

#[test]
fn a_crashed_bucket_on_another_node_ends_alone() {
    let pair = Pair::start();
    let mut client = pair.foo.client();
    for bucket in ["nuts", "shopping"] {
        assert_eq!(client.ask(&format!("CREATE {bucket}")), "OK");
        client.put(bucket, "milk", "1");
    }
    pair.foo.rpc("crash shopping");
    assert_eq!(client.ask("GET shopping milk"), "NOT FOUND");
    assert_eq!(client.get("nuts", "milk"), "1");
}

#[test]
fn many_crashed_buckets_leave_the_node_up() {
    let mut node = Release::alone();
    let mut client = node.client();
    for _ in 0..10 {
        assert_eq!(client.ask("CREATE shopping"), "OK");
        node.rpc("crash shopping");
    }
    assert!(node.still_runs());
    client.assert_in_sync();
}

#[test]
fn a_crashed_registry_restarts_and_clients_stay_connected() {
    let node = Release::alone();
    let mut client = node.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    node.rpc("crash registry");
    wait_until("the store is back, empty", || client.ask("GET shopping milk") == "NOT FOUND");
    assert_eq!(client.ask("CREATE shopping"), "OK");
}

#[test]
fn too_many_restarts_end_the_node_for_the_init_system_to_restart() {
    let mut node = Release::alone();
    for _ in 0..4 {
        // The last one may end the node before the reply.
        node.verb(&["rpc", "crash registry"]);
    }
    let status = node.wait();
    assert_eq!(status.code(), Some(1), "{status}");
}

#[test]
fn the_tree_shows_what_runs() {
    let pair = Pair::start();
    assert_eq!(pair.foo.client().ask("CREATE apples"), "OK");
    let tree = pair.foo.rpc("tree");
    for name in ["kv", "registry", "bucket_supervisor", "apples", "kv_cluster", "bar@127.0.0.1", "acceptor"] {
        assert!(tree.contains(name), "no {name} in\n{tree}");
    }
    for part in ["up ", "restarts 0/3 in 5 s", " MB"] {
        assert!(tree.contains(part), "no {part:?} in\n{tree}");
    }
    let of_bar = pair.foo.rpc("tree bar@127.0.0.1 5");
    assert!(of_bar.starts_with("bar@127.0.0.1 (one_for_one, up ") && of_bar.contains("listener"), "{of_bar}");
    assert!(!pair.foo.verb(&["rpc", "tree baz@127.0.0.1"]).status.success());
    let output = pair.foo.verb(&["rpc", "tree", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(json.to_string().contains("registry"), "{json}");
}
