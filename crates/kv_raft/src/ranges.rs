//! All durable ranges of a node, and their data directory.

pub(crate) mod recover;
mod replicas;
pub(crate) mod restore;
pub(crate) mod skip;
mod split;

use crate::{
    consensus::{
        ElectionTimes,
        transport::{SendFrame, Transport, find_receiver},
    },
    disk::Disk,
    error::{LastReason, OpenError},
    identity::{
        Identity, Ids, NODE_FILE, Owner, Placement, ReplicaSpan, Span,
        data_dir::{DataDir, is_locked, lock_when_free, make_directory},
        failed, read_nodes, read_table,
        spans::Spans,
        write_nodes, write_table,
    },
    limits::{
        DISK_PAUSE, ELECTION_DELAY, ELECTION_SYNCS, LOG_CACHE_LEAST, LOG_CHECK_PAUSE, LOG_FILES,
        MEASURED_SYNCS, VOTE_LEASE,
    },
    log::{LogOptions, descriptors_of_range, files_of_each},
    proposals::WaitingBytes,
    range::Range,
    replica::{Begin, Replica, files::ReplicaFiles},
    snapshot::taking::Snapshots,
};
use kv::{AlreadyFrozen, Budget, FreezeBudget, FrozenStore, Store, TransactionLimits};
use parking_lot::{Mutex, RwLock};
use replicas::{
    Begun, Opened, Unknown, check_counts, find_or_make, keep_replicas_aside, open_replicas, remove_replica,
};
use rustix::process::{Resource, getrlimit};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{self, Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Notify,
    task::{JoinHandle, block_in_place, spawn_blocking},
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
    pub spans: Vec<ReplicaSpan>,
    /// The spans of names that are volatile on this node: there must be no data of them.
    pub volatile: Vec<Span>,
    /// The spans whose replicas have left this node: what there still is of them is moved aside.
    pub left: Vec<Span>,
    /// Threads that execute requests.
    pub threads: usize,
    /// What the buckets of all stores of the node may take.
    pub budget: Arc<Budget>,
    /// What the frozen copies of all of them may keep.
    pub freeze_budget: Arc<FreezeBudget>,
    /// What one transaction may touch.
    pub transactions: TransactionLimits,
    /// How their logs are kept.
    pub logs: LogOptions,
    /// What carries frames to the other nodes that have replicas.
    pub carrier: Arc<dyn SendFrame>,
}

/// The names in a data directory: of the ranges, and of ranges that are being restored.
const RANGES_DIRECTORY: &str = "ranges";
const PART: &str = "ranges.part";
/// What is written to measure how fast the disk is.
const SYNC_TEST: &str = "sync.part";

/// The faults that a build may have so that tests find them, and whether this one does.
const FAULTS: [(&str, bool); 7] = [
    ("answer_before_majority", cfg!(kv_fault = "answer_before_majority")),
    ("answer_before_sync", cfg!(kv_fault = "answer_before_sync")),
    ("apply_twice", cfg!(kv_fault = "apply_twice")),
    ("forget_vote", cfg!(kv_fault = "forget_vote")),
    ("keep_replica_id", cfg!(kv_fault = "keep_replica_id")),
    ("read_without_lease", cfg!(kv_fault = "read_without_lease")),
    ("stale_read", cfg!(kv_fault = "stale_read")),
];

/// The durable ranges of a node. They run on threads of their own, which end with this value.
#[derive(Debug)]
pub struct Ranges {
    shared: Shared,
    open: Arc<RwLock<Vec<OpenRange>>>,
    /// Held while what was split off gets files, and opens.
    splitting: Mutex<()>,
    left_over: Vec<PathBuf>,
    watch: Mutex<Option<JoinHandle<()>>>,
    runtime: Option<Runtime>,
}

