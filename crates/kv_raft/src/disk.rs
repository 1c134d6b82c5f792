//! The free space of a data directory. When little is left, writes are refused before the log runs into a
//! full disk; they are accepted again when there is space. A file keeps some space for a node that starts on
//! a full disk, where no log can be opened.

pub(crate) mod file;

use crate::limits::{
    DISK_END_SHARE, DISK_LOW_BYTES, DISK_LOW_PAUSE, DISK_LOW_SHARE, DISK_RESERVE_BYTES, DISK_RESERVE_SHARE,
};
use parking_lot::Mutex;
use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Something would need space that is kept for the logs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "at least {} are to be written, and only {} may be: {} are free on the disk, of which {} are kept for the \
     logs; free some space",
    format_bytes(*.needed),
    format_bytes(.free.saturating_sub(*.reserve)),
    format_bytes(*.free),
    format_bytes(*.reserve)
)]
pub(crate) struct NoSpace {
    needed: u64,
    free: u64,
    reserve: u64,
}

/// A size as people read it.
pub fn format_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// The disk of a data directory.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// Bytes that must be free for writes.
    reserve: AtomicU64,
    is_full: AtomicBool,
    /// Bytes that may be written: those that were free beside the reserve, without what was written since.
    room: AtomicU64,
    /// Bytes that are being written, which may still seem free.
    in_flight: AtomicU64,
    /// Whether the reserved file cannot be made.
    has_no_reserve: AtomicBool,
    /// Free bytes below which the disk is nearly full.
    low: u64,
    /// When it was said last that it is.
    warned: Mutex<Option<Instant>>,
}

const RESERVE: &str = "reserve";

impl Disk {
    /// Looks at the disk, and gives the reserved file up if there is no space for a log to be opened.
    pub(crate) fn open(directory: &Path) -> io::Result<Disk> {
        let space = statvfs(directory)?;
        let size = space.f_blocks * space.f_frsize;
        let disk = Disk {
            directory: directory.into(),
            reserve: DISK_RESERVE_BYTES.min(size / DISK_RESERVE_SHARE).into(),
            is_full: false.into(),
            room: 0.into(),
            in_flight: 0.into(),
            has_no_reserve: false.into(),
            low: DISK_LOW_BYTES.min(size / DISK_LOW_SHARE),
            warned: Mutex::default(),
        };
        disk.refresh()?;
        let path = directory.join(RESERVE);
        if disk.is_full() && fs::exists(&path)? {
            tracing::warn!(path = %path.display(), "the disk is full; this file is removed to make room");
            fs::remove_file(path)?;
        }
        Ok(disk)
    }

