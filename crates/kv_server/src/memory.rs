//! The memory that client connections hold, bounded for all of them together: buffers, queued commands,
//! subscriptions. A buffer is counted when it grows, or while its connection waits with it, not for each
//! request. When the limit is exceeded, the connection that holds most is closed, unless it holds no more
//! than its share of the limit. Then those that need more wait, and are closed if none gives anything back.

use crate::limits::{EVICTIONS_LOGGED, LARGEST_SHARE_BYTES, MEMORY_PAUSE, SMALLEST_SHARE_BYTES};
use otp::LogLimiter;
use std::{
    collections::BTreeMap,
    net::{Shutdown, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// What all connections hold, and the limit.
#[derive(Debug)]
pub(crate) struct ClientMemory {
    /// Bytes; `CONFIG SET maxmemory-clients` changes it.
    limit: AtomicUsize,
    held: AtomicUsize,
    evicted: AtomicU64,
    closed_log: LogLimiter,
    /// How many accounts there are.
    accounts: AtomicUsize,
    /// The id of the latest account.
    last_id: AtomicU64,
    large: Mutex<LargeAccounts>,
    /// When [`ClientMemory::can_evict`] looked last, and what it found.
    looked: Mutex<Option<(Instant, bool)>>,
}

/// The accounts that hold at least [`SMALLEST_SHARE_BYTES`], by id.
#[derive(Debug, Default)]
struct LargeAccounts {
    open: BTreeMap<u64, Arc<Account>>,
    /// Those of connections that are being closed.
    closing: BTreeMap<u64, Arc<Account>>,
}

/// What one connection holds.
#[derive(Debug)]
pub(crate) struct Account {
    memory: Arc<ClientMemory>,
    id: u64,
    socket: Arc<TcpStream>,
    held: AtomicUsize,
    by_use: [AtomicUsize; 3],
    evicted: AtomicBool,
}

/// What memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Bytes received and not yet executed.
    Input,
    /// Replies and messages not yet sent.
    Output,
    /// The state of the session: queued commands, watched keys, subscriptions.
    Session,
}

/// The part of an account that one owner, such as a buffer, keeps up to date. Dropping it returns the bytes.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    kind: Use,
    bytes: usize,
}

