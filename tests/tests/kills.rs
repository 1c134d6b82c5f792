//! Kills of a durable node: under load, in the middle of snapshots and of cuts of its log, and while it
//! loads. Each of its clients writes to keys of its own, and knows what was acknowledged and what was in
//! flight.

use fastrand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env,
    ffi::OsString,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};
use tests::{Client, Release, RespClient, Verdicts, resp, spin_until, wait_until};

/// How often the node is killed; `KV_CRASHES` says otherwise.
const CRASHES: u64 = 50;
/// Kills after which another node, without data, takes its place.
const CRASHES_OF_A_NODE: u64 = 25;
/// Keys of each client.
const KEYS: u8 = 20;
/// Writes that a client sends at once, at most.
const PIPELINE: usize = 8;
/// Values of a mebibyte that fill a file of a log, so that it can be removed.
const FILLING: usize = 20;

/// What a client writes to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A bucket, with the text protocol.
    Text,
    Hash,
    Strings,
    /// Several strings in one step, if none of them has changed.
    Transactions,
}

const KINDS: [Kind; 4] = [Kind::Text, Kind::Hash, Kind::Strings, Kind::Transactions];

/// Sets keys to a number that no other write has, or removes them.
#[derive(Debug)]
struct Write {
    keys: Vec<u8>,
    number: Option<u64>,
}

/// What the node does when it is killed, besides writes.
#[derive(Debug, Clone, Copy)]
enum Work {
    Writes,
    Snapshot,
    /// Removes files of the log, which a snapshot has replaced.
    Cut,
}

/// What a client knows of its keys.
#[derive(Debug)]
struct Ledger {
    kind: Kind,
    acknowledged: BTreeMap<u8, u64>,
    /// What had no reply when the node was killed, in the order in which it was sent.
    in_flight: VecDeque<Write>,
    last_number: u64,
}

enum Connection {
    Text(Client),
    Resp(RespClient),
}

impl Kind {
    fn name(self, key: u8) -> String {
        format!("{self:?}-{key}")
    }

    fn connect(self, node: &Release) -> Connection {
        match self {
            Kind::Text => Connection::Text(node.client()),
            Kind::Hash | Kind::Strings | Kind::Transactions => Connection::Resp(node.resp()),
        }
    }

    fn encode(self, write: &Write) -> Vec<u8> {
        let value = write.number.map(value);
        let command = |key: &u8| match (self, &value) {
            (Kind::Text, Some(value)) => format!("PUT Text {key} {value}\r\n").into_bytes(),
            (Kind::Text, None) => format!("DELETE Text {key}\r\n").into_bytes(),
            (Kind::Hash, Some(value)) => resp::command(&["HSET", "Hash", &key.to_string(), value]),
            (Kind::Hash, None) => resp::command(&["HDEL", "Hash", &key.to_string()]),
            (Kind::Strings | Kind::Transactions, Some(value)) => {
                resp::command(&["SET", &self.name(*key), value])
            }
            (Kind::Strings | Kind::Transactions, None) => resp::command(&["DEL", &self.name(*key)]),
        };
        let commands: Vec<u8> = write.keys.iter().flat_map(command).collect();
        match self {
            Kind::Transactions => {
                let watch = write.keys.iter().flat_map(|key| resp::command(&["WATCH", &self.name(*key)]));
                let (multi, exec) = (resp::command(&["MULTI"]), resp::command(&["EXEC"]));
                [watch.collect(), multi, commands, exec].concat()
            }
            Kind::Text | Kind::Hash | Kind::Strings => commands,
        }
    }