    /// Whether writes are refused.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Relaxed)
    }

    /// Why writes are refused, if they are.
    pub(crate) fn full_reason(&self) -> Option<Arc<str>> {
        let directory = self.directory.display();
        let reason = || {
            let reserve = format_bytes(self.reserve());
            format!("less than {reserve} are free on the disk of {directory}: free some space").into()
        };
        self.is_full().then(reason)
    }

    /// Fails if there is no room for these bytes, all that wait to be written. If there seems to be none, the
    /// disk is looked at again.
    #[inline]
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), Arc<str>> {
        if bytes < self.room.load(Relaxed) { Ok(()) } else { self.recheck_room(bytes) }
    }

    #[cold]
    fn recheck_room(&self, bytes: u64) -> Result<(), Arc<str>> {
        if !self.is_full() {
            // Without it, what was known before holds.
            let _ = self.update();
        }
        let room = self.room.load(Relaxed);
        match self.full_reason() {
            Some(reason) => Err(reason),
            None if bytes < room => Ok(()),
            None => {
                let reserve = self.reserve();
                Err(NoSpace { needed: bytes, free: room + reserve, reserve }.to_string().into())
            }
        }
    }

    /// Notes that these bytes are being written, until the value is dropped.
    pub(crate) fn begin_write(self: &Arc<Self>, bytes: u64) -> Writing {
        self.in_flight.fetch_add(bytes, Relaxed);
        let _ = self.room.fetch_update(Relaxed, Relaxed, |room| Some(room.saturating_sub(bytes)));
        Writing { disk: self.clone(), bytes }
    }

    /// Bytes that must be free for writes.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve.load(Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn set_reserve(&self, reserve: u64) {
        self.reserve.store(reserve, Relaxed);
    }

    /// Warns that writes will be refused, unless it was said a moment ago.
    fn warn_of_little_space(&self, free: u64) {
        let mut warned = self.warned.lock();
        if warned.is_some_and(|warned| warned.elapsed() < DISK_LOW_PAUSE) {
            return;
        }
        *warned = Some(Instant::now());
        tracing::warn!(
            directory = %self.directory.display(),
            free,
            reserve = self.reserve(),
            "the disk is nearly full: writes are refused when only the reserve is left; free some space, or \
             cut the log with BGSAVE"
        );
    }

    /// Bytes that may be written beside the reserve, as far as is known.
    pub(crate) fn room(&self) -> u64 {
        self.room.load(Relaxed)
    }

    /// Fails if there is no room for a snapshot of `needed` bytes, as far as is known, of which it has
    /// `written` already. It makes room, since the log is cut behind it, and may take half of the reserve.
    pub(crate) fn check_snapshot_room(&self, needed: u64, written: u64) -> Result<(), NoSpace> {
        let Ok(free) = self.look() else { return Ok(()) };
        let (free, reserve) = (free + written, self.reserve() / 2);
        match free.saturating_sub(reserve) < needed {
            true => Err(NoSpace { needed, free, reserve }),
            false => Ok(()),
        }
    }

    /// Looks at the disk: how much is free, and so may be written. Writes end a little below the reserve, so
    /// that they do not go on byte by byte above it.
    fn look(&self) -> io::Result<u64> {
        let in_flight = self.in_flight.load(Relaxed);
        let space = statvfs(&self.directory)?;
        let (free, reserve) = (space.f_bavail * space.f_frsize, self.reserve());
        let end = reserve - reserve / DISK_END_SHARE;
        let room = if free <= reserve { 0 } else { free.saturating_sub(end + in_flight) };
        self.room.store(room, Relaxed);
        Ok(free)
    }

    /// Looks at the disk again, and logs if it has become full, or is no longer. Returns how much is free.
    fn update(&self) -> io::Result<u64> {
        let (free, reserve) = (self.look()?, self.reserve());
        let is_full = free <= reserve;
        if self.is_full.swap(is_full, Relaxed) != is_full {
            let directory = self.directory.display();
            match is_full {
                true => tracing::error!(
                    %directory,
                    free,
                    reserve,
                    "the disk is full: writes are refused until more than the reserve is free"
                ),
                false => tracing::warn!(%directory, free, "there is space again: writes are accepted"),
            }
        }
        Ok(free)
    }

    /// Looks at the disk again, and warns if little is left. Makes the reserved file if there is ample space.
    pub(crate) fn refresh(&self) -> io::Result<()> {
        let (free, reserve) = (self.update()?, self.reserve());
        if free >= reserve && free < self.low {
            self.warn_of_little_space(free);
        }
        let path = self.directory.join(RESERVE);
        let reserved = fs::metadata(&path).map_or(0, |file| file.len());
        if free / 2 > reserve && reserved < reserve && !self.has_no_reserve.load(Relaxed) {
            self.make_reserve(&path, |file| fallocate(file, FallocateFlags::empty(), 0, reserve));
        }
        Ok(())
    }

    /// Makes the reserved file. If that is not possible, it is not tried again before the next start.
    fn make_reserve(&self, path: &Path, allocate: impl FnOnce(&File) -> Result<(), Errno>) {
        let made = file::create(path).and_then(|file| match allocate(&file) {
            // Not every file system can allocate what is not written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, self.reserve()),
            allocated => Ok(allocated?),
        });
        if let Err(error) = made {
            self.has_no_reserve.store(true, Relaxed);
            let _ = fs::remove_file(path);
            tracing::warn!(
                path = %path.display(),
                %error,
                "no space is reserved: a start on a full disk will need some to be freed first"
            );
        }
    }
}

