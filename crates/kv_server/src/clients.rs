//! Who is connected: what CLIENT LIST shows.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// All clients that are connected, by number.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number, never used again.
    pub(crate) id: u64,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// When it came, in milliseconds since 1970.
    pub(crate) since: u64,
    /// When it was last heard, in milliseconds since 1970.
    pub(crate) heard: AtomicU64,
    /// What it says of itself.
    pub(crate) says: Mutex<Says>,
}

/// What a client says of itself, and how it speaks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    pub(crate) name: Box<[u8]>,
    pub(crate) library: Box<[u8]>,
    pub(crate) library_version: Box<[u8]>,
    /// Version of RESP; 0 for text.
    pub(crate) resp: u8,
    pub(crate) channels: usize,
    pub(crate) patterns: usize,
    /// Commands that wait for EXEC.
    pub(crate) queued: Option<usize>,
}

/// A client's place among those who are connected; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Connected<'c> {
    clients: &'c Clients,
    pub(crate) client: Arc<Client>,
}

impl Clients {
    /// A client comes.
    pub(crate) fn enter(&self, peer: SocketAddr) -> Connected<'_> {
        let (id, now) = (self.last.fetch_add(1, Relaxed) + 1, kv::time::now_ms());
        let client = Client { id, peer, since: now, heard: AtomicU64::new(now), says: Mutex::default() };
        let client = Arc::new(client);
        self.lock().insert(id, client.clone());
        Connected { clients: self, client }
    }

    /// How many have ever come.
    pub(crate) fn total(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// All who are connected, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// What it says of itself.
    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.client.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_forgotten_and_numbers_do_not_return() {
        let (clients, peer) = (Clients::default(), "127.0.0.1:1".parse().unwrap());
        let (first, second) = (clients.enter(peer), clients.enter(peer));
        assert_eq!((first.client.id, second.client.id, clients.all().len()), (1, 2, 2));
        drop(first);
        assert_eq!(clients.all().iter().map(|client| client.id).collect::<Vec<_>>(), [2]);
        assert_eq!(clients.enter(peer).client.id, 3);
        assert_eq!((clients.all().len(), clients.total()), (1, 3));
    }
}
