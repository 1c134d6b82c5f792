//! One log, applied to stores of different nodes, leaves the same contents in all of them.

use super::*;
use crate::{
    args::{self, Args},
    commands::{COMMANDS, spec::Command},
    database::Database,
    limits::{BLOCK_BYTES, PIECE_BYTES},
    memory::entry::Entry,
    reply::Projection,
    request::{LoadMode, Op},
    shard::{Shard, watch::Watcher},
    store::load::Loader,
    tests::work::touched_while,
};
use proptest::prelude::*;
use std::{sync::Arc, thread};

const SHARDS: usize = 2;
const START: u64 = 1_700_000_000_000;
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

/// Words that commands take for fields, values, times and options.
const WORDS: [&str; 26] = [
    "a", "b", "c", "field", "other", "1", "2", "7", "40", "-3", "1.5", "x", "NX", "XX", "GT", "EX", "PX",
    "PXAT", "KEEPTTL", "PERSIST", "FIELDS", "FXX", "REPLACE", "DB", "GET", "MATCH",
];

/// A request of the log, or a connection that watches a bucket.
#[derive(Debug, Clone)]
enum Step {
    Command(usize, Vec<usize>),
    Create,
    Put(usize, usize),
    Delete(usize),
    Drop,
    /// Sets a field that expires after some milliseconds.
    Timed(usize, u64),
    Watch(u64),
    Unwatch(u64),
}

/// What an entry of the log has done with its requests, or instead of them.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Batch,
    Transaction,
    Flush,
    EndWatches,
}

/// A step, and the bucket that it names, by their places in the lists; the database.
type Placed = (Step, usize, u8);

/// The requests of an entry, what is done with them, and the time since the entry before it.
type LogEntry = (Vec<Placed>, Kind, u64);

fn step() -> impl Strategy<Value = Placed> {
    let words = || 0..WORDS.len();
    let step = prop_oneof![
        12 => (0..COMMANDS.len(), proptest::collection::vec(words(), 1..7))
            .prop_map(|(command, words)| Step::Command(command, words)),
        1 => Just(Step::Create),
        2 => (words(), words()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => words().prop_map(Step::Delete),
        1 => Just(Step::Drop),
        2 => (words(), 1..40_u64).prop_map(|(key, ms)| Step::Timed(key, ms)),
        2 => (0..3_u64).prop_map(Step::Watch),
        1 => (0..3_u64).prop_map(Step::Unwatch),
    ];
    (step, 0..NAMES.len(), 0..2_u8)
}

fn log_entry() -> impl Strategy<Value = LogEntry> {
    let kind = prop_oneof![
        6 => Just(Kind::Batch),
        6 => Just(Kind::Transaction),
        1 => Just(Kind::Flush),
        1 => Just(Kind::EndWatches),
    ];
    (proptest::collection::vec(step(), 1..20), kind, 0..30_u64)
}

/// The arguments of a step, as a client sends them.
fn bulks((step, ..): &Placed) -> Vec<u8> {
    let mut bulks = Vec::new();
    if let Step::Command(command, words) = step {
        // As many as the command needs at least, without its own name and that of the bucket.
        let least = COMMANDS[*command].spec.arity.unsigned_abs() as usize - 2;
        let exact = COMMANDS[*command].spec.arity > 0;
        let count = if exact { least } else { least.max(words.len()) };
        words.iter().cycle().take(count).for_each(|word| args::push(&mut bulks, WORDS[*word].as_bytes()));
    }
    if let Step::Timed(key, ms) = step {
        let words = ["PX", &ms.to_string(), "FIELDS", "1", WORDS[*key], "timed"];
        words.iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
    }
    bulks
}

fn request<'b>((step, bucket, database): &Placed, bulks: &'b [u8]) -> Request<'b> {
    let watcher = |connection: &u64| Watcher { link: 1, connection: *connection };
    let op = match step {
        Step::Command(command, _) => Op::Command { command: &COMMANDS[*command], args: Args::new(bulks) },
        Step::Timed(..) => {
            let command = Command::find("hsetex").expect("a command");
            Op::Command { command, args: Args::new(bulks) }
        }
        Step::Create => Op::Create,
        Step::Put(key, value) => Op::Put { key: WORDS[*key].as_bytes(), value: WORDS[*value].as_bytes() },
        Step::Delete(key) => Op::Delete { key: WORDS[*key].as_bytes() },
        Step::Drop => Op::Drop,
        Step::Watch(connection) => Op::Watch { watcher: watcher(connection) },
        Step::Unwatch(connection) => Op::Unwatch { watcher: watcher(connection) },
    };
    let database = Database::new(usize::from(*database)).expect("a database");
    Request { database, ..Request::new(NAMES[*bucket], op) }
}