fn write_zeros(mut file: File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.sync_all()
}

/// Bytes that are being written.
#[derive(Debug)]
pub(crate) struct Writing {
    disk: Arc<Disk>,
    bytes: u64,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.disk.in_flight.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn sizes_are_shown_in_the_unit_that_suits_them() {
        let sizes = [0, 999, 1_000, 123_456, 999_900, 1_000_000, 1_234_567_890].map(format_bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "123.5 kB", "999.9 kB", "1.0 MB", "1234.6 MB"]);
    }

    #[test]
    fn a_reserve_that_is_not_whole_is_made_again() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join(RESERVE);
        fs::write(&path, b"").expect("written");
        let disk = Disk::open(directory.path()).expect("a disk");
        assert_eq!(fs::metadata(path).expect("a file").len(), disk.reserve());
    }

    #[test]
    fn what_is_written_between_two_looks_at_the_disk_leaves_the_reserve() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Arc::new(Disk::open(directory.path()).expect("opened"));
        let free = disk.look().expect("a disk");
        // Others may write to the disk of the test.
        let space = 1 << 30;
        disk.set_reserve(free - space);
        disk.refresh().expect("a disk");
        let room = disk.room.load(Relaxed);
        assert_eq!(disk.check_room(space / 2), Ok(()));
        let writing = disk.begin_write(2 * room);
        assert_eq!(disk.room.load(Relaxed), 0);
        let reason = disk.check_room(1).expect_err("all is taken, though nothing is written yet");
        assert!(reason.starts_with("at least 1 B are to be written"), "{reason}");
        drop(writing);
        assert_eq!(disk.check_room(space / 2), Ok(()), "it was not written");
        let reason = disk.check_room(2 * room).expect_err("too much");
        assert!(!disk.is_full() && reason.contains("MB are free on the disk"), "{reason}");
        let known = NoSpace { needed: 36_400_000, free: 42_900_000, reserve: 6_600_000 }.to_string();
        let expected = "at least 36.4 MB are to be written, and only 36.3 MB may be: 42.9 MB are free on the \
                        disk, of which 6.6 MB are kept for the logs; free some space";
        assert_eq!(known, expected);
        disk.set_reserve(free + space);
        disk.refresh().expect("a disk");
        assert_eq!(disk.check_room(0).expect_err("full"), disk.full_reason().expect("full"));
    }

    #[test]
    fn where_nothing_can_be_allocated_zeros_are_written_and_without_a_reserve_the_node_starts() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join(RESERVE);
        let disk = Disk::open(directory.path()).expect("a disk");
        disk.set_reserve(100_000);
        disk.make_reserve(&path, |_| Err(Errno::OPNOTSUPP));
        assert_eq!(fs::read(&path).expect("a file"), vec![0; 100_000]);
        disk.make_reserve(&path, |_| Err(Errno::DQUOT));
        assert!(!path.exists());
        disk.refresh().expect("a disk");
        assert!(!path.exists(), "it is not tried again and again");
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_warned_of_once_in_a_while() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk { low: 0, warned: Mutex::default(), ..Disk::open(directory.path()).expect("opened") };
        disk.refresh().expect("a disk");
        assert_eq!(*disk.warned.lock(), None, "there is more space than nothing");
        let disk = Disk { low: u64::MAX, ..disk };
        disk.refresh().expect("a disk");
        let warned = disk.warned.lock().expect("warned");
        disk.refresh().expect("a disk");
        assert_eq!(*disk.warned.lock(), Some(warned));
    }
}
