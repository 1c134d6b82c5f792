//! The resident memory of a store under its limit, whatever is written and deleted. What stays keeps its
//! value.

#![cfg(target_os = "linux")]

use kv::{Args, Command, CommandError, Database, Op, Reply, Request, Store, args};
use otp::{Intensity, SupervisorHandle};
use std::{fs, ops::ControlFlow::Continue, sync::Arc, thread, time::Duration};

/// Until a refused write is tried again.
const PAUSE: Duration = Duration::from_millis(1);
/// How often it is tried.
const ATTEMPTS: u32 = 60_000;

/// Besides what the documentation allows: what the test and its threads take, and what the system's allocator
/// keeps for them.
const OF_THE_TEST: usize = 4 << 20;

/// A store with its sweeper, and what it must hold.
struct Model {
    store: Arc<Store>,
    limit: usize,
    /// Shards that buckets are in.
    shards: usize,
    /// Bytes that were resident before anything was written.
    before: usize,
    /// The lengths of the values, by key; 0: there is none.
    lengths: Vec<u32>,
    _tree: SupervisorHandle,
    _runtime: tokio::runtime::Runtime,
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux has it");
    1024 * line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number")
}

/// The value of a key: other bytes for each key and length.
fn value(key: u32, length: usize) -> Vec<u8> {
    let seed = key.wrapping_mul(0x9e37_79b9).wrapping_add(length as u32).to_le_bytes();
    let mut value = seed.repeat(length.div_ceil(seed.len()));
    value.truncate(length);
    value
}