/// What a node does with its store besides.
#[derive(Debug, Clone, Copy)]
enum Node {
    /// Nothing.
    Idle,
    /// Its memory is used up, it would allow no transaction, its clock is ahead, others read, and it sweeps.
    Busy,
    /// It starts again after this many entries, from a snapshot.
    Restarted(usize),
    /// As that; it has another seed, and another number of shards.
    Other(usize),
}

impl Node {
    /// An empty store of the node.
    fn store(self) -> Store {
        match self {
            Node::Other(_) => Store::for_range(8, 2 * SHARDS),
            Node::Idle | Node::Busy | Node::Restarted(_) => Store::for_range(7, SHARDS),
        }
    }
}

/// Another store with what a snapshot has of one.
fn restarted(from: Store, to: Store, stamp_ms: u64) -> Store {
    let from = Arc::new(from);
    let mut frozen = from.freeze(&Arc::default()).expect("no other copy");
    let mut loader = Loader::new(&to, stamp_ms);
    while frozen.read(|record| loader.load(record).expect("loaded")).expect("a copy") {}
    loader.finish();
    from.read_state(|record| to.load_state(record).expect("loaded"));
    to
}

/// Applies the log; returns the replies to what changes something, and the contents afterwards.
fn apply(log: &[LogEntry], limits: TransactionLimits, node: Node) -> (Vec<String>, Vec<String>) {
    let (mut store, mut stamp_ms, mut replies) = (node.store(), START, Vec::new());
    let mut versions = Vec::new();
    for (index, (steps, kind, wait)) in log.iter().enumerate() {
        if matches!(node, Node::Restarted(after) | Node::Other(after) if after % log.len() == index) {
            store = restarted(store, node.store(), stamp_ms);
        }
        stamp_ms += wait;
        let words: Vec<_> = steps.iter().map(bulks).collect();
        let requests = steps.iter().zip(&words).map(|(step, bulks)| request(step, bulks));
        let requests: Vec<_> = requests.collect();
        let (mut replied, watched) = (0, versions.last().copied());
        let mut on_reply = |reply: Reply<'_>| {
            let (request, name) = (&requests[replied], NAMES[steps[replied].1]);
            replied += 1;
            if let (Op::Watch { .. }, Reply::Number(version)) = (request.op, &reply) {
                versions.push((FullName { database: request.database, name }, *version as u64));
            }
            if !request.op.is_read() || matches!(request.op, Op::Watch { .. }) {
                replies.push(format!("{request:?} {reply:?}"));
            }
        };
        let entry = EntryTerms { stamp_ms, limits };
        match kind {
            Kind::Batch => store.apply(&requests, entry, &mut on_reply).expect("no crash"),
            Kind::Transaction => {
                let executed = store.apply_transaction(watched.as_slice(), &requests, entry, &mut on_reply);
                replies.push(format!("{:?}", executed.expect("no crash")));
            }
            Kind::Flush => drop(store.flush(None)),
            Kind::EndWatches => store.unwatch_all(),
        }
        if matches!(node, Node::Busy) {
            disturb(&store, &requests, stamp_ms);
        }
    }
    (replies, contents(&store, stamp_ms))
}

