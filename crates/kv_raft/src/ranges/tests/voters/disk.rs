//! A replica among others whose disk is full for some time.

use super::*;
use crate::range::state::RangeStatus;
use rustix::fs::{FallocateFlags, fallocate};
use std::{
    fs::File,
    io::{Write, stderr},
    process::Command,
};

/// A small file system in memory, mounted on a directory.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    const BYTES: u64 = 24 << 20;

    /// `None` where mounts are not permitted.
    fn mount(path: &Path) -> Option<SmallDisk> {
        let size = format!("size={}", SmallDisk::BYTES);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        let output = mount.output().expect("mount starts");
        if !output.status.success() {
            // Not a print, which the test harness would hide.
            let reason = String::from_utf8_lossy(&output.stderr);
            let _ = writeln!(stderr(), "SKIPPED: this machine permits no mounts: {reason}");
            return None;
        }
        Some(SmallDisk { path: path.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all space but a little.
    fn fill(&self) {
        let ballast = File::create(self.ballast()).expect("made");
        let mut step = SmallDisk::BYTES;
        let mut taken = 0;
        while step > 16 << 10 {
            match fallocate(&ballast, FallocateFlags::empty(), taken, step) {
                Ok(()) => taken += step,
                Err(_) => step /= 2,
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "it was mounted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_disk_was_full_takes_part_again_when_there_is_space() {
    let nodes = Nodes::start();
    let full = others(nodes.write(&[0, 1, 2], "SET a 1").await)[0];
    nodes.wipe(full).await;
    let Some(disk) = SmallDisk::mount(nodes.directories[full].lock().path()) else { return };
    nodes.open(full);
    nodes.wait_for_voters(full).await;
    disk.fill();
    let among = others(full);
    let reason = || match nodes.range(full).status() {
        RangeStatus { state: RangeState::Loading, cannot_write, .. } => cannot_write,
        RangeStatus { state, .. } => {
            assert!(!matches!(state, RangeState::Stopped(_)), "{state:?}");
            None
        }
    };
    let mut written = 0;
    let is_log_full = || reason().is_some_and(|reason| reason.contains("No space left on device"));
    while !is_log_full() {
        nodes.write(&among, &format!("HSET h f{written} {}", "x".repeat(1_000))).await;
        written += 1;
        assert!(written < 10_000, "the log has room");
    }
    let leader = nodes.write(&among, "SET b 1").await;
    fs::remove_file(disk.ballast()).expect("removed");
    nodes.catch_up(full, leader).await;
    assert_eq!(stored(&nodes.range(full), "GET b"), "1");
    assert_eq!(nodes.range(full).status().cannot_write, None);
    // It counts for a majority.
    nodes.close(others(full).into_iter().find(|node| *node != leader).expect("another one")).await;
    nodes.write(&[leader, full], "SET c 1").await;
    nodes.close(full).await;
}