/// A range that is open.
#[derive(Debug)]
struct OpenRange {
    range: Arc<Range>,
    /// The way to other replicas, if there may be some.
    transport: Option<Arc<Transport>>,
    directory: PathBuf,
    /// That of its replica, if that is known.
    task: Option<JoinHandle<()>>,
}

/// What the ranges of a node are made of and share.
#[derive(Debug)]
struct Shared {
    settings: RangesSettings,
    data_dir: Arc<DataDir>,
    disk: Arc<Disk>,
    waiting: Arc<WaitingBytes>,
    /// Files of each log after which that is cut.
    log_files: usize,
    election: ElectionTimes,
    /// Notified when a range was split.
    has_split: Arc<Notify>,
    runtime: Handle,
}

impl Shared {
    /// The empty store of a replica.
    fn store(&self, identity: &Identity) -> Store {
        let store = Store::for_range(identity.seed, identity.shards as usize);
        store.with_budget(self.settings.budget.clone())
    }

    /// A range of these names.
    fn range(
        &self,
        directory: &Path,
        owner: Owner,
        store: Store,
        span: Span,
        row: &ReplicaSpan,
    ) -> Arc<Range> {
        let Shared { settings, data_dir, disk, waiting, .. } = self;
        let (text, budget) = (span.text.clone(), settings.freeze_budget.clone());
        let snapshots = Snapshots::new(text, data_dir.clone(), directory.into(), owner, disk.clone(), budget);
        let (waiting, disk, fsync) = (waiting.clone(), disk.clone(), settings.logs.fsync);
        // It is not yet split.
        let left = (span != row.span).then(|| row.span.clone());
        let placement = row.placement.clone().map(|placement| Placement { span: left, ..placement });
        let spans = Spans::new(span, Some(self.has_split.clone()));
        let range =
            Range::new(spans, (placement, row.confirms_reads), store, snapshots, waiting, disk, fsync);
        range.set_transaction_limits(settings.transactions);
        Arc::new(range)
    }

    /// Opens the replica that was found in a directory, which it is about to load.
    fn open_replica(&self, begun: Begun, row: &ReplicaSpan, ranges: usize) -> OpenRange {
        let RangesSettings { node, logs, carrier, .. } = &self.settings;
        let Begun { found: (directory, identity), store } = begun;
        let begin = if store.is_some() { Begin::Loaded } else { Begin::Start };
        let (owner, store) = (identity.owner(), store.unwrap_or_else(|| self.store(&identity)));
        let span = if identity.span == row.span { &row.span } else { &identity.span }.clone();
        let range = self.range(&directory, owner, store, span, row);
        let transport = row.placement.as_ref().zip(range.lease.clone()).map(|(placement, lease)| {
            let (carrier, runtime) = (carrier.clone(), self.runtime.clone());
            Arc::new(Transport::new(row, placement, identity.replica, node, carrier, lease, runtime))
        });
        let (data_dir, spans) = (self.data_dir.clone(), range.spans.clone());
        let files = ReplicaFiles::new(identity, spans, data_dir, directory.clone());
        let cache_bytes = match row.span.has_names() {
            true => logs.cache_bytes_of_each(ranges),
            false => LOG_CACHE_LEAST,
        };
        let (log_files, election) = (self.log_files, self.election);
        let replica = Replica {
            range: range.clone(),
            files,
            cache_bytes,
            log_files,
            transport: transport.clone(),
            election,
            begin,
        };
        OpenRange { range, transport, directory, task: Some(self.runtime.spawn(replica.run())) }
    }

    /// A range of which it is not known where its data are.
    fn stopped_range(&self, Unknown { directory, problem }: Unknown, row: &ReplicaSpan) -> OpenRange {
        let store = Store::for_threads(self.settings.threads);
        let range = self.range(&directory, Owner::default(), store, row.span.clone(), row);
        tracing::error!(range = &*row.span.text, reason = problem, "the range has stopped");
        range.stop(&problem);
        OpenRange { range, transport: None, directory, task: None }
    }

