//! The snapshot of a range as a file in its directory, from which its log goes on. There is one at a time;
//! the next one takes its place when it is whole.

use super::{SnapshotError, SnapshotHeader, SnapshotKind, SnapshotReader, encode_store, state};
use crate::{
    disk::{Disk, NoSpace, file},
    error::{OpenError, unusable, ways_out},
    identity::{OWNER_BYTES, Owner, data_dir::DataDir, failed},
    log::encoding::Position,
    snapshot::SnapshotEncoder,
};
use kv::{FrozenStore, GivenUp, LoadError, Loader, StateRecord, Store, time::now_ms};
use std::{
    fs::{self, File, Metadata},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::UNIX_EPOCH,
};

/// A snapshot that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeSnapshot {
    /// The last entry that is in it, and the members then.
    pub(crate) position: Position,
    /// The time of the range then, in milliseconds since 1970.
    pub(crate) stamp_ms: u64,
    /// When it was written by the clock, in milliseconds since 1970.
    pub(crate) written_ms: u64,
    pub(crate) bytes: u64,
}

/// Why a snapshot was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The directory is not that of this process any more, or a file cannot be written.
    #[error(transparent)]
    Files(#[from] OpenError),
}

/// Why a snapshot was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLoaded {
    #[error("{}: {error}", .path.display())]
    Version { path: PathBuf, error: SnapshotError },
    #[error("{}: {error}; {}", .path.display(), ways_out(.path.parent().unwrap_or(.path)))]
    Unreadable { path: PathBuf, error: SnapshotError },
    #[error("{}: {error}; {}", .path.display(), ways_out(.path.parent().unwrap_or(.path)))]
    Refused { path: PathBuf, error: LoadError },
    #[error("{} is not the snapshot of a range; {}", .path.display(), ways_out(.path.parent().unwrap_or(.path)))]
    Other { path: PathBuf },
    #[error(
        "{} is the snapshot of another replica; put the one back that was there, or {}",
        .path.display(),
        ways_out(.path.parent().unwrap_or(.path))
    )]
    Foreign { path: PathBuf },
    #[error(transparent)]
    Unusable(io::Error),
    #[error(transparent)]
    Io(#[from] OpenError),
}

/// With what begins what a description says of the owner. It stands before what is watched.
const OWNER: u8 = 3;

/// What a snapshot says of itself, but for what is watched.
pub(crate) fn description(position: &Position, owner: Owner) -> Vec<u8> {
    let mut bytes = position.to_bytes();
    bytes.push(OWNER);
    bytes.extend_from_slice(&owner.to_bytes());
    bytes
}

/// What is watched, if the snapshot is that of the owner, or of an early version, which did not say whose.
fn watched(description: &[u8], owner: Option<Owner>) -> Option<&[u8]> {
    let Some((&OWNER, rest)) = description.split_first() else { return Some(description) };
    let (found, watched) = rest.split_first_chunk::<OWNER_BYTES>()?;
    owner.is_none_or(|owner| *found == owner.to_bytes()).then_some(watched)
}

/// The header of the snapshot of a store that has executed the log as far as `position`.
pub(crate) fn header(position: &Position, owner: Owner, stamp_ms: u64, store: &Store) -> SnapshotHeader {
    let mut description = description(position, owner);
    store.read_state(|record| state::encode(&record, &mut description));
    SnapshotHeader { kind: SnapshotKind::Range, stamp_ms, description }
}

/// The header of the first snapshot of a range, which has executed nothing itself.
pub(crate) fn header_of_new(
    position: &Position,
    owner: Owner,
    stamp_ms: u64,
    last_version: u64,
) -> SnapshotHeader {
    let mut description = description(position, owner);
    state::encode(&StateRecord::LastVersion(last_version), &mut description);
    SnapshotHeader { kind: SnapshotKind::Range, stamp_ms, description }
}

/// Writes a frozen copy as the snapshot of the range in `directory`, and removes the snapshots before it. It
/// is given up when only the reserve of the disk is left, or another process has taken the data directory.
pub(crate) fn write(
    directory: &Path,
    data_dir: &DataDir,
    disk: &Disk,
    position: &Position,
    header: &SnapshotHeader,
    frozen: &mut FrozenStore,
) -> Result<RangeSnapshot, NotWritten> {
    let path = path(directory, position.last.index);
    let part = path.with_extension(PART);
    let written = write_part(&part, disk, header, frozen);
    let bytes = written.and_then(|bytes| Ok(data_dir.keep().map(|()| bytes)?)).inspect_err(|_| {
        // It would take the space that others need.
        let _ = fs::remove_file(&part);
    })?;
    fs::rename(&part, &path).and_then(|()| File::open(directory)?.sync_all()).map_err(failed(&path))?;
    for before in remove_parts(directory)?.into_iter().filter(|found| *found < path) {
        fs::remove_file(&before).map_err(failed(&before))?;
    }
    let (position, stamp_ms) = (position.clone(), header.stamp_ms);
    let written_ms = fs::metadata(&path).ok().and_then(|file| written_ms(&file)).unwrap_or_else(now_ms);
    Ok(RangeSnapshot { position, stamp_ms, written_ms, bytes })
}

/// When a file was written, in milliseconds since 1970.
fn written_ms(file: &Metadata) -> Option<u64> {
    let since = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as u64)
}

/// Where the snapshot is whose last entry has this index.
pub(crate) fn path(directory: &Path, last: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{last:020}"))
}

