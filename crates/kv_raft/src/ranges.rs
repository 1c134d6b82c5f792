//! All durable ranges of a node, and their data directory.

pub(crate) mod restore;
pub(crate) mod skip;

use crate::{
    disk::Disk,
    error::OpenError,
    identity::{self, Identity, Span, failed},
    limits::{DISK_PAUSE, LOG_CACHE_BYTES, RANGES},
    log::Fsync,
    proposals::WaitingBytes,
    range::Range,
    replica::{Replica, renew::LOG},
    snapshot::taking::Snapshots,
};
use kv::{Budget, FreezeBudget, Store, TransactionLimits};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{self, Path, PathBuf},
    sync::Arc,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::interval,
};

/// What the ranges of a node are made of.
#[derive(Debug, Clone)]
pub struct RangesSettings {
    /// Where their files are.
    pub data_dir: PathBuf,
    /// The name of the node, whose data it must be.
    pub node: String,
    /// The spans of names, each a range. They are disjoint.
    pub spans: Vec<Span>,
    /// The spans of names that are volatile on this node: there must be no data of them.
    pub volatile: Vec<Span>,
    /// Threads that execute requests.
    pub threads: usize,
    /// What the buckets of all stores of the node may take.
    pub budget: Arc<Budget>,
    /// What the frozen copies of all of them may keep.
    pub freeze_budget: Arc<FreezeBudget>,
    /// What one transaction may touch.
    pub transactions: TransactionLimits,
    /// When their logs are synced.
    pub fsync: Fsync,
}

/// The names in a data directory: of its lock, of the ranges, and of ranges that are being restored.
const LOCK: &str = "lock";
const RANGES_DIRECTORY: &str = "ranges";
const PART: &str = "ranges.part";

/// The fault that this build has so that tests find it, if it has one.
const FAULT: Option<&str> = if cfg!(kv_fault = "answer_before_sync") {
    Some("answer_before_sync")
} else if cfg!(kv_fault = "stale_read") {
    Some("stale_read")
} else {
    None
};

/// The durable ranges of a node. They run on threads of their own, which end with this value.
#[derive(Debug)]
pub struct Ranges {
    data_dir: PathBuf,
    ranges: Vec<Arc<Range>>,
    left_over: Vec<PathBuf>,
    lives: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    disk: Arc<Disk>,
    runtime: Option<Runtime>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Ranges {
    /// Opens the data directory, or makes one, and begins to load the ranges, which goes on while they are
    /// used.
    pub fn open(settings: &RangesSettings) -> Result<Ranges, OpenError> {
        let RangesSettings { data_dir, node, spans, volatile, .. } = settings;
        if let Some(fault) = FAULT {
            tracing::warn!(fault, "this build has a fault, for tests alone: it loses data");
        }
        check_count(spans)?;
        let directory = data_dir.join(RANGES_DIRECTORY);
        make_directory(&directory).map_err(failed(&directory))?;
        let lock = lock(data_dir)?;
        check_node(data_dir, node)?;
        let part = data_dir.join(PART);
        if fs::exists(&part).map_err(failed(&part))? {
            return Err(OpenError::HalfRestored { part });
        }
        let disk = Arc::new(Disk::open(data_dir).map_err(failed(data_dir))?);
        let opened = open_replicas(&directory, spans, volatile, settings.threads)?;
        let Opened { replicas, left_over } = opened;
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.threads.clamp(1, 2))
            .thread_name("range")
            .enable_time()
            .build()
            .map_err(failed(data_dir))?;
        let waiting = Arc::<WaitingBytes>::default();
        drop(runtime.spawn(watch_disk(disk.clone())));
        let (mut ranges, mut lives) = (Vec::new(), Vec::new());
        for (path, identity) in replicas {
            let store = Store::for_range(identity.seed, identity.shards as usize);
            let store = store.with_budget(settings.budget.clone());
            let snapshots = Snapshots::new(path.clone(), settings.freeze_budget.clone());
            let (waiting, disk) = (waiting.clone(), disk.clone());
            let range = Range::new(identity.span, store, snapshots, waiting, disk, settings.fsync);
            let range = Arc::new(range);
            range.set_transaction_limits(settings.transactions);
            let replica = Replica {
                id: identity.replica,
                range: range.clone(),
                directory: path,
                cache_bytes: LOG_CACHE_BYTES / spans.len().max(1),
            };
            lives.push(runtime.spawn(replica.run()));
            ranges.push(range);
        }
        tracing::info!(directory = %data_dir.display(), ranges = ranges.len(), "the data directory is open");
        let lives = lives.into();
        let data_dir = path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
        Ok(Ranges { data_dir, ranges, left_over, lives, disk, runtime: Some(runtime), _lock: lock })
    }

    /// The whole path of the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The ranges, in the order of their spans in the settings.
    pub fn all(&self) -> &[Arc<Range>] {
        &self.ranges
    }

