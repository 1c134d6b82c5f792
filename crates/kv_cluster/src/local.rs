//! This node, and the one door to its data: whatever on this node reads or writes buckets does it through
//! [`LocalNode`].
//!
//! Today there is one volatile [`Store`] behind it. It executes a batch at once, on the caller's thread, and
//! the replies borrow from it. A durable range has to write to its log first, so it will reply later, as a
//! peer does, and be a variant of [`crate::forward::Owner`]. Requests from this node's clients and its
//! console can wait for that: they await a [`crate::forward::ForwardedBatch`] already. Requests from peers
//! cannot: `serve/requests.rs` executes a call and queues its replies in one pass, and will have to keep the
//! call's id until the replies of the range are there.
//!
//! Time is an argument, `now_ms` (milliseconds since 1970): whoever passes a batch reads the clock once.

use crate::{
    cookie::Cookie,
    node_name::NodeName,
    routing::table::{Destination, RoutingTable},
};
use kv::{
    AlreadyFrozen, Backlog, BucketPage, Channels, CommandError, Component, DATABASES, Database, FreezeBudget,
    FrozenStore, FullName, NamePage, Prefetch, Preparation, Reply, Request, ScanFilter, Store, StoreStats,
    Subscription, TransactionLimits,
};
use otp::{Intensity, Supervisor};
use std::{
    fmt,
    ops::ControlFlow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// When a peer counts as dead, and a call as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSettings {
    /// The interval of heartbeats; not zero.
    pub heartbeat: Duration,
    /// After this many intervals without a byte from the peer, it counts as dead.
    pub missed_heartbeats: u32,
    /// How long a call may wait for its reply, and a frame for its last byte.
    pub call_timeout: Duration,
}

impl Default for LinkSettings {
    /// A silent peer is dead after 3 to 4 s.
    fn default() -> LinkSettings {
        let (heartbeat, call_timeout) = (Duration::from_secs(1), Duration::from_secs(30));
        LinkSettings { heartbeat, missed_heartbeats: 3, call_timeout }
    }
}

impl LinkSettings {
    /// The call timeout in heartbeats, rounded up; the interval that has begun does not count.
    pub(crate) fn call_timeout_heartbeats(&self) -> u32 {
        let heartbeats = self.call_timeout.as_nanos().div_ceil(self.heartbeat.as_nanos().max(1));
        u32::try_from(heartbeats).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The settings of this node's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// Threads that execute requests.
    pub threads: usize,
    /// Bytes that all buckets together may take.
    pub max_memory: Option<usize>,
    /// What one transaction may touch.
    pub transactions: TransactionLimits,
    /// Whether hashes are the same in every process, for exactly repeatable measurements. Unsafe with
    /// untrusted clients, who can choose names that collide.
    pub fixed_seed: bool,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            threads: 2,
            max_memory: None,
            transactions: TransactionLimits::default(),
            fixed_seed: false,
        }
    }
}

/// This node: its name, its routes, and its data.
#[derive(Debug)]
pub struct LocalNode {
    pub(crate) name: NodeName,
    pub(crate) cookie: Cookie,
    pub(crate) links: LinkSettings,
    pub(crate) table: RoutingTable,
    pub(crate) channels: Arc<Channels>,
    store: Arc<Store>,
    freeze_budget: Arc<FreezeBudget>,
    watcher_links: AtomicU64,
    tree: OnceLock<TreeText>,
}

/// Makes the node's supervision tree text, with up to a number of passive children of each child.
struct TreeText(Box<dyn Fn(usize) -> Vec<u8> + Send + Sync>);

impl fmt::Debug for TreeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TreeText")
    }
}

impl LocalNode {
    pub(crate) fn new(
        name: NodeName,
        cookie: Cookie,
        links: LinkSettings,
        table: RoutingTable,
        store: StoreSettings,
    ) -> LocalNode {
        let StoreSettings { threads, max_memory, transactions, fixed_seed } = store;
        let store = match fixed_seed {
            true => Store::with_fixed_seed(threads),
            false => Store::for_threads(threads),
        };
        store.set_memory_limit(max_memory);
        let freeze_budget = Arc::new(FreezeBudget::default());
        freeze_budget.set_memory_limit(max_memory);
        store.set_transaction_limits(transactions);
        LocalNode {
            name,
            cookie,
            links,
            table,
            channels: Arc::default(),
            store: Arc::new(store),
            freeze_budget,
            watcher_links: AtomicU64::new(0),
            tree: OnceLock::new(),
        }
    }

    /// The supervisor of this node's buckets.
    pub fn supervisor(&self, intensity: Intensity) -> Supervisor {
        kv::supervisor(&self.store, intensity)
    }

    /// Sets, once, what other nodes get that ask for this node's supervision tree.
    pub fn set_tree(&self, text: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) {
        drop(self.tree.set(TreeText(Box::new(text))));
    }

    /// This node's supervision tree, as the release makes it text.
    pub(crate) fn tree(&self, children: usize) -> Option<Box<[u8]>> {
        self.tree.get().map(|text| text.0(children).into())
    }

    /// Whether this node owns the bucket.
    pub(crate) fn owns(&self, bucket: &[u8]) -> bool {
        self.table.look_up(bucket) == Destination::Local
    }

    /// Whether this node owns every bucket that the request names.
    pub(crate) fn owns_buckets_of(&self, request: &Request<'_>) -> bool {
        self.owns(request.bucket) && (!request.spans_buckets() || request.names().all(|name| self.owns(name)))
    }