impl Model {
    /// A store for some threads: for one, it has a single shard.
    fn new(threads: usize, limit: usize) -> Model {
        let store = Arc::new(Store::for_threads(threads));
        store.set_memory_limit(Some(limit));
        store.execute(&[Request { database: Database::ZERO, bucket: b"early", op: Op::Create }], 0, |_| {
            Continue(())
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a thread");
        let guard = runtime.enter();
        let tree = kv::supervisor(&store, Intensity::default()).start();
        drop(guard);
        // The supervisor starts with an empty store.
        while store.stats().buckets() > 0 {
            thread::yield_now();
        }
        let (shards, before) = (if threads == 1 { 1 } else { 16 * threads }, resident_bytes());
        Model { store, limit, shards, before, lengths: Vec::new(), _tree: tree, _runtime: runtime }
    }

    /// Executes a command; `false` when it was refused for want of memory.
    fn execute(&self, name: &str, bucket: &[u8], words: &[&[u8]]) -> bool {
        let mut bulks = Vec::new();
        words.iter().for_each(|word| args::push(&mut bulks, word));
        let op = Op::Command { command: Command::find(name).expect("a command"), args: Args::new(&bulks) };
        let mut is_done = true;
        self.store.execute(
            &[Request { database: Database::ZERO, bucket, op }],
            kv::time::now_ms(),
            |reply| {
                match reply {
                    Reply::Error(CommandError::OutOfMemory) => is_done = false,
                    Reply::Error(error) => panic!("{error}"),
                    _ => {}
                }
                Continue(())
            },
        );
        is_done
    }

    /// The bucket and the field of a key: one of 16 hashes, or a string of its own.
    fn place(key: u32) -> (Vec<u8>, Option<Vec<u8>>) {
        match key % 2 {
            0 => (format!("hash{}", key / 2 % 16).into_bytes(), Some(key.to_string().into_bytes())),
            _ => (format!("string{key}").into_bytes(), None),
        }
    }

    fn set(&mut self, key: u32, length: usize) -> bool {
        let value = value(key, length);
        let is_done = match Model::place(key) {
            (bucket, Some(field)) => self.execute("hset", &bucket, &[&field, &value]),
            (bucket, None) => self.execute("set", &bucket, &[&value]),
        };
        if is_done {
            self.lengths.resize(self.lengths.len().max(key as usize + 1), 0);
            self.lengths[key as usize] = length as u32;
        }
        is_done
    }

    fn delete(&mut self, key: u32) {
        match Model::place(key) {
            (bucket, Some(field)) => self.execute("hdel", &bucket, &[&field]),
            (bucket, None) => self.execute("del", &bucket, &[]),
        };
        self.lengths[key as usize] = 0;
    }

    /// Writes values of these lengths until the store is full. Returns their keys.
    fn fill(&mut self, first: u32, mut length: impl FnMut() -> usize) -> Vec<u32> {
        let mut keys = Vec::new();
        for key in first.. {
            let (length, mut attempts) = (length(), 0);
            while !self.set(key, length) {
                let stats = self.store.stats();
                if stats.bytes >= self.limit as u64 / 8 * 7 {
                    return keys;
                }
                attempts += 1;
                assert!(attempts < ATTEMPTS, "refused, although there is room: {stats:?}");
                // The sweeper gives back what other shards hold.
                thread::sleep(PAUSE);
            }
            keys.push(key);
            if key % 1024 == 0 {
                self.check_resident();
            }
        }
        keys
    }

    fn check_resident(&self) {
        let stats = self.store.stats();
        // An eighth of the limit for free blocks, a sixteenth for what is being moved, and a page of each
        // shard.
        let overhead = self.limit * 3 / 16 + self.shards * 256 * 1024;
        let own = self.before + self.lengths.capacity() * size_of::<u32>() + OF_THE_TEST;
        let most = self.limit + overhead + own;
        assert!(resident_bytes() < most, "{} resident, {most} allowed, {stats:?}", resident_bytes());
    }

    /// Compares every eighth value, those that are kept among them.
    fn check_values(&self) {
        for (key, length) in (0..).zip(&self.lengths).step_by(8).filter(|(_, length)| **length > 0) {
            let expected = value(key, *length as usize);
            let (bucket, field) = Model::place(key);
            let words: Vec<&[u8]> = field.iter().map(Vec::as_slice).collect();
            let mut bulks = Vec::new();
            words.iter().for_each(|word| args::push(&mut bulks, word));
            let command = Command::find(if field.is_some() { "hget" } else { "get" }).expect("a command");
            let op = Op::Command { command, args: Args::new(&bulks) };
            self.store.execute(
                &[Request { database: Database::ZERO, bucket: &bucket, op }],
                kv::time::now_ms(),
                |reply| {
                    assert!(matches!(reply, Reply::Value(value) if value == expected), "{key}: {reply:?}");
                    Continue(())
                },
            );
        }
    }
}

/// Fills the store with values of one length after another, and deletes all but each `kept`-th in between.
fn one_length_after_another(threads: usize, limit: usize, kept: u32, lengths: &[usize]) {
    let (mut model, mut first) = (Model::new(threads, limit), 0);
    for length in lengths {
        let keys = model.fill(first, || *length);
        first += keys.len() as u32 + 1;
        let stats = model.store.stats();
        assert!(stats.bytes > limit as u64 / 8 * 7, "what is free serves values of {length}: {stats:?}");
        model.check_values();
        for key in keys.into_iter().filter(|key| key % kept != 0) {
            model.delete(key);
        }
        model.check_resident();
    }
}

/// All lengths in one shard, because the values of a shard are what matters, and some in many. In one test:
/// the resident memory is that of the process.
#[test]
fn resident_memory_stays_near_the_limit_whatever_is_written() {
    let limit = 8 << 20;
    let lengths = [16, 24, 40, 64, 100, 200, 400, 1_000, 3_000, 10_000, 20_000, 30_000];
    for kept in [u32::MAX, 16] {
        one_length_after_another(1, limit, kept, &lengths);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut model = Model::new(1, limit);
    let keys = model.fill(0, || random.usize(1..2_000));
    for _ in 0..4 * keys.len() {
        let key = keys[random.usize(..keys.len())];
        match random.bool() {
            true => drop(model.set(key, random.usize(1..2_000))),
            false => model.delete(key),
        }
        if key.is_multiple_of(1024) {
            model.check_resident();
        }
    }
    model.check_values();
    drop(model);
    one_length_after_another(2, 100 << 20, 16, &[3_000, 10_000, 30_000]);
}