    /// The directory of the ranges.
    fn directory(&self) -> PathBuf {
        self.data_dir.path().join(RANGES_DIRECTORY)
    }
}

impl Ranges {
    /// Opens the data directory, or makes one, and begins to load the ranges, which goes on while they are
    /// used.
    pub fn open(settings: &RangesSettings) -> Result<Ranges, OpenError> {
        let RangesSettings { data_dir, node, spans, volatile, left, .. } = settings;
        for (fault, _) in FAULTS.iter().filter(|(_, is_here)| *is_here) {
            tracing::warn!(fault, "this build has a fault, for tests alone: it loses data");
        }
        check_counts(spans)?;
        let data_dir = &path::absolute(data_dir).map_err(failed(data_dir))?;
        let directory = data_dir.join(RANGES_DIRECTORY);
        let is_new = is_new(data_dir)?;
        let was_there = fs::exists(data_dir).map_err(failed(data_dir))?;
        check_place(data_dir)?;
        make_directory(&directory).map_err(failed(&directory))?;
        let lock = lock_when_free(data_dir)?;
        warn_if_node_is_missing(data_dir, node)?;
        let mut ids = Ids::open(data_dir, node)?;
        let part = data_dir.join(PART);
        if fs::exists(&part).map_err(failed(&part))? {
            return Err(OpenError::HalfRestored { part });
        }
        if is_new {
            log_new_directory(data_dir, was_there, spans.len());
        }
        let disk = Arc::new(Disk::open(data_dir).map_err(failed(data_dir))?);
        for span in left {
            keep_replicas_aside(data_dir, &directory, span)?;
        }
        let opened = open_replicas(&directory, spans, volatile, settings.threads, &mut ids)?;
        let Opened { replicas, left_over } = opened;
        let data_dir = Arc::new(DataDir::new(data_dir, lock, ids.into_node())?);
        let ranges = spans_with_names(spans);
        let runtime = Builder::new_multi_thread()
            // A range does one thing at a time.
            .worker_threads(settings.threads.min(ranges).clamp(1, 2))
            .thread_name("range")
            .enable_time()
            .build()
            .map_err(failed(data_dir.path()))?;
        drop(runtime.spawn(watch_disk(disk.clone())));
        let election = match spans.iter().any(|row| row.placement.is_some()) {
            true => election_on(data_dir.path())?,
            false => election_for(Duration::ZERO),
        };
        let shared = Shared {
            settings: settings.clone(),
            data_dir: data_dir.clone(),
            disk,
            waiting: Arc::default(),
            log_files: log_files(spans.len()),
            election,
            has_split: Arc::default(),
            runtime: runtime.handle().clone(),
        };
        let open = replicas.into_iter().zip(spans).filter_map(|(replica, row)| match replica? {
            Ok(found) => Some(shared.open_replica(Begun { found, store: None }, row, ranges)),
            Err(unknown) => Some(shared.stopped_range(unknown, row)),
        });
        let open = Arc::new(RwLock::new(open.collect()));
        let watch = runtime.spawn(watch_data_dir(data_dir.clone(), open.clone()));
        if !is_new {
            let directory = data_dir.path().display();
            tracing::info!(%directory, ranges, "the data directory is open");
        }
        let (splitting, watch, runtime) = (Mutex::default(), Mutex::new(Some(watch)), Some(runtime));
        Ok(Ranges { shared, open, splitting, left_over, watch, runtime })
    }

    /// The whole path of the data directory.
    pub fn data_dir(&self) -> &Path {
        self.shared.data_dir.path()
    }

    /// The ranges that are open: first those of the settings, in their order.
    pub fn all(&self) -> Vec<Arc<Range>> {
        self.open.read().iter().map(|open| open.range.clone()).collect()
    }

