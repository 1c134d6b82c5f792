//! The load generator on a node as a user starts both.

use tests::{Release, TempDir, binary, text, verb};

#[test]
fn a_fresh_node_can_be_loaded_in_every_protocol() {
    let node = Release::alone();
    let address = node.clients().to_string();
    for [protocol, operation] in [["resp", "get"], ["resp", "hget"], ["text", "hget"], ["resp", "set"]] {
        let flags = ["--protocol", protocol, "--operation", operation, "--keys", "100", "--requests", "1600"];
        let output = verb("kv_bench", &[&["load", "--json", "--address", &address][..], &flags].concat());
        assert!(output.status.success(), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["requests"], 1600, "{report}");
    }
}

#[test]
fn three_nodes_are_measured_also_where_there_is_no_etcd() {
    let (disk, foo) = (TempDir::new(), binary("foo").display().to_string());
    let disk = disk.path().display().to_string();
    let flags = ["--ours", &foo, "--disk", &disk, "--etcd", "/nowhere/etcd", "--keys", "1000"];
    let short = ["--rounds", "1", "--seconds", "0.1", "--pipelines", "16"];
    let output = verb("kv_bench", &[&["replicas"][..], &flags, &short].concat());
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.contains("not installed: /nowhere/etcd"), "{printed}");
    for row in [" confirmed, leader ", " confirmed, another node ", "volatile, one node "] {
        assert_eq!(printed.matches(row).count(), 2, "{row}: {printed}");
    }
}
