//! A frozen copy reads what the store read at the moment of the freeze, whatever happens afterwards.

use super::*;
use crate::{
    args::{self, Args},
    bucket::Kind,
    commands::spec::Command,
    database::FullName,
    request::{Op, Request},
    store::{keyspace::ScanFilter, records::BucketHead},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, ops::ControlFlow};

/// Some time in 2023.
const START: u64 = 1_700_000_000_000;
const NAMES: usize = 6;

/// A value and its expiry.
type Expiring = (Vec<u8>, Option<u64>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Map { keep: bool, expires_at_ms: Option<u64>, entries: BTreeMap<Vec<u8>, Expiring> },
    Str(Expiring),
}

type Contents = BTreeMap<(Database, Vec<u8>), Held>;

#[derive(Debug, Clone)]
enum Step {
    /// Sets fields of a bucket: the first, their number, and the bytes of each value.
    Fill(usize, u32, u32, usize),
    /// Deletes fields of a bucket: the first, and their number.
    Empty(usize, u32, u32),
    Set(usize, usize),
    Append(usize, usize),
    Keep(usize),
    Drop(usize),
    Expire(usize, u64),
    ExpireFields(usize, u32, u64),
    Rename(usize, usize),
    Copy(usize, usize),
    Move(usize),
    Flush(Option<u8>),
    Compact,
    Later(u64),
    Freeze,
    Read(usize),
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES;
    let length = || {
        prop_oneof![0..60_usize, 400..600_usize, 4_000..33_000_usize, Just(40_000_usize), Just(300_000_usize)]
    };
    prop_oneof![
        6 => (name(), 0..4_000_u32, 1..1_500_u32, 0..60_usize)
            .prop_map(|(name, first, count, length)| Step::Fill(name, first, count, length)),
        2 => (name(), 0..4_000_u32, 1..20_u32, length())
            .prop_map(|(name, first, count, length)| Step::Fill(name, first, count, length)),
        4 => (name(), 0..4_000_u32, 1..3_000_u32)
            .prop_map(|(name, first, count)| Step::Empty(name, first, count)),
        2 => (name(), length()).prop_map(|(name, length)| Step::Set(name, length)),
        2 => (name(), length()).prop_map(|(name, length)| Step::Append(name, length)),
        1 => name().prop_map(Step::Keep),
        2 => name().prop_map(Step::Drop),
        1 => (name(), 1..5_000_u64).prop_map(|(name, ms)| Step::Expire(name, ms)),
        2 => (name(), 0..4_000_u32, 1..5_000_u64)
            .prop_map(|(name, first, ms)| Step::ExpireFields(name, first, ms)),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (name(), name()).prop_map(|(from, to)| Step::Copy(from, to)),
        1 => name().prop_map(Step::Move),
        1 => prop::option::of(0..2_u8).prop_map(Step::Flush),
        1 => Just(Step::Compact),
        2 => (1..3_000_u64).prop_map(Step::Later),
        3 => Just(Step::Freeze),
        4 => (0..20_usize).prop_map(Step::Read),
        2 => Just(Step::Finish),
    ]
}

/// A frozen copy that is being read.
struct Reading {
    frozen: FrozenStore,
    frozen_ms: u64,
    expected: Contents,
    contents: Contents,
    /// The map whose entries are being read.
    open: Option<(Database, Vec<u8>)>,
}

/// A store, and its frozen copy.
struct Session {
    store: Arc<Store>,
    budget: Arc<FreezeBudget>,
    now_ms: u64,
    reading: Option<Reading>,
}

fn name(index: usize) -> Vec<u8> {
    format!("name{index}").into_bytes()
}

fn fields(first: u32, count: u32) -> Vec<Vec<u8>> {
    (first..first + count).map(|field| field.to_string().into_bytes()).collect()
}

impl Session {
    fn new(threads: usize) -> Session {
        let (store, budget) = (Arc::new(Store::for_threads(threads)), Arc::default());
        Session { store, budget, now_ms: START, reading: None }
    }

    fn execute(&self, bucket: usize, op: Op<'_>) {
        self.store.execute(&[Request::new(&name(bucket), op)], self.now_ms, |_| ControlFlow::Continue(()));
    }

    fn command(&self, command: &str, bucket: usize, words: &[Vec<u8>]) {
        let mut bulks = Vec::new();
        words.iter().for_each(|word| args::push(&mut bulks, word));
        let command = Command::find(command).expect("a command");
        self.execute(bucket, Op::Command { command, args: Args::new(&bulks) });
    }

