//! The end of a node with durable ranges.

use super::*;
use std::{
    fs::{self, File},
    process::Command,
    time::Instant,
};
use tempfile::TempDir;

/// A range whose last note on the disk waits for a reader.
#[tokio::test]
async fn ranges_have_the_time_that_is_configured_to_close_their_files() {
    let directory = TempDir::new().unwrap();
    let cluster = Cluster::new(Settings {
        link: None,
        peers: Vec::new(),
        routes: Routes::all(name("foo")),
        data_dir: Some(directory.path().into()),
        ..foo_settings()
    });
    let cluster = cluster.unwrap();
    soon(cluster.local().ranges()[0].wait_until_loaded()).await;
    let note = directory.path().join("ranges/1-1/synced.part");
    assert!(Command::new("mkfifo").arg(&note).status().expect("coreutils").success());
    let close_timeout = Duration::from_millis(500);
    let (supervisor, began) = (cluster.local().range_supervisor(close_timeout).start(), Instant::now());
    timeout(Duration::from_secs(5), supervisor.stop()).await.expect("they are not waited for any longer");
    assert!(began.elapsed() >= close_timeout, "{:?}", began.elapsed());
    // The thread of the range goes on, and ends.
    drop(File::open(&note));
    drop(fs::remove_file(note));
}
