//! The data directory of a process: a lock says which process has it, the file `node` which node. Both are
//! made again if others remove them while the process runs.

use super::{NODE_FILE, Node, failed, read_node, write_node};
use crate::{
    disk::file,
    error::OpenError,
    limits::{LOCK_PAUSE, LOCK_WAIT},
};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process, thread,
    time::Instant,
};

/// A data directory that this process has.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The file system that it is on.
    device: u64,
    node: Node,
    /// Locked as long as it is open; when this process has lost the directory, the one that has taken it, if
    /// that is known.
    lock: Mutex<Result<File, Option<u32>>>,
}

const LOCK: &str = "lock";

impl DataDir {
    /// The data directory of a node, which is locked.
    pub(crate) fn new(path: &Path, lock: File, node: Node) -> Result<DataDir, OpenError> {
        let device = fs::metadata(path).map_err(failed(path))?.dev();
        Ok(DataDir { path: path.into(), device, node, lock: Mutex::new(Ok(lock)) })
    }

    /// Its whole path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets other processes have it.
    pub(crate) fn release(&self) {
        *self.lock.lock() = Err(None);
    }

    /// Makes what others have removed of it again. Fails if its file system has gone, or another process has
    /// taken it: it is that one's then, even after its end.
    pub(crate) fn keep(&self) -> Result<(), OpenError> {
        let mut held = self.lock.lock();
        let file = match &*held {
            Ok(file) => file,
            Err(pid) => return Err(OpenError::Locked { directory: self.path.clone(), pid: *pid }),
        };
        let there = self.path.ancestors().find_map(|path| fs::metadata(path).ok());
        if there.is_none_or(|there| there.dev() != self.device) {
            return Err(OpenError::OtherDisk { directory: self.path.clone() });
        }
        make_directory(&self.path).map_err(failed(&self.path))?;
        let path = self.path.join(LOCK);
        if !is_same(file, &path).map_err(failed(&path))? {
            let locked = lock(&self.path).inspect_err(|error| {
                if let OpenError::Locked { pid, .. } = error {
                    *held = Err(*pid);
                }
            });
            *held = Ok(locked?);
            warn_of_others(&path);
        }
        if !read_node(&self.path).is_ok_and(|node| node.as_ref() == Some(&self.node)) {
            write_node(&self.path, &self.node)?;
            warn_of_others(&self.path.join(NODE_FILE));
        }
        Ok(())
    }
}

/// Says that a file was made again.
pub(crate) fn warn_of_others(path: &Path) {
    tracing::error!(
        path = %path.display(),
        "others have removed or changed a file of the running node; it is made again: leave the data directory \
         to the node"
    );
}

/// Whether the path is that of an open file.
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps other processes out of the data directory. One that was killed may have it for a moment.
pub(crate) fn lock_when_free(data_dir: &Path) -> Result<File, OpenError> {
    let began = Instant::now();
    loop {
        match lock(data_dir) {
            Err(OpenError::Locked { .. }) if began.elapsed() < LOCK_WAIT => thread::sleep(LOCK_PAUSE),
            locked => return locked,
        }
    }
}

/// Keeps other processes out of the data directory.
pub(crate) fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join(LOCK);
    let opened = file::open(&path, File::options().read(true).write(true).create(true).truncate(false));
    let mut file = opened.map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).unwrap_or_default().trim().parse().ok();
            return Err(OpenError::Locked { directory: data_dir.into(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(OpenError::Io { path, error }),
    }
    // On a full disk it says nothing.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
    Ok(file)
}

/// Whether a process has the data directory. Root asks that about the directories of other users as well, who
/// may have put a link to a device there.
pub(crate) fn is_locked(data_dir: &Path) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let lock = File::options().read(true).custom_flags(flags).open(data_dir.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Makes a directory, with those above it, which are there after a loss of power as well.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(path)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    #[test]
    fn a_lock_that_cannot_be_looked_at_is_not_taken_for_a_removed_one() {
        let directory = TempDir::new().expect("a directory");
        let (file, path) = (lock(directory.path()).expect("locked"), directory.path().join(LOCK));
        assert!(is_same(&file, &path).expect("it is there"));
        fs::remove_file(&path).expect("removed");
        assert!(!is_same(&file, &path).expect("it is gone"));
        symlink(&path, &path).expect("a link to itself");
        is_same(&file, &path).expect_err("that is not known");
    }
}
