//! Registers the numbers of a node: its release, its process, its supervision tree, and its cluster. Those
//! of clients are added by who serves them.

use crate::console::Node;
use kv_metrics::{Families, process};
use otp::{ChildKind, Tree, TreeView};
use std::time::UNIX_EPOCH;

/// Adds the numbers of this node to its registry.
pub(super) fn register(node: &Node, view: TreeView) {
    let (cluster, release, version) = (node.cluster.clone(), node.release, node.version);
    let started = node.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    node.registry.register(move |families| {
        let name = cluster.node_name().to_string();
        families
            .gauge("kv_build_info", "Always 1: the node, its release and its version are the labels")
            .add(&[("node", &name), ("release", release), ("version", version)], true);
        families
            .gauge("process_start_time_seconds", "When the node was started, in seconds since 1970")
            .set(started);
        process::families(families);
        cluster.families(families);
        view.tree(0).children.iter().for_each(|child| supervised(child, "", families));
    });
}

/// Reads the numbers of a row of the tree, and of those below it. A child is named by its path.
fn supervised(tree: &Tree, above: &str, families: &mut Families) {
    let path = format!("{above}{}", tree.name);
    let labels = [("child", &*path)];
    families
        .counter("kv_child_restarts_total", "How often the child has been restarted")
        .add(&labels, u64::from(tree.restarts));
    if let Some(up) = tree.up_seconds {
        families.gauge("kv_child_up_seconds", "How long the child has been running").add(&labels, up);
    }
    if tree.kind == ChildKind::Tasks {
        families.gauge("kv_tasks", "Tasks that run").add(&labels, tree.total);
        families.counter("kv_task_crashes_total", "Tasks that have crashed").add(&labels, tree.crashed);
    }
    if let Some(recent) = tree.recent_restarts {
        families
            .gauge("kv_supervisor_recent_restarts", "Restarts of its children within its period")
            .add(&labels, recent.recent);
        families
            .gauge("kv_supervisor_restart_limit", "Restarts that it allows within its period")
            .add(&labels, u64::from(recent.max));
    }
    let below = tree.children.iter().filter(|child| child.kind != ChildKind::Passive);
    below.for_each(|child| supervised(child, &format!("{path}/"), families));
}