impl ClientMemory {
    /// Nothing held yet, of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> ClientMemory {
        ClientMemory {
            limit: limit.into(),
            held: AtomicUsize::default(),
            evicted: AtomicU64::default(),
            closed_log: LogLimiter::new("clients were closed", EVICTIONS_LOGGED),
            accounts: AtomicUsize::default(),
            last_id: AtomicU64::default(),
            large: Mutex::default(),
            looked: Mutex::default(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Changes the limit. Connections are closed when they grow the next time.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// Bytes that all connections hold.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// How many connections have been closed because the limit was exceeded.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    fn is_exceeded(&self) -> bool {
        self.held() > self.limit()
    }

    /// The share of one connection: what it may hold whatever the others hold. If all together exceed the
    /// limit, one of them exceeds its share, or the shares are the smallest.
    fn share(&self) -> usize {
        let share = self.limit() / self.accounts.load(Relaxed).max(1);
        share.clamp(SMALLEST_SHARE_BYTES, LARGEST_SHARE_BYTES)
    }

    /// Closes the connections that hold most, until the others are within the limit or within their shares.
    fn evict_largest(&self) {
        let mut large = self.lock_large();
        let mut closing: usize = large.closing.values().map(|account| account.held()).sum();
        let is_enough = |closing| self.held().saturating_sub(closing) <= self.limit();
        if is_enough(closing) {
            return;
        }
        let share = self.share();
        let above = large.open.values().filter(|account| account.held() > share);
        let mut above: Vec<_> = above.map(|account| (account.held(), account.id)).collect();
        above.sort_unstable();
        while let Some((held, id)) = above.pop()
            && !is_enough(closing)
        {
            let Some(account) = large.open.remove(&id) else { continue };
            account.close_for_memory();
            large.closing.insert(id, account);
            closing += held;
        }
    }

    /// Whether a connection holds more than its share. Since many may ask while they wait, it looks no more
    /// often than they do.
    fn can_evict(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, can_evict)) = looked.filter(|(at, _)| at.elapsed() < MEMORY_PAUSE) {
            return can_evict;
        }
        let share = self.share();
        let can_evict = self.lock_large().open.values().any(|account| account.held() > share);
        *looked = Some((Instant::now(), can_evict));
        can_evict
    }

    fn lock_large(&self) -> MutexGuard<'_, LargeAccounts> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// The account of a connection that holds nothing yet.
    pub(crate) fn new(memory: Arc<ClientMemory>, socket: Arc<TcpStream>) -> Account {
        memory.accounts.fetch_add(1, Relaxed);
        Account {
            id: memory.last_id.fetch_add(1, Relaxed),
            memory,
            socket,
            held: AtomicUsize::default(),
            by_use: Default::default(),
            evicted: AtomicBool::default(),
        }
    }

    /// The file descriptor of the connection's socket.
    pub(crate) fn descriptor(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// Bytes that the connection holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Bytes that it holds for one use.
    pub(crate) fn held_for(&self, kind: Use) -> usize {
        self.by_use[kind as usize].load(Relaxed)
    }

    /// Whether the connection is being closed because it held most.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Relaxed)
    }

    /// Whether all connections together hold too much, so that each should take as little as it can.
    pub(crate) fn is_memory_short(&self) -> bool {
        self.memory.is_exceeded()
    }

    /// Whether all connections together hold so little that each may take more than it needs.
    pub(crate) fn is_memory_ample(&self) -> bool {
        self.memory.held() < self.memory.limit() / 2
    }

    /// Whether the connection may hold more: there is room, or some can be made.
    pub(crate) fn may_grow(&self) -> bool {
        !self.memory.is_exceeded() || self.memory.can_evict()
    }

    /// Counts that `now` instead of `before` bytes are held for one use, in addition to all else.
    pub(crate) fn change(self: &Arc<Account>, kind: Use, before: usize, now: usize) {
        // Wrapping: the difference may be negative.
        let difference = now.wrapping_sub(before);
        self.by_use[kind as usize].fetch_add(difference, Relaxed);
        let held_before = self.held.fetch_add(difference, Relaxed);
        self.memory.held.fetch_add(difference, Relaxed);
        let held = held_before.wrapping_add(difference);
        if (held >= SMALLEST_SHARE_BYTES) != (held_before >= SMALLEST_SHARE_BYTES) {
            self.list_if_large();
        }
        if now > before && self.memory.is_exceeded() {
            self.memory.evict_largest();
        }
    }

    /// Lists the account among the large ones, or removes it, as what it holds now demands.
    fn list_if_large(self: &Arc<Account>) {
        let mut large = self.memory.lock_large();
        let LargeAccounts { open, closing } = &mut *large;
        let accounts = if self.is_evicted() { closing } else { open };
        if self.held() >= SMALLEST_SHARE_BYTES {
            accounts.insert(self.id, self.clone());
        } else {
            accounts.remove(&self.id);
        }
    }

    /// Closes the connection: whatever it waits for from its socket ends.
    pub(crate) fn close(&self) {
        // It may be closed already.
        self.socket.shutdown(Shutdown::Both).ok();
    }

    /// Closes the connection because of what it and the others hold.
    pub(crate) fn evict(&self) {
        let mut large = self.memory.lock_large();
        let listed = large.open.remove(&self.id);
        large.closing.extend(listed.map(|account| (self.id, account)));
        // The lists stay locked until it is marked, or it could be listed as open again.
        self.close_for_memory();
    }

    fn close_for_memory(&self) {
        self.evicted.store(true, Relaxed);
        self.memory.evicted.fetch_add(1, Relaxed);
        self.close();
        if !self.memory.closed_log.admit() {
            return;
        }
        let peer = self.socket.peer_addr().map_or_else(|_| "unknown".into(), |peer| peer.to_string());
        tracing::warn!(
            peer,
            bytes = self.held(),
            all = self.memory.held(),
            limit = self.memory.limit(),
            "client closed: all clients together exceed client_limits.max_memory"
        );
    }
}

