//! Clients that use registers while nodes are disturbed, by either protocol, and what each of them has seen:
//! whether it can be is what [`history`](crate::history) checks.

use crate::{
    history::{Operation, OperationKind, SPACING, contradiction},
    register_client::{Connection, EXPIRES_MS, Outcome, Register, has_register},
    wait::wait_until,
};
use fastrand::Rng;
use std::{
    net::SocketAddr,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Clients that read and write. Beside them each node has one that only reads: no write of its own, which may
/// wait for a majority, keeps it from reading.
const CLIENTS: u64 = 6;

/// The registers that clients share.
const REGISTERS: [Register; 7] = [
    Register::Field(0),
    Register::Field(1),
    Register::Field(2),
    Register::String(0),
    Register::String(1),
    Register::Pair(0),
    Register::Pair(1),
];

/// How early and how late a node may take what was written to expire for gone: clocks show milliseconds.
const EXPIRY_TOLERANCE: Duration = Duration::from_millis(20);

/// Registers, what clients have done to them so far, and where the nodes are.
#[derive(Debug)]
pub struct Registers {
    histories: [Mutex<Vec<Operation>>; REGISTERS.len()],
    /// Those that run. Each client has one.
    nodes: Vec<Mutex<Option<SocketAddr>>>,
    /// How long clients wait before a request at most.
    pause: Duration,
    /// Held by clients during a request.
    gate: RwLock<()>,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    longest: AtomicU64,
    is_over: AtomicBool,
    began: Instant,
}

impl Registers {
    /// Registers that clients of this many nodes share.
    pub fn new(nodes: usize) -> Registers {
        Registers::with_pause(nodes, Duration::ZERO)
    }

    /// As [`Registers::new`]; before each request clients wait for up to this long.
    pub fn with_pause(nodes: usize, pause: Duration) -> Registers {
        Registers {
            histories: Default::default(),
            nodes: (0..nodes).map(|_| Mutex::default()).collect(),
            pause,
            gate: RwLock::default(),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// A client: it connects whenever the node runs, and uses registers until all is over.
    fn run_client(&self, number: u64) {
        let only_reads = number >= CLIENTS;
        let mut rng = Rng::with_seed(number);
        let (node, is_text) = (number as usize % self.nodes.len(), number.is_multiple_of(2));
        let mut values = (1..).map(|value| (value * CLIENTS + number) * SPACING);
        while !self.is_over.load(Relaxed) {
            let address = *self.nodes[node].lock().expect("no panic");
            let connection = address.and_then(|address| Connection::open(address, is_text));
            let Some(mut connection) = connection else {
                thread::yield_now();
                continue;
            };
            let mut is_open = true;
            while is_open && !self.is_over.load(Relaxed) {
                thread::sleep(self.pause.mul_f64(rng.f64()));
                let _gate = self.gate.read().expect("no panic");
                let index = rng.usize(..REGISTERS.len());
                if has_register(is_text, REGISTERS[index]) {
                    let value = values.next().expect("there are many numbers");
                    let kind = match only_reads {
                        true => OperationKind::Read(None),
                        false => connection.choose(&mut rng, REGISTERS[index], value),
                    };
                    is_open = self.use_register(index, &mut connection, kind);
                }
            }
        }
    }

    /// Sends a request. Returns whether its outcome is known: if not, the node may have gone.
    fn use_register(&self, index: usize, connection: &mut Connection, kind: OperationKind) -> bool {
        let call = self.now();
        let outcome = connection.ask(REGISTERS[index], kind);
        let end = self.now();
        self.longest.fetch_max(end - call, Relaxed);
        let (kind, end) = match outcome {
            Outcome::Done(kind) => (kind, Some(end)),
            Outcome::Unknown(kind) => (kind, None),
            Outcome::Refused => {
                self.refused.fetch_add(1, Relaxed);
                return true;
            }
        };
        if end.is_some() || !matches!(kind, OperationKind::Read(_)) {
            let mut history = self.histories[index].lock().expect("no panic");
            history.push(Operation { call, end, kind });
            if let OperationKind::WriteToExpire(value) = kind {
                let (after, tolerance) = (EXPIRES_MS * 1_000_000, EXPIRY_TOLERANCE.as_nanos() as u64);
                let end = end.map(|end| end + after + tolerance);
                let kind = OperationKind::Expire(value);
                history.push(Operation { call: call + after - tolerance, end, kind });
            }
        }
        self.acknowledged.fetch_add(u64::from(end.is_some()), Relaxed);
        end.is_some()
    }

    /// Lets clients use the registers while `disturb` runs. Returns what they have seen that cannot be.
    pub fn check_while(&self, disturb: impl FnOnce()) -> Vec<String> {
        thread::scope(|scope| {
            let clients = CLIENTS + self.nodes.len() as u64;
            (0..clients).for_each(|number| drop(scope.spawn(move || self.run_client(number))));
            // The clients end also if this panics.
            let _over = Over(&self.is_over);
            disturb();
        });
        let contradiction = |(register, history): (Register, &Mutex<Vec<Operation>>)| {
            let found = contradiction(&history.lock().expect("no panic"))?;
            Some(format!("{register:?}: {found}"))
        };
        REGISTERS.into_iter().zip(&self.histories).filter_map(contradiction).collect()
    }

    /// Runs this between two requests of all clients.
    pub fn between_requests<T>(&self, run: impl FnOnce() -> T) -> T {
        let _gate = self.gate.write().expect("no panic");
        run()
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

    /// How many requests have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// How many requests were refused, and nothing was done.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How long a client has waited for a reply at most.
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }

    /// How many requests that write have an unknown outcome.
    pub fn unknown(&self) -> usize {
        let is_unknown = |operation: &&Operation| {
            operation.end.is_none() && !matches!(operation.kind, OperationKind::Expire(_))
        };
        let unknown =
            |history: &Mutex<Vec<_>>| history.lock().expect("no panic").iter().filter(is_unknown).count();
        self.histories.iter().map(unknown).sum()
    }
}

/// Ends the clients when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