    /// Opens a replica of a range that is new at this node: that which was split off another one, or else an
    /// empty one, unless there is one, which gets its data from the others. `None` if it is yet to be split
    /// off.
    pub fn add(&self, row: &ReplicaSpan) -> Result<Option<Arc<Range>>, OpenError> {
        let _splitting = self.splitting.lock();
        let directory = self.shared.directory();
        let with_names = self.all().iter().filter(|range| range.span().has_names()).count();
        let before = self.all().into_iter().find(|range| range.span().overlaps(&row.span));
        let begun = match before {
            Some(before) => self.finish_split(&before, &row.span.start, Some(row))?,
            None => {
                let found = find_or_make(&directory, row, self.shared.settings.threads)?;
                Some(Begun { found, store: None })
            }
        };
        let Some(begun) = begun else { return Ok(None) };
        let open = self.shared.open_replica(begun, row, with_names + 1);
        let range = open.range.clone();
        self.open.write().push(open);
        Ok(Some(range))
    }

    /// Changes which nodes have replicas of a range, and which names it is to have.
    pub fn set_placement(&self, range: &Arc<Range>, row: &ReplicaSpan) {
        let span = (row.span != *range.span()).then(|| row.span.clone());
        let Some(placement) = row.placement.clone().map(|placement| Placement { span, ..placement }) else {
            return;
        };
        for open in self.open.read().iter().filter(|open| Arc::ptr_eq(&open.range, range)) {
            open.transport.iter().for_each(|transport| transport.set_placement(&placement));
            range.set_placement(placement.clone());
        }
    }

    /// A range is to be split, and what it splits off, from a name on, is not to be on this node.
    pub fn leave_split_off(&self, range: &Arc<Range>, at: &[u8]) -> Result<(), OpenError> {
        let _splitting = self.splitting.lock();
        self.finish_split(range, at, None).map(drop)
    }

    /// All buckets as they are now, in the order of their ranges, each range between two requests or
    /// transactions that are on disk. No snapshot is taken as long as there are the copies.
    pub fn freeze(&self) -> Result<Vec<FrozenStore>, AlreadyFrozen> {
        // The range that is split has a copy of the rest already, until that has a range of its own.
        let _splitting = self.splitting.lock();
        let mut ranges = self.all();
        ranges.retain(|range| range.span().has_names());
        ranges.sort_by(|one, other| one.span().start.cmp(&other.span().start));
        ranges.iter().map(|range| range.freeze()).collect()
    }

    /// Waits until a range has split something off, which [`Self::add`] opens.
    pub async fn split(&self) {
        self.shared.has_split.notified().await;
    }

    /// The ranges have members, as another node says: this one names none.
    pub fn name_no_members(&self) {
        for transport in self.open.read().iter().filter_map(|open| open.transport.as_ref()) {
            transport.name_no_members();
        }
    }

    /// Ends the replica of this node, which is no member of its range any more, and removes its data.
    pub async fn remove(&self, range: &Arc<Range>) -> Result<(), OpenError> {
        let open = self.open.write().extract_if(.., |open| Arc::ptr_eq(&open.range, range)).next();
        let Some(OpenRange { directory, task, .. }) = open else { return Ok(()) };
        range.close();
        if let Some(task) = task {
            drop(task.await);
        }
        range.follow(None);
        let remove = move || remove_replica(&directory);
        let removed = spawn_blocking(remove).await.unwrap_or(Ok(()));
        range.store.restart();
        removed
    }

    /// Where the replicas of all ranges are, as it was saved last in a data directory.
    pub fn read_table(data_dir: &Path) -> Result<Option<Vec<u8>>, OpenError> {
        read_table(data_dir)
    }

    /// Saves where the replicas of all ranges are.
    pub fn save_table(&self, table: &[u8]) -> Result<(), OpenError> {
        self.shared.data_dir.keep()?;
        write_table(self.data_dir(), table)
    }

    /// Which nodes the cluster has, as it was saved last in a data directory.
    pub fn read_nodes(data_dir: &Path) -> Result<Option<Vec<u8>>, OpenError> {
        read_nodes(data_dir)
    }