    fn take(&mut self, step: &Step) {
        let number = |number: u64| number.to_string().into_bytes();
        match *step {
            Step::Fill(bucket, first, count, length) => {
                let value = |field: &Vec<u8>| field.iter().copied().cycle().take(length).collect();
                let pairs = fields(first, count).into_iter().flat_map(|field| [value(&field), field]);
                self.command(
                    "hset",
                    bucket,
                    &pairs.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>(),
                );
            }
            Step::Empty(bucket, first, count) => self.command("hdel", bucket, &fields(first, count)),
            Step::Set(bucket, length) => self.command("set", bucket, &[vec![b's'; length]]),
            Step::Append(bucket, length) => self.command("append", bucket, &[vec![b'a'; length]]),
            Step::Keep(bucket) => self.execute(bucket, Op::Create),
            Step::Drop(bucket) => self.execute(bucket, Op::Drop),
            Step::Expire(bucket, ms) => self.command("pexpire", bucket, &[number(ms)]),
            Step::ExpireFields(bucket, first, ms) => {
                let words = [number(ms), b"FIELDS".into(), b"3".into()].into_iter();
                self.command("hpexpire", bucket, &words.chain(fields(first, 3)).collect::<Vec<_>>());
            }
            Step::Rename(from, to) => self.command("rename", from, &[name(to)]),
            Step::Copy(from, to) => self.command("copy", from, &[name(to), b"REPLACE".into()]),
            Step::Move(bucket) => self.command("move", bucket, &[b"1".into()]),
            Step::Flush(database) => {
                drop(self.store.flush(database.and_then(|index| Database::new(index.into()))));
            }
            Step::Compact => (0..self.store.shards.len()).for_each(|index| {
                let mut shard = self.store.lock(index);
                while shard.compact_some(true) {}
            }),
            Step::Later(ms) => {
                self.now_ms += ms;
                self.sweep();
            }
            Step::Freeze => self.freeze(),
            Step::Read(steps) => {
                for _ in 0..steps {
                    self.read();
                }
            }
            Step::Finish => self.finish(),
        }
    }

    fn sweep(&self) {
        for index in 0..self.store.shards.len() {
            while self.store.sweep_shard(index, self.now_ms) {}
        }
    }

    fn freeze(&mut self) {
        match self.store.freeze(&self.budget) {
            Ok(frozen) => {
                assert!(self.reading.is_none());
                let (expected, contents) = (live_contents(&self.store, self.now_ms), Contents::new());
                self.reading =
                    Some(Reading { frozen, frozen_ms: self.now_ms, expected, contents, open: None });
            }
            Err(AlreadyFrozen) => assert!(self.reading.is_some()),
        }
    }

    fn read(&mut self) -> bool {
        let Some(Reading { frozen, contents, open, .. }) = &mut self.reading else { return false };
        frozen.read(|record| add(contents, open, record)).expect("not given up")
    }

    fn finish(&mut self) {
        while self.read() {}
        if let Some(Reading { frozen, frozen_ms, expected, contents, .. }) = self.reading.take() {
            drop(frozen);
            // What is left of removed tables keeps its lines.
            self.sweep();
            assert_eq!(self.budget.kept(), 0);
            assert!(visible(contents, frozen_ms) == expected, "the frozen copy differs");
        }
    }
}

fn add(contents: &mut Contents, open: &mut Option<(Database, Vec<u8>)>, record: Record<'_>) {
    let key = |FullName { database, name }: FullName<'_>| (database, name.to_vec());
    let (key, held) = match record {
        Record::Map { full, keep_when_empty: keep, expires_at_ms } => {
            *open = Some(key(full));
            (key(full), Held::Map { keep, expires_at_ms, entries: BTreeMap::new() })
        }
        Record::Str { full, value, expires_at_ms, .. } => {
            (key(full), Held::Str((value.to_bytes().into_owned(), expires_at_ms)))
        }
        Record::Entry { key, value, expires_at_ms } => {
            let map = open.as_ref().and_then(|open| contents.get_mut(open));
            let Some(Held::Map { entries, .. }) = map else { panic!("an entry without a map") };
            let before = entries.insert(key.to_vec(), (value.to_bytes().into_owned(), expires_at_ms));
            assert_eq!(before, None, "an entry is read once");
            return;
        }
    };
    assert!(contents.insert(key, held).is_none(), "a bucket is read once");
}

