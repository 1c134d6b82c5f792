//! The end of a node with durable ranges.

use super::*;
use std::{fs::File, path::Path, time::Instant};
use tempfile::TempDir;

fn open(data_dir: &Path) -> Cluster {
    let cluster = Cluster::new(Settings {
        link: None,
        peers: Vec::new(),
        routes: Routes::all(name("foo")),
        data_dir: Some(data_dir.into()),
        ..foo_settings()
    });
    cluster.unwrap()
}

/// A range with a file of its log that it reads for longer than that.
#[tokio::test]
async fn ranges_have_the_time_that_is_configured_to_close_their_files() {
    let directory = TempDir::new().unwrap();
    let close_timeout = Duration::from_millis(500);
    let stop = async |cluster: Cluster| {
        let (supervisor, began) = (cluster.local().range_supervisor(close_timeout).start(), Instant::now());
        timeout(Duration::from_secs(5), supervisor.stop()).await.expect("they are not waited for any longer");
        began.elapsed()
    };
    let cluster = open(directory.path());
    soon(cluster.local().ranges()[0].wait_until_loaded()).await;
    soon(stop(cluster)).await;
    let path = directory.path().join("ranges/1-1/log/r-00_000_000_000_000_999_999.wal");
    let zeros = File::create_new(path).expect("a file");
    zeros.set_len(1 << 40).expect("it takes no space");
    let took = stop(open(directory.path())).await;
    assert!(took >= close_timeout, "{took:?}");
    // The thread of the range ends.
    zeros.set_len(0).expect("it is ours");
}
