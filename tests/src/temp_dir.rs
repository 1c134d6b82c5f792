//! A temporary directory, removed with the test, and copies of directories.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A new directory. Its path is short, because a Unix socket's path must stay below 108 bytes.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Creates the directory.
    #[allow(clippy::new_without_default, reason = "a default that writes to the disk would be surprising")]
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kv-test-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // A control socket's directory must be accessible to its owner only.
        DirBuilder::new().mode(0o700).create(&path).expect("the temporary directory is writable");
        TempDir(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the test's directory is writable");
        path
    }
}

/// Copies a directory with all that is in it.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's directory is writable");
    for entry in fs::read_dir(from).expect("a directory") {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("an entry");
        match from.is_dir() {
            true => copy_directory(&from, &to),
            false => drop(fs::copy(&from, &to).expect("the file can be copied")),
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory left behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