/// Without what has expired.
fn visible(contents: Contents, now_ms: u64) -> Contents {
    let is_live =
        |expires_at_ms: Option<u64>| expires_at_ms.is_none_or(|expires_at_ms| expires_at_ms > now_ms);
    let live = contents.into_iter().filter_map(|(key, held)| match held {
        Held::Str((_, expires_at_ms)) => is_live(expires_at_ms).then_some((key, held)),
        Held::Map { keep, expires_at_ms, mut entries } => {
            entries.retain(|_, (_, expires_at_ms)| is_live(*expires_at_ms));
            let exists = is_live(expires_at_ms) && (keep || !entries.is_empty());
            exists.then_some((key, Held::Map { keep, expires_at_ms, entries }))
        }
    });
    live.collect()
}

/// What the store reads now.
fn live_contents(store: &Store, now_ms: u64) -> Contents {
    let mut contents = Contents::new();
    for database in Database::all() {
        let (mut names, mut cursor) = (Vec::new(), 0);
        loop {
            let filter = ScanFilter { database, ..ScanFilter::default() };
            let page = store.scan(cursor, &filter, now_ms);
            names.extend(page.names);
            cursor = page.next;
            if cursor == 0 {
                break;
            }
        }
        for name in names {
            contents.extend(live_bucket(store, FullName { database, name: &name }, now_ms));
        }
    }
    contents
}

fn live_bucket(store: &Store, full: FullName<'_>, now_ms: u64) -> Option<((Database, Vec<u8>), Held)> {
    let (mut cursor, mut entries) = (0, BTreeMap::new());
    loop {
        let page = store.bucket_page(full, cursor, now_ms)?;
        let BucketHead { kind, keep_when_empty: keep, expires_at_ms } = page.head;
        entries.extend(
            page.entries
                .into_iter()
                .map(|entry| (entry.key.into(), (entry.value.into(), entry.expires_at_ms))),
        );
        cursor = page.next;
        if cursor == 0 {
            let held = match kind {
                Kind::Map => Held::Map { keep, expires_at_ms, entries },
                Kind::Str => Held::Str((entries.remove(&[][..])?.0, expires_at_ms)),
            };
            return Some(((full.database, full.name.to_vec()), held));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_frozen_copy_reads_what_the_store_read(
        steps in prop::collection::vec(step(), 1..60), threads in 1..3_usize,
    ) {
        let mut session = Session::new(threads);
        for step in steps {
            session.take(&step);
        }
        session.finish();
        session.freeze();
        session.finish();
    }
}

#[test]
fn a_copy_that_keeps_too_much_is_given_up_and_its_memory_is_freed() {
    let mut session = Session::new(1);
    session.budget.set_memory_limit(Some(600_000));
    session.take(&Step::Fill(0, 0, 100, 10));
    session.take(&Step::Set(1, 50));
    session.freeze();
    session.take(&Step::Set(1, 60));
    let kept = session.budget.kept();
    assert!((1_000..300_000).contains(&kept), "{kept}");
    for first in 0..20 {
        session.take(&Step::Fill(0, first * 1_000, 1_000, 40));
    }
    session.take(&Step::Flush(None));
    let Some(mut reading) = session.reading.take() else { panic!("there is a copy") };
    assert_eq!(reading.frozen.read(|_| {}), Err(GivenUp));
    // Its reader does not have to do anything for that.
    session.take(&Step::Later(1));
    drop(reading);
    assert_eq!(session.budget.kept(), 0);
    session.freeze();
    session.finish();
}

#[test]
fn a_copy_that_was_given_up_and_is_still_read_does_not_hold_the_next_one_up() {
    let mut session = Session::new(2);
    session.take(&Step::Fill(0, 0, 1_000, 10));
    session.freeze();
    session.take(&Step::Fill(0, 0, 1_000, 20));
    session.store.end_freeze();
    let Some(mut slow) = session.reading.take() else { panic!("there is a copy") };
    session.freeze();
    session.take(&Step::Fill(0, 500, 1_000, 30));
    assert_eq!(slow.frozen.read(|_| {}), Err(GivenUp));
    drop(slow);
    session.take(&Step::Set(1, 50));
    session.finish();
}

#[test]
fn a_restart_gives_the_copy_up() {
    let mut session = Session::new(2);
    session.take(&Step::Fill(0, 0, 100, 10));
    session.freeze();
    session.store.restart();
    let Some(mut reading) = session.reading.take() else { panic!("there is a copy") };
    assert_eq!(reading.frozen.read(|_| {}), Err(GivenUp));
}