/// Returns how many bytes were written, and are on disk.
fn write_part(
    part: &Path,
    disk: &Disk,
    header: &SnapshotHeader,
    frozen: &mut FrozenStore,
) -> Result<u64, NotWritten> {
    let mut encoder = SnapshotEncoder::new(header);
    let mut file = file::create(part).map_err(failed(part))?;
    let mut bytes = 0;
    let mut check_snapshot_room = |blocks: &[u8]| {
        let written = bytes;
        bytes += blocks.len() as u64;
        disk.check_snapshot_room(bytes, written)
    };
    while let Some(blocks) = encode_store(frozen, &mut encoder)? {
        check_snapshot_room(&blocks)?;
        file.write_all(&blocks).map_err(failed(part))?;
    }
    let rest = encoder.finish();
    check_snapshot_room(&rest)?;
    let written = file.write_all(&rest).and_then(|()| file.sync_all());
    Ok(written.and_then(|()| Ok(file.metadata()?.len())).map_err(failed(part))?)
}

/// How much of a snapshot is loaded. Others look at it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct LoadProgress {
    /// Bytes that were read.
    pub(crate) read: AtomicU64,
    /// Bytes of the whole snapshot.
    pub(crate) size: AtomicU64,
}

/// A file that counts what is read of it.
struct CountedFile<'a> {
    file: File,
    read: &'a AtomicU64,
}

impl Read for CountedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// A snapshot whose records have not been read.
struct OpenSnapshot<'p> {
    snapshot: RangeSnapshot,
    /// What is watched.
    watched: Vec<u8>,
    reader: SnapshotReader<BufReader<CountedFile<'p>>>,
}

/// Loads the newest snapshot in `directory` into an empty store; `None` if there is none. It must be that of
/// the owner.
pub(crate) fn load(
    directory: &Path,
    owner: Owner,
    store: &Store,
    progress: &LoadProgress,
) -> Result<Option<RangeSnapshot>, NotLoaded> {
    match remove_parts(directory)?.pop() {
        Some(path) => load_file(&path, Some(owner), store, progress).map(Some),
        None => Ok(None),
    }
}

/// What the newest snapshot in `directory` says of itself, which must be that of the owner; `None` if there
/// is none.
pub(crate) fn newest(directory: &Path, owner: Owner) -> Result<Option<RangeSnapshot>, NotLoaded> {
    let Some(path) = remove_parts(directory)?.pop() else { return Ok(None) };
    Ok(Some(open(&path, Some(owner), &LoadProgress::default())?.snapshot))
}

/// Checks a snapshot to its end.
pub(crate) fn check(path: &Path) -> Result<(), NotLoaded> {
    let file = File::open(path).map_err(failed(path))?;
    let mut reader = SnapshotReader::open(BufReader::new(file)).map_err(unreadable(path))?;
    while reader.next_record().map_err(unreadable(path))?.is_some() {}
    Ok(())
}

/// For `map_err`: why a snapshot cannot be read.
fn unreadable(path: &Path) -> impl Fn(SnapshotError) -> NotLoaded + '_ {
    move |error| match error {
        SnapshotError::Version(_) => NotLoaded::Version { path: path.into(), error },
        _ => NotLoaded::Unreadable { path: path.into(), error },
    }
}

/// Opens a snapshot, as far as its records. It must be that of the owner, if there is one.
fn open<'p>(
    path: &Path,
    owner: Option<Owner>,
    progress: &'p LoadProgress,
) -> Result<OpenSnapshot<'p>, NotLoaded> {
    let directory = path.parent().unwrap_or(path);
    let unusable = |error| NotLoaded::Unusable(unusable(directory, path, error));
    let file = file::open(path, File::options().read(true)).map_err(unusable)?;
    let metadata = file.metadata().map_err(unusable)?;
    progress.read.store(0, Relaxed);
    progress.size.store(metadata.len(), Relaxed);
    let file = CountedFile { file, read: &progress.read };
    let reader = SnapshotReader::open(BufReader::new(file)).map_err(unreadable(path))?;
    let SnapshotHeader { kind, stamp_ms, description } = reader.header();
    let position = Position::from_bytes(description).filter(|_| *kind == SnapshotKind::Range);
    let Some((position, rest)) = position else { return Err(NotLoaded::Other { path: path.into() }) };
    let Some(watched) = watched(rest, owner) else { return Err(NotLoaded::Foreign { path: path.into() }) };
    let (watched, stamp_ms) = (watched.to_vec(), *stamp_ms);
    let written_ms = written_ms(&metadata).unwrap_or(stamp_ms);
    let snapshot = RangeSnapshot { position, stamp_ms, written_ms, bytes: metadata.len() };
    Ok(OpenSnapshot { snapshot, watched, reader })
}

/// Loads a snapshot into an empty store. It must be that of the owner, if there is one.
pub(crate) fn load_file(
    path: &Path,
    owner: Option<Owner>,
    store: &Store,
    progress: &LoadProgress,
) -> Result<RangeSnapshot, NotLoaded> {
    let OpenSnapshot { snapshot, watched, mut reader } = open(path, owner, progress)?;
    let refused = |error| NotLoaded::Refused { path: path.into(), error };
    // What had expired by the time of the range is gone for all its replicas.
    let mut loader = Loader::new(store, snapshot.stamp_ms);
    while let Some(record) = reader.next_record().map_err(unreadable(path))? {
        loader.load(record).map_err(refused)?;
    }
    loader.finish();
    let Some(loaded) = state::decode(&watched, |record| store.load_state(record)) else {
        return Err(NotLoaded::Other { path: path.into() });
    };
    loaded.map_err(refused)?;
    Ok(snapshot)
}

const PREFIX: &str = "snapshot-";
const PART: &str = "part";

/// Removes parts of snapshots, and returns those that are whole, the oldest first.
fn remove_parts(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            continue;
        }
        match path.extension().is_some_and(|extension| extension == PART) {
            true => fs::remove_file(&path).map_err(failed(&path))?,
            false => found.push(path),
        }
    }
    found.sort_unstable();
    Ok(found)
}
