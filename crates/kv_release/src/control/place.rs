//! The run directory: where a node's socket, pid file and log are, and how it makes sure to run once.

use crate::{error::Error, limits::SOCKET_PATH_BYTES};
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// The files of one node.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
    node: String,
}

/// The right to be this node, held as a lock on its pid file for as long as the process lives. The system
/// gives it back when the process dies in whatever way, so a stale socket is never taken for a live node.
#[derive(Debug)]
pub(crate) struct Claim {
    pid_file: File,
    place: Place,
}

impl Place {
    /// The files of `node` in `dir`; nothing is created yet.
    pub(crate) fn new(dir: &Path, node: impl ToString) -> Place {
        Place { dir: dir.to_owned(), node: node.to_string() }
    }

    /// The node whose files these are.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// Where the node listens for its verbs.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    /// Where the node logs when no terminal is free for it.
    pub(crate) fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// What was typed in consoles.
    pub(crate) fn history(&self) -> PathBuf {
        self.dir.join("console.history")
    }

    fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.node))
    }

    /// Makes sure that the directory is there and belongs to this user alone.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        let wrong = |wrong: String| Error::RunDir { dir: self.dir.clone(), wrong };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|error| wrong(format!("cannot be made: {error}; choose another with --run-dir")))?;
        let metadata =
            fs::symlink_metadata(&self.dir).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(wrong("is not a directory of this user; choose another with --run-dir".to_owned()));
        }
        if mode & 0o077 != 0 {
            let advice = format!("run chmod 700 {}", self.dir.display());
            return Err(wrong(format!("is open to other users (mode {mode:o}); {advice}")));
        }
        if self.socket().as_os_str().as_bytes().len() > SOCKET_PATH_BYTES {
            return Err(wrong(format!(
                "is too long a path for the socket of {} (at most {SOCKET_PATH_BYTES} bytes); choose another with --run-dir",
                self.node
            )));
        }
        Ok(())
    }

    /// Takes the right to be this node, and clears away what a dead one left.
    pub(crate) fn claim(&self) -> Result<Claim, Error> {
        let path = self.pid_file();
        let refused = || Error::io(format!("lock {}", path.display()));
        let mut pid_file = open(&path).map_err(refused())?;
        match pid_file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(Error::AlreadyRunning { node: self.node.clone(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(refused()(error)),
        }
        pid_file
            .set_len(0)
            .and_then(|()| pid_file.rewind())
            .and_then(|()| writeln!(pid_file, "{}", std::process::id()))
            .map_err(refused())?;
        let _ = fs::remove_file(self.socket());
        Ok(Claim { pid_file, place: self.clone() })
    }

    /// Whether no process is this node.
    pub(crate) fn is_free(&self) -> bool {
        !File::open(self.pid_file())
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Claim {
    /// The pid file stays, empty: to remove it could take it from a node that is just starting.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.place.socket());
        let _ = self.pid_file.set_len(0);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}
