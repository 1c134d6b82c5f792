//! This node, and the one door to its data: whatever on this node reads or writes buckets does it through
//! [`LocalNode`].
//!
//! Behind it is one volatile [`Store`], which executes a batch at once, on the caller's thread, with replies
//! that borrow from it, and the durable ranges of the node, each with a store of its own. These execute what
//! only reads in the same way, and reply to everything else when it is on disk.
//!
//! Time is an argument, `now_ms` (milliseconds since 1970): whoever passes a batch reads the clock once.

pub(crate) mod configured;
mod durable;
pub(crate) mod membership;
pub(crate) mod meta;
pub(crate) mod nodes;
mod persistence;
pub(crate) mod rows;
mod stores;

pub use durable::Scope;
pub(crate) use durable::{Flushing, Place};

use crate::{
    cookie::Cookie,
    limits::PREPARATIONS,
    node_name::NodeName,
    routing::{nodes::NodeTable, table::RoutingTable, whole::WholeRoutes},
};
use kv::{
    Budget, Channels, CommandError, Component, FreezeBudget, FullName, Prefetch, Preparation, Reply, Request,
    Store, TransactionLimits, TransactionPreparation,
};
use kv_raft::{Range, Ranges};
use membership::Membership;
use otp::{Intensity, Supervisor};
use rows::ReplicatedRows;
use std::{
    fmt,
    ops::ControlFlow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::yield_now};

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

/// The memory of this node, which all its stores share.
#[derive(Debug)]
pub(crate) struct MemoryBudgets {
    /// What the buckets take.
    pub(crate) buckets: Arc<Budget>,
    /// What frozen copies keep besides.
    pub(crate) frozen: Arc<FreezeBudget>,
}

impl MemoryBudgets {
    /// With the limit of these settings.
    pub(crate) fn new(settings: &StoreSettings) -> MemoryBudgets {
        let (buckets, frozen) = (Arc::<Budget>::default(), Arc::<FreezeBudget>::default());
        buckets.set_limit(settings.max_memory);
        frozen.set_memory_limit(settings.max_memory);
        MemoryBudgets { buckets, frozen }
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
    pub(crate) replicated: ReplicatedRows,
    /// The nodes of the cluster, as far as this one knows.
    pub(crate) nodes: watch::Sender<NodeTable>,
    /// The routes, if this node has them from others.
    joined_routes: Option<WholeRoutes>,
    store: Arc<Store>,
    ranges: Option<Ranges>,
    /// The durable ranges of which this node has the only copy, in the order of their names.
    ranges_alone: Box<[Arc<Range>]>,
    budgets: MemoryBudgets,
    watcher_links: AtomicU64,
    tree: OnceLock<TextSource<usize>>,
    report: OnceLock<TextSource<u64>>,
}

/// Makes text that other nodes ask for: the supervision tree, with up to a number of passive children of each
/// child, or a report, with the samples after a time.
struct TextSource<T>(Box<dyn Fn(T) -> Vec<u8> + Send + Sync>);

impl<T> fmt::Debug for TextSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextSource")
    }
}

impl LocalNode {
    pub(crate) fn new(
        name: NodeName,
        cookie: Cookie,
        links: LinkSettings,
        (table, membership): (RoutingTable, Membership),
        store: StoreSettings,
        budgets: MemoryBudgets,
        ranges: Option<Ranges>,
    ) -> LocalNode {
        let open = ranges.as_ref().map(Ranges::all).unwrap_or_default();
        let StoreSettings { threads, transactions, fixed_seed, .. } = store;
        let store = match fixed_seed {
            true => Store::with_fixed_seed(threads),
            false => Store::for_threads(threads),
        };
        let store = store.with_budget(budgets.buckets.clone());
        store.set_transaction_limits(transactions);
        LocalNode {
            name,
            cookie,
            links,
            table,
            channels: Arc::default(),
            replicated: ReplicatedRows::new(membership.placements, &open),
            nodes: watch::Sender::new(membership.nodes),
            joined_routes: membership.routes,
            store: Arc::new(store),
            ranges_alone: open.into_iter().filter(|range| !range.is_replicated()).collect(),
            ranges,
            budgets,
            watcher_links: AtomicU64::new(0),
            tree: OnceLock::new(),
            report: OnceLock::new(),
        }
    }

