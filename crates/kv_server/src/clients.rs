//! The list of connected clients, for CLIENT LIST, and the traffic of each and of all.

use crate::memory::Account;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Add,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// All connected clients, by id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last_id: AtomicU64,
    connected: Mutex<Connected>,
}

#[derive(Debug, Default)]
struct Connected {
    clients: BTreeMap<u64, Arc<Client>>,
    /// How many clients had ever connected at the last reset.
    connected_before: u64,
    /// The traffic of clients that are gone, minus all traffic before the last reset.
    gone: Traffic,
}

/// What clients and this node have sent to each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes from clients.
    pub(crate) received: u64,
    /// Bytes to clients.
    pub(crate) sent: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

/// One client. Its connection alone writes the numbers.
#[derive(Debug)]
pub(crate) struct Client {
    /// Never reused.
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// Unix time in milliseconds.
    pub(crate) connected_at_ms: u64,
    /// When it last sent something, as Unix time in milliseconds.
    pub(crate) last_active_ms: AtomicU64,
    received: AtomicU64,
    reads: AtomicU64,
    sent: AtomicU64,
    writes: AtomicU64,
    /// Commands that it has called.
    commands: AtomicU64,
    /// The index of the last of them in the table of commands, plus 1; 0 before the first.
    last_command: AtomicUsize,
    pub(crate) session: SessionNumbers,
    /// The memory that its connection holds.
    pub(crate) account: Arc<Account>,
    info: Mutex<ClientInfo>,
}

/// What CLIENT LIST shows of the session of a client.
#[derive(Debug, Default)]
pub(crate) struct SessionNumbers {
    /// Version of RESP; 0 for the text protocol.
    pub(crate) resp: AtomicU8,
    /// The index of the database that SELECT has chosen.
    pub(crate) database: AtomicUsize,
    pub(crate) channels: AtomicUsize,
    pub(crate) patterns: AtomicUsize,
    /// Commands queued since MULTI, plus 1; 0 outside of it.
    pub(crate) queued: AtomicUsize,
    /// Bytes of their arguments.
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) watched: AtomicUsize,
}

/// What a client has set about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientInfo {
    pub(crate) name: Box<[u8]>,
    pub(crate) library: Box<[u8]>,
    pub(crate) library_version: Box<[u8]>,
}

/// Keeps a client registered until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientGuard<'c> {
    clients: &'c Clients,
    pub(crate) client: Arc<Client>,
}

