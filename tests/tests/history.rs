//! What several clients see of a durable node that is killed: each key is a register, whose writes take
//! effect between request and reply, once, and stay.

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
use tests::{
    Client, Release, RespClient,
    history::{Operation, OperationKind, is_linearizable},
    resp, wait_until,
};

const CLIENTS: u64 = 6;
const KEYS: usize = 4;
/// Kills of a sound node, and of one with a fault that must be found.
const KILLS: u64 = 6;
const KILLS_WITH_FAULT: u64 = 20;

/// What clients have done so far, and where the node is, if it runs.
struct History {
    keys: [Mutex<Vec<Operation>>; KEYS],
    node: Mutex<Option<SocketAddr>>,
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

impl History {
    fn new() -> History {
        History {
            keys: Default::default(),
            node: Mutex::default(),
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
            let address = *self.node.lock().expect("no panic");
            let connection = address.and_then(|address| match number.is_multiple_of(2) {
                true => Client::connect_if_open(address).map(Connection::Text),
                false => RespClient::connect_if_open(address).map(Connection::Resp),
            });
            let Some(mut connection) = connection else {
                thread::yield_now();
                continue;
            };
            loop {
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

    /// Kills the node again and again under load. Returns the keys whose histories cannot be.
    fn kill_and_check(&self, mut node: Release, kills: u64) -> Vec<usize> {
        let mut client = node.client();
        wait_until("the bucket is made", || client.ask("CREATE registers") == "OK");
        thread::scope(|scope| {
            (0..CLIENTS).for_each(|number| drop(scope.spawn(move || self.run_client(number))));
            for kill in 0..=kills {
                *self.node.lock().expect("no panic") = Some(node.clients());
                let wanted = self.acknowledged.load(Relaxed) + 100 + kill * 37 % 100;
                wait_until("clients are served", || self.acknowledged.load(Relaxed) >= wanted);
                *self.node.lock().expect("no panic") = None;
                node.kill();
                if kill < kills {
                    node.restart();
                }
            }
            self.is_over.store(true, Relaxed);
        });
        let is_wrong = |key: &usize| !is_linearizable(&self.keys[*key].lock().expect("no panic"));
        (0..KEYS).filter(is_wrong).collect()
    }
}

#[test]
fn what_clients_see_of_a_node_that_is_killed_has_an_order() {
    let history = History::new();
    assert_eq!(history.kill_and_check(Release::durable(), KILLS), Vec::<usize>::new());
    let unknown = |key: &Mutex<Vec<Operation>>| {
        key.lock().expect("no panic").iter().filter(|operation| operation.end.is_none()).count()
    };
    assert!(history.keys.iter().map(unknown).sum::<usize>() > 0, "no request was in flight at a kill");
}

#[test]
#[ignore = "builds foo twice; .ci/run does"]
fn histories_show_the_faults_of_builds_that_have_some() {
    for fault in ["answer_before_sync", "stale_read"] {
        let node = Release::durable_with_fault(fault);
        node.wait_for_log(&["WARN", "fault", fault]);
        let wrong = History::new().kill_and_check(node, KILLS_WITH_FAULT);
        assert_ne!(wrong, Vec::<usize>::new(), "{fault} was not found");
    }
}
