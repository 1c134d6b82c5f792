//! The list of connected clients, for CLIENT LIST.

use crate::memory::Account;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// All connected clients, by id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last_id: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Never reused.
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// Unix time in milliseconds.
    pub(crate) connected_at_ms: u64,
    /// When it last sent something, as Unix time in milliseconds.
    pub(crate) last_active_ms: AtomicU64,
    /// The memory that its connection holds.
    pub(crate) account: Arc<Account>,
    info: Mutex<ClientInfo>,
}

/// What a client has set about itself, and what CLIENT LIST shows of its session.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientInfo {
    pub(crate) name: Box<[u8]>,
    pub(crate) library: Box<[u8]>,
    pub(crate) library_version: Box<[u8]>,
    /// Version of RESP; 0 for the text protocol.
    pub(crate) resp: u8,
    pub(crate) channels: usize,
    pub(crate) patterns: usize,
    /// Commands queued since MULTI.
    pub(crate) queued: Option<usize>,
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
            account: account.clone(),
            info: Mutex::default(),
        });
        self.lock().insert(id, client.clone());
        ClientGuard { clients: self, client }
    }

    /// How many clients have ever connected.
    pub(crate) fn total(&self) -> u64 {
        self.last_id.load(Relaxed)
    }

    /// All connected clients, in the order in which they connected.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    pub(crate) fn info(&self) -> MutexGuard<'_, ClientInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientInfo {
    /// Whether the client is subscribed to a channel or a pattern.
    pub(crate) fn is_pubsub(&self) -> bool {
        self.channels + self.patterns > 0
    }
}

impl Drop for ClientGuard<'_> {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.client.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ClientMemory;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_dropped_guard_deregisters_its_client_and_ids_are_not_reused() {
        let (clients, peer) = (Clients::default(), "127.0.0.1:1".parse().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let account = Account::new(Arc::new(ClientMemory::new(0)), Arc::new(socket)).into();
        let register = || clients.register(peer, &account);
        let (first, second) = (register(), register());
        assert_eq!((first.client.id, second.client.id, clients.all().len()), (1, 2, 2));
        drop(first);
        assert_eq!(clients.all().iter().map(|client| client.id).collect::<Vec<_>>(), [2]);
        assert_eq!(register().client.id, 3);
        assert_eq!((clients.all().len(), clients.total()), (1, 3));
    }
}
