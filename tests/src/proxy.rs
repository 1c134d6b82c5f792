//! A TCP proxy between two nodes that a test can stall or cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Listens on a fixed address and forwards every connection to its target.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    target: Option<SocketAddr>,
    stalled: bool,
    /// Bytes that may still pass while the proxy is stalled.
    budget: usize,
    cut: bool,
    sockets: Vec<TcpStream>,
    refused: usize,
    /// The proxy stalls when these bytes arrive.
    stall_at: Option<Vec<u8>>,
    /// The proxy flips a bit of these bytes whenever they arrive.
    damage: Option<Vec<u8>>,
    /// What arrived while the proxy was stalled, in both directions.
    held: Vec<u8>,
}

impl Proxy {
    /// A proxy that refuses connections until it has a target.
    #[allow(clippy::new_without_default, reason = "a default that opens a port would be surprising")]
    pub fn new() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let acceptor = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                acceptor.connect(stream);
            }
        });
        Proxy { address, shared }
    }

    /// The address of the proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards new connections to `target`.
    pub fn forward_to(&self, target: SocketAddr) {
        self.shared.lock().target = Some(target);
    }

    /// Holds back all bytes in both directions; the connections stay open.
    pub fn stall(&self) {
        self.shared.lock().stalled = true;
    }

    /// Lets `bytes` more pass, and then stalls again.
    pub fn forward_only(&self, bytes: usize) {
        self.shared.lock().budget = bytes;
        self.shared.changed.notify_all();
    }

    /// Stalls as soon as `bytes` arrive.
    pub fn stall_at(&self, bytes: &[u8]) {
        self.shared.lock().stall_at = Some(bytes.to_vec());
    }

    /// Flips a bit of `bytes` whenever they arrive.
    pub fn damage(&self, bytes: &[u8]) {
        self.shared.lock().damage = Some(bytes.to_vec());
    }

    /// Whether `bytes` have arrived while the proxy was stalled.
    pub fn has_held(&self, bytes: &[u8]) -> bool {
        contains(&self.shared.lock().held, bytes)
    }

    /// How many connections failed because the target was down.
    pub fn refused(&self) -> usize {
        self.shared.lock().refused
    }

    /// Closes all connections, drops what is held back, and refuses new ones.
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.cut = true;
        for socket in state.sockets.drain(..) {
            // Its peer may have closed it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Forwards bytes and connections again, unchanged and beginning with what was held back.
    pub fn restore(&self) {
        let mut state = self.shared.lock();
        (state.cut, state.stalled, state.stall_at, state.budget) = (false, false, None, 0);
        state.damage = None;
        state.held.clear();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the proxy panics")
    }

    fn connect(self: &Arc<Shared>, client: TcpStream) {
        let mut state = self.lock();
        let open = state.target.filter(|_| !state.cut);
        let Some(Ok(server)) = open.map(TcpStream::connect) else {
            state.refused += 1;
            return;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (Ok(from), Ok(to), Ok(socket)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                return;
            };
            state.sockets.push(socket);
            let shared = self.clone();
            thread::spawn(move || shared.copy(from, to));
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut state = self.lock();
            if let Some(at) = state.damage.as_ref().and_then(|bytes| position(&buffer[..count], bytes)) {
                buffer[at] ^= 1;
            }
            // Looked for until it is found: that takes as long as the bytes do that are sent.
            if state.stall_at.take_if(|pattern| contains(&buffer[..count], pattern)).is_some() {
                state.stalled = true;
            }
            if state.stalled {
                state.held.extend_from_slice(&buffer[..count]);
            }
            while state.stalled && state.budget < count && !state.cut {
                state = self.changed.wait(state).expect("no thread of the proxy panics");
            }
            if state.stalled {
                state.budget = state.budget.saturating_sub(count);
            }
            if state.cut {
                break;
            }
            drop(state);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // The other side may have closed already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    position(bytes, part).is_some()
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