impl Clients {
    /// Registers a client that has just connected.
    pub(crate) fn register(&self, peer: SocketAddr, account: &Arc<Account>) -> ClientGuard<'_> {
        let (id, now_ms) = (self.last_id.fetch_add(1, Relaxed) + 1, kv::time::now_ms());
        let client = Arc::new(Client {
            id,
            peer,
            connected_at_ms: now_ms,
            last_active_ms: AtomicU64::new(now_ms),
            received: AtomicU64::default(),
            reads: AtomicU64::default(),
            sent: AtomicU64::default(),
            writes: AtomicU64::default(),
            commands: AtomicU64::default(),
            last_command: AtomicUsize::default(),
            session: SessionNumbers::default(),
            account: account.clone(),
            info: Mutex::default(),
        });
        self.lock().clients.insert(id, client.clone());
        ClientGuard { clients: self, client }
    }

    /// How many clients have connected since the last reset.
    pub(crate) fn total(&self) -> u64 {
        self.last_id.load(Relaxed) - self.lock().connected_before
    }

    /// All connected clients, in the order in which they connected.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().clients.values().cloned().collect()
    }

    /// Closes the connection of a client, which is no longer among the connected ones.
    pub(crate) fn close(&self, client: &Client) {
        self.deregister(client);
        client.account.close();
    }

    /// The traffic of all clients since the last reset.
    pub(crate) fn traffic(&self) -> Traffic {
        self.lock().traffic()
    }

    /// Resets the totals.
    pub(crate) fn reset_totals(&self) {
        let mut connected = self.lock();
        connected.connected_before = self.last_id.load(Relaxed);
        connected.gone = Traffic::default();
        let Traffic { received, sent, reads, writes } = connected.traffic();
        connected.gone = Traffic {
            received: received.wrapping_neg(),
            sent: sent.wrapping_neg(),
            reads: reads.wrapping_neg(),
            writes: writes.wrapping_neg(),
        };
    }

    fn deregister(&self, client: &Client) {
        let mut connected = self.lock();
        if connected.clients.remove(&client.id).is_some() {
            connected.gone = connected.gone + client.traffic();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    fn traffic(&self) -> Traffic {
        self.clients.values().fold(self.gone, |sum, client| sum + client.traffic())
    }
}

impl Add for Traffic {
    type Output = Traffic;

    fn add(self, other: Traffic) -> Traffic {
        Traffic {
            received: self.received.wrapping_add(other.received),
            sent: self.sent.wrapping_add(other.sent),
            reads: self.reads.wrapping_add(other.reads),
            writes: self.writes.wrapping_add(other.writes),
        }
    }
}

impl Client {
    pub(crate) fn info(&self) -> MutexGuard<'_, ClientInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that have arrived.
    pub(crate) fn count_received(&self, bytes: usize) {
        add(&self.received, bytes as u64);
        add(&self.reads, 1);
    }

    /// Sets how many bytes have been written, in how many writes.
    pub(crate) fn set_sent(&self, bytes: u64, writes: u64) {
        self.sent.store(bytes, Relaxed);
        self.writes.store(writes, Relaxed);
    }

    /// Counts commands, of which the last has this index in the table of commands.
    pub(crate) fn count_commands(&self, count: u64, last: usize) {
        add(&self.commands, count);
        self.last_command.store(last + 1, Relaxed);
    }

    /// How many commands it has called.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Relaxed)
    }

    /// The index of the last command in the table of commands.
    pub(crate) fn last_command(&self) -> Option<usize> {
        self.last_command.load(Relaxed).checked_sub(1)
    }

    /// What it and this node have sent to each other.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
        }
    }
}

impl SessionNumbers {
    /// Whether the client is subscribed to a channel or a pattern.
    pub(crate) fn is_pubsub(&self) -> bool {
        self.channels.load(Relaxed) + self.patterns.load(Relaxed) > 0
    }
}

/// Adds to a counter that no other thread writes.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
}

impl Drop for ClientGuard<'_> {
    fn drop(&mut self) {
        self.clients.deregister(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ClientMemory;
    use std::net::{TcpListener, TcpStream};

    fn account() -> Arc<Account> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Account::new(Arc::new(ClientMemory::new(0)), Arc::new(socket)).into()
    }

    #[test]
    fn a_dropped_guard_deregisters_its_client_and_ids_are_not_reused() {
        let (clients, peer) = (Clients::default(), "127.0.0.1:1".parse().unwrap());
        let account = account();
        let register = || clients.register(peer, &account);
        let (first, second) = (register(), register());
        assert_eq!((first.client.id, second.client.id, clients.all().len()), (1, 2, 2));
        drop(first);
        assert_eq!(clients.all().iter().map(|client| client.id).collect::<Vec<_>>(), [2]);
        assert_eq!(register().client.id, 3);
        assert_eq!((clients.all().len(), clients.total()), (1, 3));
    }

    #[test]
    fn traffic_of_clients_that_are_gone_counts_until_a_reset() {
        let (clients, peer) = (Clients::default(), "127.0.0.1:1".parse().unwrap());
        let account = account();
        let (first, second) = (clients.register(peer, &account), clients.register(peer, &account));
        first.client.count_received(10);
        first.client.set_sent(100, 2);
        second.client.count_received(5);
        drop(first);
        assert_eq!(clients.traffic(), Traffic { received: 15, sent: 100, reads: 2, writes: 2 });
        clients.reset_totals();
        assert_eq!((clients.traffic(), clients.total()), (Traffic::default(), 0));
        second.client.count_received(7);
        drop(second);
        assert_eq!(clients.traffic(), Traffic { received: 7, sent: 0, reads: 1, writes: 0 });
    }
}
