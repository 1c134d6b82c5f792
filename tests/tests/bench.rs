//! The load generator on a node as a user starts both.

use tests::{Release, verb};

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
