//! The data directory of a process: a lock says which process has it, the file `node` which node. Both are
//! made again if others remove them while the process runs.

use super::{NODE_FILE, Node, failed, no_links, read_node, write_node};
use crate::{
    error::OpenError,
    limits::{LOCK_PAUSE, LOCK_WAIT},
};
use parking_lot::Mutex;
use rustix::{
    fs::{Dir, Mode, OFlags, fchown, openat},
    io::Errno,
    process::{Gid, Uid, geteuid},
};
use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
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

/// The same for a command that works on a data directory without a node.
pub(crate) fn lock_offline(data_dir: &Path) -> Result<File, OpenError> {
    let lock = lock_when_free(data_dir)?;
    hand_over(data_dir, &data_dir.join(LOCK))?;
    Ok(lock)
}

/// Gives what root has made in the data directory of another user to that user, whose node could not use it.
/// That user may put links there meanwhile: none is followed.
pub(crate) fn hand_over(data_dir: &Path, made: &Path) -> Result<(), OpenError> {
    let owner = fs::metadata(data_dir).map_err(failed(data_dir))?;
    if !geteuid().is_root() || owner.uid() == Uid::ROOT.as_raw() {
        return Ok(());
    }
    if made.is_symlink() {
        let problem = "is a symbolic link, which root does not follow here: run this as the owner of the data \
                       directory";
        return Err(OpenError::Damaged { path: made.into(), problem: problem.into() });
    }
    let mut directory = File::open(data_dir).map_err(failed(data_dir))?;
    let names: Vec<_> = made.strip_prefix(data_dir).unwrap_or(made).iter().collect();
    let Some((last, above)) = names.split_last() else { return Ok(()) };
    for name in above {
        directory = open_in(&directory, name).map_err(|error| failed(made)(error.into()))?;
    }
    give(&directory, last, (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()))).map_err(failed(made))
}

fn open_in(directory: &File, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).map(File::from)
}

/// Gives a file, or a directory with all that is in it, to a user, as far as it is root's.
fn give(directory: &File, name: &OsStr, to: (Uid, Gid)) -> io::Result<()> {
    let made = match open_in(directory, name) {
        Ok(made) => made,
        // Root makes neither links nor sockets.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let metadata = made.metadata()?;
    if metadata.is_dir() {
        for entry in Dir::read_from(&made)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                give(&made, name, to)?;
            }
        }
    }
    // A file with another name may be one that is not in the data directory.
    let is_made = metadata.is_dir() || (metadata.is_file() && metadata.nlink() == 1);
    if is_made && metadata.uid() == Uid::ROOT.as_raw() {
        fchown(&made, Some(to.0), Some(to.1))?;
        made.sync_all()?;
    }
    Ok(())
}

/// Keeps other processes out of the data directory.
pub(crate) fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join(LOCK);
    let open = no_links().read(true).create(true).truncate(false).open(&path);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};
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

    /// As far as that can be seen: only root can give files away, and write to those of others.
    #[test]
    fn links_in_the_data_directory_of_another_user_lead_root_nowhere() {
        let (directory, other) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
        let (data_dir, file) = (directory.path(), other.path().join("file"));
        fs::write(&file, "text").expect("written");
        let link = |name: &str| {
            let path = data_dir.join(name);
            symlink(&file, &path).expect("a link");
            path
        };
        let lock_link = link(LOCK);
        lock(data_dir).expect_err("a link");
        fs::remove_file(lock_link).expect("removed");
        link("node.part");
        let node = Node { name: "foo@127.0.0.1".into(), last_id: 0 };
        write_node(data_dir, &node).expect_err("a link");
        let sub = data_dir.join("sub");
        fs::create_dir(&sub).expect("made");
        fs::write(sub.join("made"), "").expect("written");
        symlink(other.path(), sub.join("directory")).expect("a link");
        symlink("nowhere", sub.join("nowhere")).expect("a link");
        fs::hard_link(&file, sub.join("hard")).expect("a second name");
        if geteuid().is_root() {
            chown(data_dir, Some(65_534), Some(65_534)).expect("given away");
        }
        hand_over(data_dir, &sub).expect("handed over");
        let owner = |path: &Path| fs::metadata(path).expect("there").uid();
        assert_eq!([owner(&sub), owner(&sub.join("made"))], [owner(data_dir); 2]);
        assert_eq!([owner(other.path()), owner(&file)], [geteuid().as_raw(); 2]);
        assert_eq!(fs::read_to_string(&file).expect("text"), "text");
        symlink(other.path(), data_dir.join("other")).expect("a link");
        for link in ["other", "other/file"] {
            let handed = hand_over(data_dir, &data_dir.join(link));
            assert_eq!(handed.is_err(), geteuid().is_root(), "{link}");
        }
    }
}
