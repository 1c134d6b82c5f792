//! The run directory: a node's socket, pid file and log, and the lock that lets it run only once.

use crate::{
    error::Error,
    limits::{ENDING_WAIT, KILLED_WAIT, PID_LOCK_PAUSE, SOCKET_PATH_BYTES},
};
use rustix::{net::sockopt::socket_peercred, process::Pid};
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Seek, Write},
    mem,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

/// The files of one node.
#[derive(Debug, Clone)]
pub(crate) struct RunDir {
    dir: PathBuf,
    node: String,
}

/// A lock on the pid file for as long as the process lives. The system releases it however the process ends,
/// so a stale file is never mistaken for a running node.
#[derive(Debug)]
pub(crate) struct PidLock {
    pid_file: File,
    run_dir: RunDir,
}

impl RunDir {
    /// The files of `node` in `dir`; nothing is created yet.
    pub(crate) fn new(dir: &Path, node: impl ToString) -> RunDir {
        RunDir { dir: dir.to_owned(), node: node.to_string() }
    }

    /// The node whose files these are.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    /// The log of a node that does not log to standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// The history of all consoles.
    pub(crate) fn history(&self) -> PathBuf {
        self.dir.join("console.history")
    }

    fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.node))
    }

    /// Creates the directory if needed, and checks that it belongs to this user alone.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        let error = |message: String| Error::RunDir { dir: self.dir.clone(), message };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|io| error(format!("cannot be created: {io}; choose another with --run-dir")))?;
        let metadata =
            fs::symlink_metadata(&self.dir).map_err(|io| error(format!("cannot be read: {io}")))?;
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(error("not a directory of this user; choose another with --run-dir".to_owned()));
        }
        if mode & 0o077 != 0 {
            let remedy = format!("run chmod 700 {}", self.dir.display());
            return Err(error(format!("accessible to other users (mode {mode:o}); {remedy}")));
        }
        if self.socket().as_os_str().as_bytes().len() > SOCKET_PATH_BYTES {
            return Err(error(format!(
                "path of the socket of {} exceeds {SOCKET_PATH_BYTES} bytes; choose another with --run-dir",
                self.node
            )));
        }
        Ok(())
    }

    /// Takes the pid lock. A process that was killed holds it until its memory is freed, and is waited for.
    pub(crate) fn lock_when_free(&self) -> Result<PidLock, Error> {
        let began = Instant::now();
        loop {
            let holder = match self.lock() {
                Err(Error::AlreadyRunning { pid, .. }) => pid,
                locked => return locked,
            };
            let timeout = if is_ending(holder) { ENDING_WAIT } else { KILLED_WAIT };
            if began.elapsed() >= timeout {
                return self.lock();
            }
            thread::sleep(PID_LOCK_PAUSE);
        }
    }

    /// Takes the pid lock, and removes a stale socket.
    pub(crate) fn lock(&self) -> Result<PidLock, Error> {
        let path = self.pid_file();
        let io_error = || self.unusable("lock", &path);
        let mut pid_file = open(&path).map_err(io_error())?;
        match pid_file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(Error::AlreadyRunning { node: self.node.clone(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io_error()(error)),
        }
        pid_file
            .set_len(0)
            .and_then(|()| pid_file.rewind())
            .and_then(|()| writeln!(pid_file, "{}", std::process::id()))
            .map_err(io_error())?;
        let _ = fs::remove_file(self.socket());
        Ok(PidLock { pid_file, run_dir: self.clone() })
    }

    /// For `map_err`: what could not be done with a file of the directory.
    pub(crate) fn unusable(&self, what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let (dir, file) = (self.dir.clone(), path.file_name().unwrap_or_default().to_owned());
        let what = what.to_owned();
        move |io| {
            let message = format!(
                "cannot {what} {}: {io}; make room there, or choose another with --run-dir",
                file.display()
            );
            Error::RunDir { dir, message }
        }
    }

    /// The process that listens at the control socket, if there is one.
    pub(crate) fn process(&self) -> Option<Pid> {
        let stream = UnixStream::connect(self.socket()).ok()?;
        Some(socket_peercred(&stream).ok()?.pid)
    }

    /// What the last node lost when it ended, if it has said so. The pid file of one that lost nothing is
    /// empty, and that of one that was killed has its pid.
    pub(crate) fn lost(&self) -> Option<String> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        (!text.is_empty() && text.trim().parse::<u32>().is_err()).then_some(text)
    }

    /// Whether no process holds the pid lock.
    pub(crate) fn is_free(&self) -> bool {
        !File::open(self.pid_file())
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl PidLock {
    /// Removes what verbs find the node by, and leaves what was lost, if something was, in the pid file. The
    /// lock is held until the process has ended, which takes a while with much memory and keeps the data
    /// directory locked as well.
    pub(crate) fn keep_until_exit(self, lost: Option<&str>) {
        if let Err(error) = self.leave(lost.unwrap_or_default()) {
            tracing::error!(%error, "`stop` does not know what was lost");
        }
        mem::forget(self);
    }

    /// The pid file stays: removing it could take it from a node that is just starting. What is left is
    /// written over the pid: a full disk has room for it.
    fn leave(&self, left: &str) -> io::Result<()> {
        let _ = fs::remove_file(self.run_dir.socket());
        self.pid_file.write_all_at(left.as_bytes(), 0)?;
        self.pid_file.set_len(left.len() as u64)
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        let _ = self.leave("");
    }
}

/// Whether a process is ending: it has taken its pid back, or has no program any more. That of a process of
/// another user must not be read.
pub(super) fn is_ending(pid: Option<u32>) -> bool {
    let program = |pid| fs::read_link(format!("/proc/{pid}/exe"));
    pid.is_none_or(|pid| program(pid).is_err_and(|error| error.kind() == io::ErrorKind::NotFound))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}