    /// The numbers of all keys, as the node has them.
    fn read(self, node: &Release) -> BTreeMap<u8, u64> {
        let values: Vec<Option<String>> = match self {
            Kind::Text => {
                let mut client = node.client();
                assert_eq!(client.ask("CREATE Text"), "OK");
                let values = (0..KEYS).map(|key| client.get("Text", &key.to_string()));
                values.map(|value| Some(value).filter(|value| !value.is_empty())).collect()
            }
            Kind::Hash | Kind::Strings | Kind::Transactions => {
                let command = match self {
                    Kind::Hash => {
                        redis::cmd("HMGET").arg("Hash").arg(Vec::from_iter(0..u32::from(KEYS))).take()
                    }
                    _ => redis::cmd("MGET").arg(Vec::from_iter((0..KEYS).map(|key| self.name(key)))).take(),
                };
                let client = redis::Client::open(format!("redis://{}/", node.clients())).expect("an address");
                let mut client = client.get_connection().expect("the node accepts clients");
                command.query(&mut client).expect("a list")
            }
        };
        let numbers = (0..).zip(values).filter_map(|(key, found)| {
            let found = found?;
            let digits = found.split(':').next().expect("a first part");
            let number = digits.parse().unwrap_or_else(|_| panic!("{self:?} {key}: no number: {found}"));
            assert!(found == value(number), "{self:?} {key}: not the whole value of {number}");
            Some((key, number))
        });
        numbers.collect()
    }
}

/// A value that no other write has. Some are large, so that logs have several files.
fn value(number: u64) -> String {
    let padding = if number.is_multiple_of(20) { 100_000 } else { 0 };
    format!("{number}:{}", "x".repeat(padding))
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Connection::Text(client) => client.send_if_open(bytes),
            Connection::Resp(client) => client.send_if_open(bytes),
        }
    }

    /// Waits for the reply to a write. Returns `false` if the node has gone.
    fn await_reply(&mut self, kind: Kind, write: &Write) -> bool {
        let replies = match kind {
            Kind::Transactions => 2 * write.keys.len() + 2,
            Kind::Text | Kind::Hash | Kind::Strings => 1,
        };
        (0..replies).all(|_| {
            let reply = match self {
                Connection::Text(client) => client.next_line(),
                Connection::Resp(client) => client.reply_if_open(),
            };
            let Some(reply) = reply else { return false };
            assert!(!reply.starts_with(b"ERROR") && !reply.starts_with(b"-"), "{}", reply.escape_ascii());
            true
        })
    }
}

impl Ledger {
    fn new(kind: Kind) -> Ledger {
        Ledger { kind, acknowledged: BTreeMap::new(), in_flight: VecDeque::new(), last_number: 0 }
    }

    fn note(&mut self, write: &Write) {
        for key in &write.keys {
            match write.number {
                Some(number) => self.acknowledged.insert(*key, number),
                None => self.acknowledged.remove(key),
            };
        }
    }

    fn next_write(&mut self, rng: &mut Rng) -> Write {
        let count = if matches!(self.kind, Kind::Transactions) { 3 } else { 1 };
        let keys = rng.choose_multiple(0..KEYS, count);
        self.last_number += 1;
        Write { keys, number: Some(self.last_number).filter(|_| rng.u8(0..5) > 0) }
    }

    /// Writes until the node has gone, and counts what is acknowledged.
    fn write(&mut self, mut connection: Connection, rng: &mut Rng, acknowledged: &AtomicU64) {
        loop {
            let writes: Vec<_> = (0..rng.usize(1..=PIPELINE)).map(|_| self.next_write(rng)).collect();
            let bytes: Vec<u8> = writes.iter().flat_map(|write| self.kind.encode(write)).collect();
            self.in_flight = writes.into();
            if !connection.send(&bytes) {
                return;
            }
            while let Some(write) = self.in_flight.pop_front() {
                if !connection.await_reply(self.kind, &write) {
                    return self.in_flight.push_front(write);
                }
                self.note(&write);
                acknowledged.fetch_add(1, Relaxed);
            }
        }
    }

    /// Compares with what the node has: all that was acknowledged, and the first of what was in flight.
    fn settle(&mut self, found: &BTreeMap<u8, u64>) -> Result<(), String> {
        let (acknowledged, in_flight) = (self.acknowledged.clone(), format!("{:?}", self.in_flight));
        while self.acknowledged != *found {
            let Some(write) = self.in_flight.pop_front() else {
                let kind = self.kind;
                return Err(format!("{kind:?}: {acknowledged:?}, in flight {in_flight}, found {found:?}"));
            };
            self.note(&write);
        }
        self.in_flight.clear();
        Ok(())
    }
}