    /// The supervisor of this node's buckets.
    pub fn supervisor(&self, intensity: Intensity) -> Supervisor {
        kv::supervisor(&self.store, intensity)
    }

    /// Sets, once, what other nodes get that ask for this node's supervision tree.
    pub fn set_tree(&self, text: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) {
        drop(self.tree.set(TextSource(Box::new(text))));
    }

    /// This node's supervision tree, as the release makes it text.
    pub(crate) fn tree(&self, children: usize) -> Option<Box<[u8]>> {
        self.tree.get().map(|text| text.0(children).into())
    }

    /// Sets, once, what other nodes get that ask what this node shows of itself, with its samples after a
    /// Unix time in seconds.
    pub fn set_report(&self, text: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) {
        drop(self.report.set(TextSource(Box::new(text))));
    }

    /// What this node shows of itself, if it shows something.
    pub(crate) fn report(&self, since: u64) -> Option<Box<[u8]>> {
        self.report.get().map(|text| text.0(since).into())
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

    /// Executes a request with large arguments, which are copied before its bucket is locked. Other tasks run
    /// between their pieces.
    pub async fn execute_large(&self, request: &Request<'_>, mut on_reply: impl FnMut(Reply<'_>)) {
        for attempt in 1..=PREPARATIONS {
            let mut is_outdated = false;
            match self.prepare(request).await {
                Err(error) => on_reply(Reply::Error(error)),
                Ok(preparation) => {
                    self.store.execute_prepared(request, preparation, kv::time::now_ms(), |reply| {
                        is_outdated = attempt < PREPARATIONS && reply == Reply::Error(CommandError::Outdated);
                        if !is_outdated {
                            on_reply(reply);
                        }
                        ControlFlow::Continue(())
                    });
                }
            }
            if !is_outdated {
                return;
            }
        }
    }

    /// Copies the large arguments of a request.
    async fn prepare<'a>(&self, request: &Request<'a>) -> Result<Preparation<'a>, CommandError> {
        let mut preparation = self.store.prepare(request, kv::time::now_ms());
        while preparation.step()? {
            yield_now().await;
        }
        Ok(preparation)
    }

    /// Copies the large arguments of a transaction. Other tasks run between their pieces.
    pub(crate) async fn prepare_transaction<'a>(
        &self,
        batch: &[Request<'a>],
    ) -> Result<TransactionPreparation<'a>, CommandError> {
        let mut preparation = self.store.prepare_transaction(batch, kv::time::now_ms());
        while preparation.step()? {
            yield_now().await;
        }
        Ok(preparation)
    }

    /// Executes the whole batch as one step, unless one of the watched buckets has changed since
    /// [`kv::Op::Watch`] returned its version. Returns `false` if one has, and an error if the batch is
    /// refused; then nothing was done.
    pub(crate) fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        batch: &[Request<'_>],
        preparation: TransactionPreparation<'_>,
        reply: impl FnMut(Reply<'_>),
    ) -> Result<bool, CommandError> {
        self.store.transact(watched, batch, preparation, kv::time::now_ms(), reply)
    }

    /// A number for the watches that come over a new link: never 0, and never the same twice.
    pub(crate) fn next_watcher_link(&self) -> u64 {
        self.watcher_links.fetch_add(1, Relaxed) + 1
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

    /// How many channels and how many patterns have subscribers on this node.
    pub fn channel_counts(&self) -> (usize, usize) {
        self.channels.counts()
    }

    /// Crashes a component of the store, to exercise its supervisor.
    pub fn crash(&self, component: Component) {
        self.store.crash(component);
    }

    /// Bytes that the buckets of all stores together may take.
    pub fn memory_limit(&self) -> Option<usize> {
        self.budgets.buckets.limit()
    }

    /// What one transaction may touch.
    pub fn transaction_limits(&self) -> TransactionLimits {
        self.store.transaction_limits()
    }
}