    /// Saves which nodes the cluster has.
    pub fn save_nodes(&self, nodes: &[u8]) -> Result<(), OpenError> {
        self.shared.data_dir.keep()?;
        write_nodes(self.data_dir(), nodes)
    }

    /// Takes a frame that another node has sent.
    pub fn receive(&self, node: &str, frame: Vec<u8>) {
        let receiver = {
            let open = self.open.read();
            find_receiver(open.iter().filter_map(|open| open.transport.as_ref()), node, &frame)
        };
        if let Some(transport) = receiver {
            transport.receive_frame(node, frame);
        }
    }

    /// Whether a process has the data directory open.
    pub fn is_in_use(data_dir: &Path) -> bool {
        is_locked(data_dir)
    }

    /// Directories with the data of ranges that the settings do not have. They are kept.
    pub fn left_over(&self) -> &[PathBuf] {
        &self.left_over
    }

    /// Has other nodes lead the ranges that this one leads, and waits until they do.
    pub async fn hand_over(&self) {
        let handed_over: Vec<_> = self.all().iter().map(|range| range.hand_over(None)).collect();
        for range in handed_over {
            range.await;
        }
    }

    /// Accepts no more requests, and waits until those that wait are executed and all files are closed.
    pub async fn close(&self) {
        // The directory may be moved away as soon as the files are closed.
        let watch = self.watch.lock().take();
        watch.iter().for_each(JoinHandle::abort);
        self.all().iter().for_each(|range| range.close());
        let tasks: Vec<_> = self.open.write().iter_mut().filter_map(|open| open.task.take()).collect();
        for task in tasks.into_iter().chain(watch) {
            drop(task.await);
        }
    }

    /// Changes what one transaction may touch.
    pub fn set_transaction_limits(&self, limits: TransactionLimits) {
        self.all().iter().for_each(|range| range.set_transaction_limits(limits));
    }

