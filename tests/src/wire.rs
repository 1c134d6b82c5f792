//! A wire between two nodes, in the test's hand: it carries bytes, holds them back, or is cut.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Listens on a fixed address and hands every connection on to where it points.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    target: Option<SocketAddr>,
    stalled: bool,
    cut: bool,
    sockets: Vec<TcpStream>,
    refused: usize,
    /// The wire stalls when these bytes come by.
    trap: Option<Vec<u8>>,
    /// What arrived while the wire was stalled, of both directions.
    held: Vec<u8>,
}

impl Wire {
    /// A wire that refuses connections until it points somewhere.
    #[allow(clippy::new_without_default, reason = "a default that opens a port would surprise")]
    pub fn new() -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.carry(stream);
            }
        });
        Wire { address, state }
    }

    /// Where the wire begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on.
    pub fn point_at(&self, target: SocketAddr) {
        self.state.lock().target = Some(target);
    }

    /// Holds back all bytes in both directions; the connections stay open.
    pub fn stall(&self) {
        self.state.lock().stalled = true;
    }

    /// Stalls as soon as `bytes` come by.
    pub fn stall_at(&self, bytes: &[u8]) {
        self.state.lock().trap = Some(bytes.to_vec());
    }

    /// Whether `bytes` have come in while the wire was stalled.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        contains(&self.state.lock().held, bytes)
    }

    /// How many connections came to nothing because nobody was at the other end.
    pub fn refused(&self) -> usize {
        self.state.lock().refused
    }

    /// Ends all connections, drops what is held back, and refuses new ones.
    pub fn cut(&self) {
        let mut line = self.state.lock();
        line.cut = true;
        for socket in line.sockets.drain(..) {
            // A socket that its peer has closed already is just as cut.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.state.changed.notify_all();
    }

    /// Carries bytes and connections again; what a stall held back goes on its way.
    pub fn mend(&self) {
        let mut line = self.state.lock();
        (line.cut, line.stalled, line.trap) = (false, false, None);
        line.held.clear();
        self.state.changed.notify_all();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("no thread of the wire panics")
    }

    fn carry(self: &Arc<State>, near: TcpStream) {
        let mut line = self.lock();
        let open = line.target.filter(|_| !line.cut);
        let Some(Ok(far)) = open.map(TcpStream::connect) else {
            line.refused += 1;
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                return;
            };
            line.sockets.push(kept);
            let state = self.clone();
            thread::spawn(move || state.pump(from, to));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut line = self.lock();
            line.stalled |= line.trap.as_ref().is_some_and(|trap| contains(&buffer[..count], trap));
            if line.stalled {
                line.held.extend_from_slice(&buffer[..count]);
            }
            while line.stalled && !line.cut {
                line = self.changed.wait(line).expect("no thread of the wire panics");
            }
            if line.cut {
                break;
            }
            drop(line);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
