//! Small file systems of their own, which a test can fill, or of which it sees what a power cut leaves. They
//! are mounted, which not every machine permits.

use crate::temp_dir::TempDir;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{
    fs::{self, File},
    io::{Write, stderr},
    path::PathBuf,
    process::Command,
};

/// A mounted file system, unmounted with the test.
#[derive(Debug)]
pub struct SmallDisk {
    directory: TempDir,
}

const MOUNT: &str = "mount";
const IMAGE: &str = "image";
const BALLAST: &str = "ballast";

impl SmallDisk {
    /// A file system in memory; `None` where mounts are not permitted.
    pub fn in_memory(mebibytes: u32) -> Option<SmallDisk> {
        let disk = SmallDisk { directory: TempDir::new() };
        let size = format!("size={mebibytes}m");
        disk.mount(&["-t", "tmpfs", "-o", &size, "tmpfs"]).then_some(disk)
    }

    /// An ext4 in a file, which writes its metadata only when it must; `None` where mounts are not permitted.
    pub fn in_file(mebibytes: u64) -> Option<SmallDisk> {
        let disk = SmallDisk { directory: TempDir::new() };
        let image = disk.directory.path().join(IMAGE);
        let file = File::create(&image).expect("the test's directory is writable");
        file.set_len(mebibytes * 1024 * 1024).expect("the file can be extended");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        assert!(made.expect("mkfs.ext4 starts").success(), "an ext4 is made");
        disk.mount_image().then_some(disk)
    }

    /// What is on disk now of a file system in a file: what was not synced is missing.
    pub fn after_power_cut(&self) -> SmallDisk {
        let disk = SmallDisk { directory: TempDir::new() };
        let copied = fs::copy(self.directory.path().join(IMAGE), disk.directory.path().join(IMAGE));
        copied.expect("the image can be copied");
        assert!(disk.mount_image(), "the copy can be mounted as the image was");
        disk
    }

    fn mount_image(&self) -> bool {
        let image = self.directory.path().join(IMAGE);
        self.mount(&["-o", "loop,commit=600", image.to_str().expect("a plain path")])
    }

    fn mount(&self, options: &[&str]) -> bool {
        let path = self.path();
        fs::create_dir(&path).expect("the test's directory is writable");
        let output = Command::new("mount").args(options).arg(&path).output().expect("mount starts");
        if !output.status.success() {
            // Not a print, which the test harness would hide.
            let reason = String::from_utf8_lossy(&output.stderr);
            let _ = writeln!(stderr(), "SKIPPED: this machine permits no mounts: {reason}");
        }
        output.status.success()
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(MOUNT)
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let space = statvfs(self.path()).expect("it is mounted");
        space.f_bavail * space.f_frsize
    }

    /// Takes all space but this, at once.
    pub fn fill(&self, left: u64) {
        let bytes = self.free_bytes().saturating_sub(left);
        let ballast = File::create(self.ballast()).expect("the disk has room for a file");
        // What others write meanwhile may take the space first.
        let _ = fallocate(ballast, FallocateFlags::empty(), 0, bytes);
    }

    /// Gives the space back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join(BALLAST)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may not be mounted. A node that is about to be killed may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}