    /// The most file descriptors that the ranges take, as long as snapshots keep up with their logs.
    pub fn descriptors(&self) -> usize {
        self.open.read().len() * descriptors_of_range(self.shared.log_files)
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.watch.lock().iter().for_each(JoinHandle::abort);
        self.shared.data_dir.release();
        // It may be dropped by a task of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How many of these spans have names: one that has none keeps little.
fn spans_with_names(spans: &[ReplicaSpan]) -> usize {
    spans.iter().filter(|row| row.span.has_names()).count()
}

/// Files that each log may have before it is cut. Says so if these are few.
fn log_files(logs: usize) -> usize {
    let open_files = getrlimit(Resource::Nofile).current;
    let log_files = files_of_each(logs, open_files);
    if log_files < LOG_FILES {
        tracing::info!(
            open_files,
            log_files,
            "logs are cut when they have this many files, since the process may have few open; to have it done \
             less often, raise the limit of open files"
        );
    }
    log_files
}

/// When replicas on this disk call elections. If it is slow they wait for longer, since a leader that waits
/// for it is silent.
fn election_on(data_dir: &Path) -> Result<ElectionTimes, OpenError> {
    let path = data_dir.join(SYNC_TEST);
    let sync = measure_syncs(&path).map_err(failed(&path))?;
    let election = election_for(sync);
    if election.longest_delay > ELECTION_DELAY {
        let (sync_ms, election_ms) = (sync.as_millis() as u64, election.longest_delay.as_millis() as u64);
        tracing::warn!(
            sync_ms,
            election_ms,
            "the disk is slow: replicas wait for longer before they call an election, and so do clients when a \
             leader ends"
        );
    }
    Ok(election)
}

/// The time that 99 of 100 syncs take at most.
fn measure_syncs(path: &Path) -> io::Result<Duration> {
    let (mut file, mut took) = (File::create(path)?, Vec::new());
    for _ in 0..MEASURED_SYNCS {
        file.write_all(&[0; 512])?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    fs::remove_file(path)?;
    took.sort_unstable();
    Ok(took[MEASURED_SYNCS - 1 - MEASURED_SYNCS / 100])
}

fn election_for(sync: Duration) -> ElectionTimes {
    let longest_delay = (ELECTION_SYNCS * sync).max(ELECTION_DELAY);
    let lease = VOTE_LEASE * (longest_delay.as_millis() as u32) / (ELECTION_DELAY.as_millis() as u32);
    ElectionTimes { lease, longest_delay, sync }
}

/// Warns if there are ranges, and it is not known of which node.
fn warn_if_node_is_missing(data_dir: &Path, node: &str) -> Result<(), OpenError> {
    let (ranges, file) = (data_dir.join(RANGES_DIRECTORY), data_dir.join(NODE_FILE));
    let has_ranges = fs::read_dir(&ranges).map_err(failed(&ranges))?.next().is_some();
    if has_ranges && !fs::exists(&file).map_err(failed(&file))? {
        tracing::warn!(
            directory = %data_dir.display(),
            node,
            "the file `node` was missing, and is made again: if the ranges are those of another node, stop \
             this one and move them out of the directory"
        );
    }
    Ok(())
}

/// Looks at the data directory from time to time. If another process has taken it, the ranges stop, so that
/// no file is written by both.
async fn watch_data_dir(data_dir: Arc<DataDir>, open: Arc<RwLock<Vec<OpenRange>>>) {
    let (mut ticks, mut last) = (interval(LOG_CHECK_PAUSE), LastReason::default());
    loop {
        ticks.tick().await;
        // It does not end in the middle of that, which would go on when the directory was moved away.
        let error = block_in_place(|| data_dir.keep()).err();
        let is_new = last.replace(error.as_ref().map(OpenError::to_string));
        let Some(error) = error else { continue };
        if is_new {
            tracing::error!(reason = %error, "the data directory is not as it was");
        }
        if matches!(error, OpenError::Locked { .. }) {
            return open.read().iter().for_each(|open| open.range.give_up(&error.to_string()));
        }
    }
}

/// Looks at the free space from time to time.
async fn watch_disk(disk: Arc<Disk>) {
    let mut ticks = interval(DISK_PAUSE);
    loop {
        ticks.tick().await;
        let disk = disk.clone();
        // Making the reserved file may take long.
        if let Ok(Err(error)) = spawn_blocking(move || disk.refresh()).await {
            tracing::debug!(%error, "the free space of the disk is not known");
        }
    }
}

/// Whether the directory is not a data directory yet.
fn is_new(data_dir: &Path) -> Result<bool, OpenError> {
    let is_there = |name| {
        let path = data_dir.join(name);
        fs::exists(&path).map_err(failed(&path))
    };
    Ok(!is_there(RANGES_DIRECTORY)? && !is_there(NODE_FILE)?)
}

/// Says that there is a new data directory. If its place was there already, the disk with the data of the
/// node may not be mounted.
fn log_new_directory(data_dir: &Path, was_there: bool, ranges: usize) {
    let directory = data_dir.display();
    match was_there {
        false => tracing::info!(%directory, ranges, "a new data directory was made"),
        true => tracing::warn!(
            %directory,
            ranges,
            "a new data directory was made, in a directory that was there and had no data: if the node had data \
             there, stop it, and mount their disk or put them back"
        ),
    }
}

/// Fails if the directory is in a data directory: it was meant to be that, or a path is wrong.
fn check_place(data_dir: &Path) -> Result<(), OpenError> {
    let is_data_dir = |path: &&Path| path.join(NODE_FILE).is_file() && path.join(RANGES_DIRECTORY).is_dir();
    match data_dir.ancestors().skip(1).find(is_data_dir) {
        Some(outer) => Err(OpenError::Nested { directory: data_dir.into(), outer: outer.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
