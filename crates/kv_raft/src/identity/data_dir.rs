//! The data directory of a process: a lock says which process has it, the file `node` which node. Both are
//! made again if others remove them while the process runs.

use super::{NODE_FILE, Node, failed, read_node, write_node};
use crate::{
    error::OpenError,
    limits::{LOCK_PAUSE, LOCK_WAIT},
};
use parking_lot::Mutex;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{self, Path, PathBuf},
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
    /// Locked as long as it is open; `None` when this process has given the directory up.
    lock: Mutex<Option<File>>,
}

const LOCK: &str = "lock";

impl DataDir {
    /// The data directory of a node, which is locked.
    pub(crate) fn new(path: &Path, lock: File, node: Node) -> Result<DataDir, OpenError> {
        let path = path::absolute(path).map_err(failed(path))?;
        let device = fs::metadata(&path).map_err(failed(&path))?.dev();
        Ok(DataDir { path, device, node, lock: Mutex::new(Some(lock)) })
    }

    /// Its whole path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets other processes have it.
    pub(crate) fn release(&self) {
        *self.lock.lock() = None;
    }

    /// Makes what others have removed of it again. Fails if another process has taken it, or its file system
    /// has gone.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let mut held = self.lock.lock();
        let Some(file) = &mut *held else { return Ok(()) };
        let there = self.path.ancestors().find_map(|path| fs::metadata(path).ok());
        if there.is_none_or(|there| there.dev() != self.device) {
            return Err(OpenError::OtherDisk { directory: self.path.clone() });
        }
        make_directory(&self.path).map_err(failed(&self.path))?;
        let path = self.path.join(LOCK);
        if !is_same(file, &path).map_err(failed(&path))? {
            *file = lock(&self.path)?;
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
    let is_it = |found: fs::Metadata| (found.dev(), found.ino()) == (opened.dev(), opened.ino());
    Ok(fs::metadata(path).is_ok_and(is_it))
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
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(failed(&path))?;
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

/// Whether a process has the data directory.
pub(crate) fn is_locked(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join(LOCK));
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
