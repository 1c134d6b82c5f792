//! The memory of a node.

use super::*;
use tempfile::TempDir;

/// Executes a request, and returns the reply as text.
async fn execute(cluster: &Cluster, bucket: &[u8], op: Op<'_>) -> String {
    let replied = cluster.execute(Request::new(bucket, op), |reply| format!("{reply:?}"));
    soon(replied).await.unwrap()
}

#[tokio::test]
async fn volatile_and_durable_buckets_of_a_node_share_its_memory() {
    let directory = TempDir::new().unwrap();
    let rows = [row("a..m", "foo"), RouteRow { durable: false, ..row("n..z", "foo") }];
    let cluster = Cluster::new(Settings {
        link: None,
        peers: Vec::new(),
        routes: Routes::new(&rows, &[name("foo")]).unwrap(),
        data_dir: Some(directory.path().into()),
        ..foo_settings()
    });
    let cluster = cluster.unwrap();
    let local = cluster.local();
    soon(local.ranges()[0].wait_until_loaded()).await;
    let (key, large) = (b"milk", vec![b'x'; 100_000]);
    for (one, other) in [(b"list", b"shop"), (b"shop", b"list")] {
        assert_eq!(execute(&cluster, one, Op::Create).await, "Done");
        assert_eq!(execute(&cluster, other, Op::Create).await, "Done");
        let used = local.used_bytes() as usize;
        local.set_memory_limit(Some(used + large.len() / 2));
        assert_eq!(execute(&cluster, one, Op::Put { key, value: &large }).await, "Done");
        assert!(local.used_bytes() as usize >= used + large.len());
        assert_eq!(execute(&cluster, other, Op::Put { key, value: b"1" }).await, "Error(OutOfMemory)");
        assert_eq!(execute(&cluster, one, Op::Delete { key }).await, "Done");
        assert_eq!(execute(&cluster, other, Op::Put { key, value: b"1" }).await, "Done");
        local.set_memory_limit(None);
    }
}
