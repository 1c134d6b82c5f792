//! Clients that read and write registers, by either protocol, and what each of them has seen: whether it can
//! be is what [`history`](crate::history) checks.

use crate::{
    client::Client,
    history::{Operation, OperationKind, is_linearizable},
    resp::{self, RespClient},
    wait::wait_until,
};
use fastrand::Rng;
use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

const CLIENTS: u64 = 6;
const KEYS: usize = 4;
/// Registers, what clients have done to them so far, and where the nodes are.
#[derive(Debug)]
pub struct Registers {
    keys: [Mutex<Vec<Operation>>; KEYS],
    /// Those that run. Each client has one.
    nodes: Vec<Mutex<Option<SocketAddr>>>,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
    began: Instant,
}

/// What became of a request.
enum Reply {
    Value(Option<u64>),
    /// Nothing was done.
    Refused,
    Unknown,
}

/// The same registers by either protocol.
enum Connection {
    Text(Client),
    Resp(RespClient),
}

impl Connection {
    fn ask(&mut self, key: usize, kind: OperationKind) -> Reply {
        match self {
            Connection::Text(client) => ask_text(client, key, kind),
            Connection::Resp(client) => ask_resp(client, key, kind),
        }
        .unwrap_or(Reply::Unknown)
    }
}

/// `None` if the node has gone.
fn ask_text(client: &mut Client, key: usize, kind: OperationKind) -> Option<Reply> {
    let request = match kind {
        OperationKind::Write(value) => format!("PUT registers {key} {value}"),
        OperationKind::Read(_) => format!("GET registers {key}"),
    };
    let line = client.ask_if_open(&request)?;
    if line.starts_with("ERROR outcome unknown") {
        return Some(Reply::Unknown);
    } else if line.starts_with("ERROR ") {
        return Some(Reply::Refused);
    } else if line == "NOT FOUND" {
        return Some(Reply::Value(None));
    }
    if let OperationKind::Read(_) = kind {
        assert_eq!(client.next_line()?, b"OK");
    }
    Some(Reply::Value(line.parse().ok()))
}

/// `None` if the node has gone.
fn ask_resp(client: &mut RespClient, key: usize, kind: OperationKind) -> Option<Reply> {
    let key = key.to_string();
    let sent = match kind {
        OperationKind::Write(value) => {
            client.send_if_open(resp::command(&["HSET", "registers", &key, &value.to_string()]))
        }
        OperationKind::Read(_) => client.send_if_open(resp::command(&["HGET", "registers", &key])),
    };
    let reply = sent.then(|| client.reply_if_open())??;
    let reply = std::str::from_utf8(&reply).expect("numbers and errors are text");
    Some(match reply {
        reply if reply.starts_with("-ERR outcome unknown") => Reply::Unknown,
        reply if reply.starts_with('-') => Reply::Refused,
        reply => Reply::Value(reply.lines().nth(1).and_then(|value| value.parse().ok())),
    })
}

impl Registers {
    /// Registers that clients of this many nodes share.
    pub fn new(nodes: usize) -> Registers {
        Registers {
            keys: Default::default(),
            nodes: (0..nodes).map(|_| Mutex::default()).collect(),
            acknowledged: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// A client: it connects whenever the node runs, and reads and writes registers until all is over.
    fn run_client(&self, number: u64) {
        let (mut rng, mut last_value) = (Rng::with_seed(number), 0);
        while !self.is_over.load(Relaxed) {
            let node = &self.nodes[number as usize % self.nodes.len()];
            let address = *node.lock().expect("no panic");
            let connection = address.and_then(|address| match number.is_multiple_of(2) {
                true => Client::connect_if_open(address).map(Connection::Text),
                false => RespClient::connect_if_open(address).map(Connection::Resp),
            });
            let Some(mut connection) = connection else {
                thread::yield_now();
                continue;
            };
            while !self.is_over.load(Relaxed) {
                let (key, mut kind) = (rng.usize(..KEYS), OperationKind::Read(None));
                if rng.bool() {
                    last_value += 1;
                    kind = OperationKind::Write(last_value * CLIENTS + number);
                }
                let call = self.now();
                let reply = connection.ask(key, kind);
                let end = self.now();
                let is_unknown = matches!(reply, Reply::Unknown);
                if let (OperationKind::Read(read), Reply::Value(value)) = (&mut kind, &reply) {
                    *read = *value;
                }
                if !matches!(reply, Reply::Refused) {
                    let end = Some(end).filter(|_| !is_unknown);
                    self.keys[key].lock().expect("no panic").push(Operation { call, end, kind });
                }
                match reply {
                    Reply::Value(_) => drop(self.acknowledged.fetch_add(1, Relaxed)),
                    Reply::Refused => {}
                    Reply::Unknown => break,
                }
            }
        }
    }

    /// Lets clients use the registers while `disturb` runs. Returns the keys whose histories cannot be.
    pub fn check_while(&self, disturb: impl FnOnce()) -> Vec<usize> {
        thread::scope(|scope| {
            (0..CLIENTS).for_each(|number| drop(scope.spawn(move || self.run_client(number))));
            // The clients end also if this panics.
            let _over = Over(&self.is_over);
            disturb();
        });
        let is_wrong = |key: &usize| !is_linearizable(&self.keys[*key].lock().expect("no panic"));
        (0..KEYS).filter(is_wrong).collect()
    }

    /// A node runs at this address, or does not run.
    pub fn set_node(&self, node: usize, address: Option<SocketAddr>) {
        *self.nodes[node].lock().expect("no panic") = address;
    }

    /// Waits until this many more requests have been acknowledged.
    pub fn wait_for(&self, requests: u64) {
        let wanted = self.acknowledged.load(Relaxed) + requests;
        wait_until("clients are served", || self.acknowledged.load(Relaxed) >= wanted);
    }

    /// How many requests have an unknown outcome.
    pub fn unknown(&self) -> usize {
        let unknown = |key: &Mutex<Vec<Operation>>| {
            key.lock().expect("no panic").iter().filter(|operation| operation.end.is_none()).count()
        };
        self.keys.iter().map(unknown).sum()
    }
}

/// Ends the clients when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