/// Kills the node in a moment that the seed says, and starts it again. Returns what was done, or what is
/// lost.
fn crash(node: &mut Release, ledgers: &mut [Ledger], seed: u64) -> Result<String, String> {
    let mut rng = Rng::with_seed(seed);
    let acknowledged = Arc::<AtomicU64>::default();
    // A cut takes as long as three of the others.
    let work = match rng.u8(0..8) {
        0 => Work::Cut,
        1..4 => Work::Snapshot,
        _ => Work::Writes,
    };
    thread::scope(|scope| {
        for ledger in &mut *ledgers {
            let (connection, mut rng) = (ledger.kind.connect(node), rng.fork());
            let acknowledged = acknowledged.clone();
            scope.spawn(move || ledger.write(connection, &mut rng, &acknowledged));
        }
        let wanted = rng.u64(10..500);
        wait_until("clients write", || acknowledged.load(Relaxed) >= wanted);
        match work {
            Work::Writes => {}
            Work::Snapshot => {
                begin_snapshot(node);
                let wanted = acknowledged.load(Relaxed) + rng.u64(0..30);
                spin_until("clients go on", || acknowledged.load(Relaxed) >= wanted);
            }
            Work::Cut => begin_cut(node),
        }
        node.kill();
    });
    let mut done = format!("{} writes", acknowledged.load(Relaxed));
    done += match work {
        Work::Writes => "",
        Work::Snapshot => ", during a snapshot",
        Work::Cut => ", during a cut of the log",
    };
    for _ in 0..rng.u8(0..3) {
        kill_while_it_loads(node, &mut rng);
        done += ", killed while it loads";
    }
    node.restart();
    node.wait_until_loaded();
    ledgers.iter_mut().try_for_each(|ledger| ledger.settle(&ledger.kind.read(node)))?;
    Ok(done)
}

/// Waits until the first bytes of a snapshot are there, or all of it.
fn begin_snapshot(node: &Release) {
    let snapshots = || files(node, "", "snapshot-");
    let before = snapshots();
    assert_eq!(node.resp().ask("BGSAVE"), "+Background saving started\\r\\n");
    spin_until("a snapshot is begun", || snapshots() != before);
}

/// Waits until the first file of the log is removed that a snapshot has replaced, or all of them.
fn begin_cut(node: &Release) {
    let (mut client, value) = (node.resp(), "x".repeat(1 << 20));
    for _ in 0..FILLING {
        client.command(&["SET", "filling", &value]);
        assert_eq!(client.reply(), b"+OK\r\n");
    }
    let before = files(node, "log", "r-");
    assert_eq!(client.ask("BGSAVE"), "+Background saving started\\r\\n");
    spin_until("a file is removed", || !before.is_subset(&files(node, "log", "r-")));
}

/// The files in a directory of the range whose names begin so.
fn files(node: &Release, directory: &str, prefix: &str) -> BTreeSet<OsString> {
    let files = fs::read_dir(node.data_dir().join("ranges/1-1").join(directory)).expect("a directory");
    let names = files.map(|file| file.expect("a file").file_name());
    names.filter(|name| name.to_string_lossy().starts_with(prefix)).collect()
}

fn kill_while_it_loads(node: &mut Release, rng: &mut Rng) {
    node.begin_restart();
    spin_until("the node opens its log", || node.has_open(".wal"));
    // Each look takes a moment, in which the node goes on.
    let mut looks = rng.u32(0..100);
    spin_until("the node has gone on", || {
        looks = looks.saturating_sub(1);
        looks == 0 || !node.has_open(".wal")
    });
    node.kill();
}

/// `KV_CRASHES=1000 KV_CRASHES_FILE=/tmp/crashes` goes on where the file ends: parts are fine.
#[test]
fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let crashes = env::var("KV_CRASHES").map_or(CRASHES, |crashes| crashes.parse().expect("a number"));
    let verdicts = Verdicts::in_file_of("KV_CRASHES_FILE");
    let mut seed = verdicts.next_seed();
    while seed < crashes {
        let mut node = Release::durable();
        assert_eq!(node.client().ask("CREATE Text"), "OK");
        let mut ledgers = KINDS.map(Ledger::new);
        for _ in 0..CRASHES_OF_A_NODE.min(crashes - seed) {
            match crash(&mut node, &mut ledgers, seed) {
                Ok(done) => verdicts.add(seed, &format!("ok: {done}")),
                Err(lost) => {
                    verdicts.add(seed, "LOST");
                    panic!("seed {seed}: {lost}");
                }
            }
            seed += 1;
        }
    }
}