    /// Whether a process has the data directory open.
    pub fn is_in_use(data_dir: &Path) -> bool {
        let lock = File::open(data_dir.join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Directories with the data of ranges that the settings do not have. They are kept.
    pub fn left_over(&self) -> &[PathBuf] {
        &self.left_over
    }

    /// Accepts no more requests, and waits until those that wait are executed and all files are closed.
    pub async fn close(&self) {
        self.ranges.iter().for_each(|range| range.close());
        let lives = std::mem::take(&mut *self.lives.lock());
        for life in lives {
            drop(life.await);
        }
    }

    /// Changes what one transaction may touch.
    pub fn set_transaction_limits(&self, limits: TransactionLimits) {
        self.ranges.iter().for_each(|range| range.set_transaction_limits(limits));
    }

    /// Whether so little space is left on the disk that writes are refused.
    pub fn is_disk_full(&self) -> bool {
        self.disk.is_full()
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        // It may be dropped by a task of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Looks at the free space from time to time.
async fn watch_disk(disk: Arc<Disk>) {
    let mut ticks = interval(DISK_PAUSE);
    loop {
        ticks.tick().await;
        if let Err(error) = disk.check() {
            tracing::debug!(%error, "the free space of the disk is not known");
        }
    }
}

/// Makes a directory, with those above it, which are there after a loss of power as well.
fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(path)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Keeps other processes out of the data directory.
fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join(LOCK);
    let file = File::create(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: data_dir.into() }),
        Err(TryLockError::Error(error)) => Err(OpenError::Io { path, error }),
    }
}

fn check_count(spans: &[Span]) -> Result<(), OpenError> {
    match spans.len() {
        ..=RANGES => Ok(()),
        found => Err(OpenError::TooMany { found, limit: RANGES }),
    }
}

fn check_node(data_dir: &Path, node: &str) -> Result<(), OpenError> {
    match identity::read_node(data_dir)? {
        None => identity::write_node(data_dir, node),
        Some(owner) if owner == node => Ok(()),
        Some(owner) => Err(OpenError::OtherNode { directory: data_dir.into(), owner, node: node.to_owned() }),
    }
}

type Found = (PathBuf, Identity);

/// The replicas whose files are there, in the order of their ranges.
fn find_replicas(directory: &Path) -> Result<Vec<Found>, OpenError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        // Without the file it was never used.
        if let Some(identity) = identity::read_replica(&path)? {
            found.push((path, identity));
        }
    }
    found.sort_by_key(|(_, identity)| identity.range);
    Ok(found)
}

/// The replicas of a node.
struct Opened {
    /// One for each span of the settings.
    replicas: Vec<Found>,
    /// The directories of others.
    left_over: Vec<PathBuf>,
}

/// Finds the replicas of these spans. Those that are not there are made when all others fit.
fn open_replicas(
    directory: &Path,
    spans: &[Span],
    volatile: &[Span],
    threads: usize,
) -> Result<Opened, OpenError> {
    let mut found = find_replicas(directory)?;
    let ids = found.iter().map(|(_, identity)| identity.range.max(identity.replica));
    let first = ids.max().unwrap_or(0) + 1;
    let taken: Vec<_> = spans.iter().map(|span| take(&mut found, span)).collect::<Result<_, _>>()?;
    for span in volatile {
        if let Some((directory, identity)) = found.iter().find(|(_, identity)| identity.span.overlaps(span)) {
            return Err(OpenError::Volatile {
                directory: directory.clone(),
                found: identity.span.text.to_string(),
                configured: span.text.to_string(),
            });
        }
    }
    let mut ids = first..;
    let made = |(replica, span): (Option<Found>, &Span)| match replica {
        Some(replica) => Ok(replica),
        None => make_replica(directory, span, threads, ids.next().expect("there is no last one")),
    };
    let replicas = taken.into_iter().zip(spans).map(made).collect::<Result<_, _>>()?;
    Ok(Opened { replicas, left_over: found.into_iter().map(|(path, _)| path).collect() })
}

/// Takes the replica of this span; `None` if there is none, and no other has a name of it.
fn take(found: &mut Vec<Found>, span: &Span) -> Result<Option<Found>, OpenError> {
    if let Some(place) = found.iter().position(|(_, identity)| identity.span == *span) {
        return Ok(Some(found.remove(place)));
    }
    match found.iter().find(|(_, identity)| identity.span.overlaps(span)) {
        None => Ok(None),
        Some((directory, identity)) => Err(OpenError::OtherSpan {
            directory: directory.clone(),
            found: identity.span.text.to_string(),
            configured: span.text.to_string(),
        }),
    }
}

fn make_replica(directory: &Path, span: &Span, threads: usize, id: u64) -> Result<Found, OpenError> {
    let path = directory.join(format!("{id}-{id}"));
    let log = path.join(LOG);
    fs::create_dir_all(&log).map_err(failed(&log))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| failed(&path)(io::Error::other(error)))?;
    let shards = Store::shards_for_threads(threads) as u32;
    let identity =
        Identity { range: id, replica: id, seed: u64::from_le_bytes(seed), shards, span: span.clone() };
    identity::write_replica(&path, &identity)?;
    Ok((path, identity))
}

#[cfg(test)]
mod tests;