fn disturb(store: &Store, requests: &[Request<'_>], stamp_ms: u64) {
    store.set_memory_limit(Some(1));
    store.set_transaction_limits(TransactionLimits { entries: 1, bytes: 1 });
    let reads: Vec<_> = requests.iter().copied().filter(|request| request.op.is_read()).collect();
    let reads: Vec<_> = reads.into_iter().filter(|read| !matches!(read.op, Op::Watch { .. })).collect();
    thread::scope(|scope| {
        for ahead in [0, 30, 1_000_000] {
            let (clock, reads) = (Clock { now_ms: stamp_ms + ahead, removal_ms: stamp_ms }, &reads);
            scope.spawn(move || store.read(reads, clock, |_| ControlFlow::Continue(())));
        }
    });
    sweep(store, stamp_ms);
}

fn sweep(store: &Store, stamp_ms: u64) {
    for index in 0..store.shards.len() {
        // A round visits every line; the next one finds nothing.
        while store.lock(index).expiry_cursor.has_expiries && store.sweep_shard(index, stamp_ms) {}
        while store.sweep_shard(index, stamp_ms) {}
    }
}

/// Every bucket with all that can be read of it, and every watch.
fn contents(store: &Store, stamp_ms: u64) -> Vec<String> {
    sweep(store, stamp_ms);
    let mut contents = Vec::new();
    store.read_state(|record| contents.push(format!("{record:?}")));
    for index in 0..store.shards.len() {
        let database = index / store.shards_per_database();
        let Shard { registry, memory, .. } = &*store.lock(index);
        let (mut buckets, mut cursor) = (Vec::new(), 0);
        loop {
            let (step, next) = registry.scan_step(memory, cursor);
            buckets.extend(step);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        for bucket in buckets {
            let name = bucket.name(memory).escape_ascii().to_string();
            let mut fields = Vec::new();
            if let Ok(map) = bucket.map(memory) {
                let (mut cursor, mut page): (u64, Vec<Entry<'_>>);
                cursor = 0;
                loop {
                    (page, cursor) = map.entries(cursor, 100);
                    page.retain(|entry| !entry.is_expired(stamp_ms));
                    fields.extend(page.iter().map(|entry| format!("{entry:?}")));
                    if cursor == 0 {
                        break;
                    }
                }
            }
            fields.sort_unstable();
            let string = bucket.string(memory).ok().map(|value| format!("{value:?}"));
            let (kind, expiry) = (bucket.kind(memory), bucket.expires_at_ms(memory));
            let keeps = bucket.keeps_when_empty(memory);
            contents.push(format!("{database} {name} {kind:?} {expiry:?} {keeps} {string:?} {fields:?}"));
        }
    }
    contents.sort_unstable();
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn one_log_leaves_the_same_in_the_stores_of_different_nodes(
        log in proptest::collection::vec(log_entry(), 1..30),
        entries in 3..60_usize,
        after in 0..30_usize,
    ) {
        let limits = TransactionLimits { entries, bytes: 1_000 };
        let idle = apply(&log, limits, Node::Idle);
        for node in [Node::Busy, Node::Restarted(after), Node::Other(after)] {
            prop_assert_eq!(&idle, &apply(&log, limits, node));
        }
    }
}

/// A command on the bucket `a`.
fn command<'b>(name: &str, words: &[&str], bulks: &'b mut Vec<u8>) -> Request<'b> {
    words.iter().for_each(|word| args::push(bulks, word.as_bytes()));
    let command = Command::find(name).expect("a command");
    Request::new(b"a", Op::Command { command, args: Args::new(bulks) })
}

#[test]
fn whether_a_large_hash_is_renamed_does_not_depend_on_the_shards_of_its_names() {
    let entry = EntryTerms { stamp_ms: START, limits: TransactionLimits { entries: 3, bytes: 1_000 } };
    let renamed = |seed| {
        let (store, mut bulks) = (Store::for_range(seed, SHARDS), [const { Vec::new() }; 2]);
        let [fields, name] = &mut bulks;
        let fill = command("hset", &["a", "1", "b", "2", "c", "3", "d", "4"], fields);
        let (requests, mut replies) = ([fill, command("rename", &["z"], name)], Vec::new());
        store.apply(&requests, entry, |reply| replies.push(format!("{reply:?}"))).expect("no crash");
        replies
    };
    let first = renamed(0);
    assert!((1..20).all(|seed| renamed(seed) == first), "{first:?}");
}

#[test]
fn large_arguments_of_an_entry_are_copied_before_their_shard_is_locked() {
    let store = Arc::new(Store::for_range(7, SHARDS));
    let value = "x".repeat(6 * PIECE_BYTES + 77);
    let apply = |stamp_ms, name: &str, words: &[&str]| {
        let (mut bulks, mut replied) = (Vec::new(), String::new());
        let request = command(name, words, &mut bulks);
        let entry = EntryTerms { stamp_ms, limits: TransactionLimits::default() };
        let (applied, touched) = touched_under_locks(&store, || {
            store.apply(&[request], entry, |reply| replied = format!("{reply:?}"))
        });
        applied.expect("no crash");
        assert!(touched <= 3 * PIECE_BYTES, "{name} touches {touched} bytes");
        replied
    };
    assert_eq!(apply(START, "set", &[&value, "PX", "10"]), "Done");
    assert_eq!(apply(START, "append", &[&value]), format!("Number({})", 2 * value.len()));
    // It has expired, so what was prepared for its length does not fit.
    assert_eq!(apply(START + 20, "append", &[&value]), format!("Number({})", value.len()));
    assert_eq!(apply(START + 20, "setrange", &["5", &value]), format!("Number({})", 5 + value.len()));
}

/// The bytes of large values that `step` touches while a shard of the store is locked.
fn touched_under_locks<T>(store: &Arc<Store>, step: impl FnOnce() -> T) -> (T, usize) {
    let locked = store.clone();
    touched_while(move || locked.shards.iter().any(|shard| shard.is_locked()), step)
}

#[test]
fn large_arguments_of_a_transaction_or_of_several_buckets_are_copied_before_their_shards_are_locked() {
    let store = Arc::new(Store::for_range(7, SHARDS));
    let entry = EntryTerms { stamp_ms: START, limits: TransactionLimits::default() };
    let value = "x".repeat(PIECE_BYTES);
    let mut bulks: [Vec<u8>; 3] = Default::default();
    let [set, pairs, load] = &mut bulks;
    let set = command("set", &[&value], set);
    let pairs = command("msetnx", &[&value, "b", &value, "c", "small"], pairs);
    args::push(load, value.as_bytes());
    let load = Op::Load {
        mode: LoadMode::Replace,
        kind: crate::bucket::Kind::Str,
        keep_when_empty: false,
        expires_at_ms: None,
        contents: Args::new(load),
    };
    let load = Request::new(b"d", load);
    let batch = vec![set; 15];
    let (executed, touched) =
        touched_under_locks(&store, || store.apply_transaction(&[], &batch, entry, |_| ()));
    assert_eq!((executed, touched), (Ok(Ok(true)), 0));
    store.apply(&[Request::new(b"a", Op::Drop)], entry, |_| ()).expect("no crash");
    for (request, expected) in [(pairs, "Number(1)"), (load, "Number(1)")] {
        let mut replied = String::new();
        let (applied, touched) = touched_under_locks(&store, || {
            store.apply(&[request], entry, |reply| replied = format!("{reply:?}"))
        });
        assert_eq!((applied, &*replied, touched), (Ok(()), expected, 0));
    }
}

#[test]
fn where_a_replica_keeps_its_entries_does_not_decide_whether_a_transaction_is_too_large() {
    let executed = |sweeps: bool| {
        let store = Store::for_range(7, SHARDS);
        let limits = TransactionLimits { entries: 60, bytes: 100_000 };
        let entry = |stamp_ms| EntryTerms { stamp_ms, limits };
        for field in 0..400 {
            let (name, mut bulks) = (format!("field{field}"), Vec::new());
            let fields = match field % 4 {
                0 => command("hset", &[&name, "value"], &mut bulks),
                _ => command("hsetex", &["PX", "10", "FIELDS", "1", &name, "value"], &mut bulks),
            };
            store.apply(&[fields], entry(START), |_| ()).expect("no crash");
        }
        if sweeps {
            sweep(&store, START + 20);
        }
        let mut bulks = Vec::new();
        let scan = command("hscan", &["0", "COUNT", "100"], &mut bulks);
        store.apply_transaction(&[], &[scan], entry(START + 20), |_| ())
    };
    let done = Ok(Ok(true));
    assert_eq!([executed(false), executed(true)], [done.clone(), done]);
}

#[test]
fn a_read_removes_only_what_has_expired_by_the_time_of_the_range() {
    let store = Store::for_range(7, SHARDS);
    let entry = |stamp_ms| EntryTerms { stamp_ms, limits: TransactionLimits::default() };
    let (mut bulks, mut other) = (Vec::new(), Vec::new());
    let fields = [
        command("hsetex", &["PX", "10", "FIELDS", "1", "timed", "value"], &mut bulks),
        command("hset", &["live", "value"], &mut other),
    ];
    store.apply(&fields, entry(START), |_| ()).expect("no crash");
    // The clock of this node is ahead of that which the next entry is stamped by.
    let clock = Clock { now_ms: START + 20, removal_ms: START };
    let mut bulks = Vec::new();
    let random = command("hrandfield", &[], &mut bulks);
    let page = Op::RandomEntries { projection: Projection::Keys, cursor: 0, count: 1 };
    let mut replies = Vec::new();
    store.read(&[random, Request::new(b"a", page)], clock, |reply| {
        replies.push(format!("{reply:?}"));
        ControlFlow::Continue(())
    });
    let live = format!("{:?}", Reply::Value(b"live"));
    assert!(replies[0] == live && replies[1].contains(&live), "{replies:?}");
    let mut bulks = Vec::new();
    let persist = command("hpersist", &["FIELDS", "1", "timed"], &mut bulks);
    let mut persisted = String::new();
    store.apply(&[persist], entry(START + 5), |reply| persisted = format!("{reply:?}")).expect("no crash");
    assert_eq!(persisted, "List([Number(1)])");
}

#[test]
fn a_map_that_was_not_created_to_stay_ends_with_its_last_entry_whenever_expired_ones_are_removed() {
    for sweeps in [false, true] {
        let store = Store::for_range(7, SHARDS);
        let entry = |stamp_ms| EntryTerms { stamp_ms, limits: TransactionLimits::default() };
        let (mut bulks, mut other) = (Vec::new(), Vec::new());
        let fields = [
            command("hsetex", &["PX", "10", "FIELDS", "1", "timed", "value"], &mut bulks),
            command("hset", &["field", "value"], &mut other),
        ];
        store.apply(&fields, entry(START), |_| ()).expect("no crash");
        if sweeps {
            sweep(&store, START + 20);
        }
        let delete = [Request::new(b"a", Op::Delete { key: b"field" })];
        store.apply(&delete, entry(START + 20), |_| ()).expect("no crash");
        sweep(&store, START + 20);
        assert_eq!(store.bucket_counts()[0], 0, "swept before: {sweeps}");
    }
}

#[test]
fn a_replica_whose_arena_is_nearly_full_is_out_of_memory_before_an_entry_halts_it() {
    let fill = |store: &Store| {
        let mut shard = store.lock(1);
        let arena = &mut shard.memory.arena;
        // Smaller chunks, which take no memory as long as nothing is written to them.
        arena.large_pages = false;
        let mut blocks = Vec::new();
        while !arena.is_nearly_full() {
            blocks.push(arena.allocate(BLOCK_BYTES).expect("room"));
        }
        arena.allocate(BLOCK_BYTES).expect("some room is left");
        blocks
    };
    let replica = Store::for_range(7, SHARDS);
    let blocks = fill(&replica);
    assert!(!replica.is_out_of_memory(0), "the sweeper has not looked");
    sweep(&replica, START);
    assert!(replica.is_out_of_memory(0));
    blocks.into_iter().for_each(|block| replica.lock(1).memory.arena.free(block, BLOCK_BYTES));
    sweep(&replica, START);
    assert!(!replica.is_out_of_memory(0));
    // The others reply that they are when there is no room.
    let volatile = Store::for_threads(1);
    let mut shard = volatile.lock(0);
    shard.is_nearly_full = true;
    drop(shard);
    assert!(!volatile.is_out_of_memory(0));
}

#[test]
fn a_crash_halts_the_store() {
    let store = Store::for_range(7, SHARDS);
    let entry = EntryTerms { stamp_ms: START, limits: TransactionLimits::default() };
    let requests = [Op::Create, Op::Crash, Op::Create].map(|op| Request::new(b"a", op));
    let mut replies = 0;
    assert_eq!(store.apply(&requests, entry, |_| replies += 1), Err(Halted::Crashed));
    assert_eq!(replies, 2, "nothing is executed after it");
    assert_eq!(store.apply(&requests[..1], entry, |_| ()), Err(Halted::Crashed));
    assert_eq!(store.apply_transaction(&[], &requests[..1], entry, |_| ()), Err(Halted::Crashed));
}