impl Drop for Account {
    /// Returns what is queued by a publisher that has not noticed the end of the connection.
    fn drop(&mut self) {
        self.memory.held.fetch_sub(*self.held.get_mut(), Relaxed);
        self.memory.accounts.fetch_sub(1, Relaxed);
    }
}

impl Charge {
    /// A charge of 0 bytes.
    pub(crate) fn new(account: &Arc<Account>, kind: Use) -> Charge {
        Charge { account: account.clone(), kind, bytes: 0 }
    }

    /// Sets how many bytes are held. More than before may close the connection that holds most.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.account.change(self.kind, self.bytes, bytes);
            self.bytes = bytes;
        }
    }

    /// Adds to the bytes that are held.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// Subtracts from the bytes that are held.
    pub(crate) fn subtract(&mut self, bytes: usize) {
        self.set(self.bytes - bytes);
    }

    /// Sets how many bytes are held, if it is more than before.
    pub(crate) fn raise(&mut self, bytes: usize) {
        self.set(bytes.max(self.bytes));
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, net::TcpListener};

    const MIB: usize = 1024 * 1024;

    /// Charges of `count` connections, and the ends of their clients.
    fn connections(memory: &Arc<ClientMemory>, count: usize) -> Vec<(Charge, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let account = Account::new(memory.clone(), Arc::new(listener.accept().unwrap().0));
            (Charge::new(&account.into(), Use::Output), client)
        };
        (0..count).map(|_| connect()).collect()
    }

    #[test]
    fn the_largest_is_closed_and_what_it_still_holds_closes_no_other() {
        let memory = Arc::new(ClientMemory::new(10 * MIB));
        let mut connections = connections(&memory, 3);
        connections[0].0.set(4 * MIB);
        connections[1].0.set(5 * MIB);
        connections[2].0.set(MIB);
        assert_eq!((memory.held(), memory.evicted()), (10 * MIB, 0));
        connections[2].0.set(2 * MIB);
        let evicted = |at: usize| connections[at].0.account().is_evicted();
        assert_eq!([0, 1, 2].map(evicted), [false, true, false]);
        assert_eq!(connections[1].1.read(&mut [0]).unwrap(), 0, "its socket is shut down");
        connections[0].0.set(4 * MIB + 1);
        assert_eq!(memory.evicted(), 1);
        drop(connections);
        let large = memory.lock_large();
        assert_eq!((memory.held(), large.open.len(), large.closing.len()), (0, 0, 0));
    }

    #[test]
    fn one_that_holds_more_than_its_share_is_closed_however_little_that_is() {
        let memory = Arc::new(ClientMemory::new(10 * MIB));
        let mut connections = connections(&memory, 40);
        for number in 0..40 {
            connections[number].0.set(MIB / 2);
            let open = connections.iter().filter(|(charge, _)| !charge.account().is_evicted());
            let held: usize = open.map(|(charge, _)| charge.account().held()).sum();
            assert!(held <= 10 * MIB, "{number}: {held}");
        }
        assert_eq!(memory.evicted(), 20);
        assert_eq!(memory.share(), MIB / 4);
    }

    #[test]
    fn small_connections_are_never_closed_but_may_not_grow() {
        let memory = Arc::new(ClientMemory::new(SMALLEST_SHARE_BYTES));
        let mut connections = connections(&memory, 2);
        connections.iter_mut().for_each(|(charge, _)| charge.set(SMALLEST_SHARE_BYTES));
        assert_eq!(memory.evicted(), 0);
        let account = connections[0].0.account().clone();
        assert!(account.is_memory_short() && !account.may_grow());
        connections.pop();
        assert!(!account.is_memory_short() && account.may_grow());
        assert_eq!(account.held_for(Use::Output), SMALLEST_SHARE_BYTES);
    }
}