    /// Executes the batch in order and passes each reply to `reply`, which may break off. Returns how many
    /// requests were executed.
    #[inline]
    pub fn execute(
        &self,
        batch: &[Request<'_>],
        now_ms: u64,
        reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.store.execute(batch, now_ms, reply)
    }

    /// Prepares a request with large arguments, which [`Self::execute_prepared`] executes. The caller takes
    /// the steps of the preparation, and does other work between them.
    pub fn prepare<'a>(&self, request: &Request<'a>, now_ms: u64) -> Preparation<'a> {
        self.store.prepare(request, now_ms)
    }

    /// Executes a request for which `preparation` is complete. The reply is
    /// [`kv::CommandError::Outdated`] if it has to be prepared again.
    pub fn execute_prepared(
        &self,
        request: &Request<'_>,
        preparation: Preparation<'_>,
        now_ms: u64,
        reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) {
        self.store.execute_prepared(request, preparation, now_ms, reply);
    }

    /// Executes the whole batch as one step, unless one of the watched buckets has changed since
    /// [`kv::Op::Watch`] returned its version. Returns `false` if one has, and an error if the batch is
    /// refused; then nothing was done.
    pub(crate) fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        batch: &[Request<'_>],
        now_ms: u64,
        reply: impl FnMut(Reply<'_>),
    ) -> Result<bool, CommandError> {
        self.store.transact(watched, batch, now_ms, reply)
    }

    /// A number for the watches that come over a new link: never 0, and never the same twice.
    pub(crate) fn next_watcher_link(&self) -> u64 {
        self.watcher_links.fetch_add(1, Relaxed) + 1
    }

    /// Ends the watches that came over a link.
    pub(crate) fn unwatch_link(&self, link: u64) {
        self.store.unwatch_link(link);
    }

    /// Prepares to prefetch the memory that a request will need, step by step.
    #[inline]
    pub fn prefetch<'r>(&self, request: &Request<'r>) -> Prefetch<'r> {
        self.store.prefetch(request)
    }

    /// Prefetches the next piece; `false` if none is left. The caller does other work between two steps.
    #[inline]
    pub fn prefetch_step(&self, request: &Request<'_>, prefetch: &mut Prefetch<'_>) -> bool {
        self.store.prefetch_step(request, prefetch)
    }

    /// One page of a bucket with all that belongs to it; `None` if there is no such bucket.
    pub fn bucket_page(&self, full: FullName<'_>, cursor: u64, now_ms: u64) -> Option<BucketPage> {
        self.store.bucket_page(full, cursor, now_ms)
    }

    /// All buckets as they are now. What is kept for the copy counts against this node's part for them.
    pub fn freeze(&self) -> Result<FrozenStore, AlreadyFrozen> {
        self.store.freeze(&self.freeze_budget)
    }

    /// One page of bucket names, from `cursor` on (0: from the start).
    pub fn scan(&self, cursor: u64, filter: &ScanFilter<'_>, now_ms: u64) -> NamePage {
        self.store.scan(cursor, filter, now_ms)
    }

    /// The name of a bucket of a database, chosen by `seed`.
    pub(crate) fn random_name(&self, database: Database, seed: u64, now_ms: u64) -> Option<Box<[u8]>> {
        self.store.random_name(database, seed, now_ms)
    }

    /// The number of buckets of each database.
    pub fn bucket_counts(&self) -> [u64; DATABASES] {
        self.store.bucket_counts().map(|count| count as u64)
    }

    /// The size of what this node holds.
    pub fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    /// Whether the buckets take more memory than they may, or will with `bytes` more.
    pub fn is_out_of_memory(&self, bytes: usize) -> bool {
        self.store.is_out_of_memory(bytes)
    }

    /// Bytes of memory that the buckets take, without the changes of batches in flight.
    pub fn used_bytes(&self) -> u64 {
        self.store.used_bytes() as u64
    }

    /// Resets the counters of hits, misses and expiries.
    pub fn reset_counters(&self) {
        self.store.reset_counters();
    }

    /// Ends all buckets of a database, or of all of them. Their memory is freed in the background.
    pub(crate) fn flush(&self, database: Option<Database>) {
        let detached = self.store.flush(database);
        // If the system has no thread for it, it is freed here: an error drops the closure.
        drop(thread::Builder::new().spawn(|| drop(detached)));
    }

    /// How many channels and how many patterns have subscribers on this node.
    pub fn channel_counts(&self) -> (usize, usize) {
        self.channels.counts()
    }

    /// Subscribes to the changes of a bucket; `None` if there is no such bucket.
    pub(crate) fn subscribe(&self, bucket: &[u8], backlog: &Arc<Backlog>) -> Option<Subscription> {
        self.store.subscribe(bucket, backlog)
    }

    /// Crashes a component of the store, to exercise its supervisor.
    pub fn crash(&self, component: Component) {
        self.store.crash(component);
    }

    /// Bytes that all buckets together may take.
    pub fn memory_limit(&self) -> Option<usize> {
        self.store.memory_limit()
    }

    /// Changes the bytes that all buckets together may take.
    pub fn set_memory_limit(&self, limit: Option<usize>) {
        self.store.set_memory_limit(limit);
        self.freeze_budget.set_memory_limit(limit);
    }

    /// What one transaction may touch.
    pub fn transaction_limits(&self) -> TransactionLimits {
        self.store.transaction_limits()
    }

    /// Changes what one transaction may touch.
    pub fn set_transaction_limits(&self, limits: TransactionLimits) {
        self.store.set_transaction_limits(limits);
    }
}
