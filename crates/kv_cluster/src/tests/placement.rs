//! Replicas that are moved between nodes while all of them serve clients.

use super::{
    replicas::{Nodes, put},
    *,
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The names of nodes, by their numbers.
pub(super) fn names(nodes: &[usize]) -> Vec<NodeName> {
    nodes.iter().map(|node| name(["foo", "bar", "baz", "qux"][*node])).collect()
}

impl Nodes {
    /// Has the row have its replicas on these nodes, and waits until each node knows that these have them
    /// alone.
    pub(super) async fn place(&self, asked: usize, buckets: &str, nodes: &[usize]) {
        once_linked(async || self.node(asked).cluster.place(buckets, names(nodes)).await).await;
        let mut expected = names(nodes);
        expected.sort();
        let is_settled = |node: &Node| {
            let rows = node.cluster.placements();
            let row = rows.into_iter().find(|row| row.buckets() == buckets).unwrap();
            *row.nodes == expected[..] && !row.is_moving
        };
        let began = Instant::now();
        while !self.running().all(is_settled) {
            assert!(began.elapsed() < SOON, "{:?}", self.node(asked).cluster.placements());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Which nodes have a replica of the row.
    pub(super) async fn wait_until_only(&self, nodes: &[usize]) {
        let began = Instant::now();
        let have = || (0..4).filter(|node| !self.node(*node).cluster.local().ranges().is_empty());
        while !have().eq(nodes.iter().copied()) {
            assert!(began.elapsed() < SOON, "{:?}", have().collect::<Vec<_>>());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_move_while_clients_of_all_nodes_write_and_no_write_fails() {
    let nodes = Arc::new(Nodes::start().await);
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|node| {
            let (nodes, is_over) = (nodes.clone(), is_over.clone());
            tokio::spawn(async move {
                let (bucket, mut written) = (format!("bucket{node}"), 0);
                nodes.node(node).execute(&bucket, Op::Create).await.unwrap();
                while !is_over.load(Relaxed) {
                    written += 1;
                    let value = written.to_string();
                    assert_eq!(nodes.node(node).execute(&bucket, put(&value)).await, Ok("Done".into()));
                    let read = nodes.node(node).execute(&bucket, Op::Get { key: b"milk" }).await;
                    assert_eq!(read, Ok(value));
                }
                written
            })
        })
        .collect();
    for (asked, to) in [(3, &[0, 1, 3][..]), (0, &[3]), (1, &[0]), (2, &[0, 1, 2])] {
        nodes.place(asked, "..", to).await;
        nodes.wait_until_only(to).await;
    }
    nodes.place(0, "meta", &[1, 2, 3]).await;
    nodes.place(2, "..", &[1, 2, 3]).await;
    is_over.store(true, Relaxed);
    for (node, writer) in writers.into_iter().enumerate() {
        let written = writer.await.unwrap();
        assert!(written > 10, "{written}");
        let read = nodes.node(3).execute(&format!("bucket{node}"), Op::Get { key: b"milk" }).await;
        assert_eq!(read, Ok(written.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_begin_again_with_the_placement_that_they_have_agreed_on() {
    let mut nodes = Nodes::start().await;
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    nodes.place(0, "..", &[1, 2, 3]).await;
    for node in 0..4 {
        nodes.stop(node).await;
    }
    // The configuration names the first three.
    for node in 0..4 {
        nodes.open(node).await;
    }
    nodes.ready().await;
    for node in 0..4 {
        assert_eq!(nodes.node(node).execute("shopping", Op::Create).await, Ok("Done".into()));
        let local = nodes.node(node).cluster.local();
        assert_eq!(local.ranges().len(), usize::from(node > 0), "on node {node}");
    }
    let mut kept = soon(nodes.node(0).cluster.bucket_counts()).await.unwrap();
    assert_eq!(kept[0], 2);
    nodes.place(0, "..", &[0, 1, 2]).await;
    kept = soon(nodes.node(3).cluster.bucket_counts()).await.unwrap();
    assert_eq!(kept[0], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_named_node_leads() {
    let nodes = Nodes::start().await;
    let mut leader = nodes.ready().await;
    for asked in 0..4 {
        let next = (leader + 1) % 3;
        let cluster = &nodes.node(asked).cluster;
        soon(cluster.lead("..", &names(&[next])[0])).await.unwrap();
        leader = nodes.leader().await;
        assert_eq!(leader, next);
        soon(cluster.lead("..", &names(&[next])[0])).await.unwrap();
    }
    let refused = soon(nodes.node(0).cluster.lead("..", &name("qux"))).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("node qux@127.0.0.1 has no replica of ..: it is on bar@127.0.0.1, "),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut nodes = Nodes::start().await;
    nodes.ready().await;
    nodes.stop(3).await;
    nodes.open_with(3, false).await;
    nodes.node(3).cluster.connect(&name("foo")).await;
    let cluster = &nodes.node(0).cluster;
    let before = cluster.placements();
    let unknown: NodeName = "corge@nowhere".parse().unwrap();
    for (buckets, placed, expected) in [
        ("a..m", names(&[0, 1, 2]), "no row with replicas is \"a..m\": there are meta, .."),
        ("..", names(&[0, 1]), "2 nodes are named: a row has its replicas on one node, on three or on five"),
        ("..", names(&[3]), "node qux@127.0.0.1 has no data_dir: give it one, such as data_dir = \"data/qux"),
        ("..", vec![unknown], "node corge@nowhere is not "),
    ] {
        let refused = soon(cluster.place(buckets, placed)).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    nodes.stop(3).await;
    let cluster = &nodes.node(0).cluster;
    let down = soon(cluster.place("..", names(&[3]))).await.unwrap_err().to_string();
    assert!(down.starts_with("node qux@127.0.0.1 is down: "), "{down}");

    assert_eq!(cluster.placements(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_wiped_when_all_has_moved_away_from_them_found_no_second_cluster() {
    let mut nodes = Nodes::start().await;
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    nodes.place(0, "..", &[3]).await;
    nodes.place(0, "meta", &[3]).await;
    for node in 0..3 {
        nodes.stop(node).await;
        nodes.wipe(node);
    }
    for node in 0..3 {
        nodes.open(node).await;
    }
    nodes.wait_until_only(&[3]).await;
    for node in 0..4 {
        let began = Instant::now();
        while soon(nodes.node(node).cluster.bucket_counts()).await.map(|counts| counts[0]) != Ok(2) {
            assert!(began.elapsed() < SOON);
        }
    }
    nodes.place(1, "..", &[0, 1, 2]).await;
    let kept = soon(nodes.node(0).cluster.bucket_counts()).await.unwrap();
    assert_eq!(kept[0], 2);
}
