//! Tests of the store against a model, and of its supervision.

mod batches;
mod crashes;
mod databases;
mod large;
mod prefetch;

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
    pubsub::bucket_changes::{Change, EndReason},
    reply::Reply,
    request::{Op, Request},
    store::{keyspace::ScanFilter, prepare::TransactionPreparation},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio_stream::StreamExt;

/// A reply that outlives the lock.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Value(Vec<u8>),
    NoKey,
    NoBucket,
    Crashed,
    Restarting,
}

fn outcome(reply: Reply<'_>) -> Outcome {
    match reply {
        Reply::Done => Outcome::Done,
        Reply::Value(value) => Outcome::Value(value.to_vec()),
        Reply::NoKey => Outcome::NoKey,
        Reply::NoBucket => Outcome::NoBucket,
        Reply::Crashed => Outcome::Crashed,
        Reply::Restarting => Outcome::Restarting,
        other => unreachable!("{other:?}"),
    }
}

fn execute_all(store: &Store, batch: &[Request<'_>]) -> Vec<Outcome> {
    let mut replies = Vec::new();
    let done = store.execute(batch, 0, |reply| {
        replies.push(outcome(reply));
        ControlFlow::Continue(())
    });
    assert_eq!(done, batch.len());
    replies
}

fn execute(store: &Store, bucket: &str, op: Op<'_>) -> Outcome {
    execute_all(store, &[Request::new(bucket.as_bytes(), op)]).remove(0)
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
    Op::Put { key, value }
}

fn names(store: &Store) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), 0);
    loop {
        let page = store.scan(cursor, &ScanFilter::default(), 0);
        names.extend(page.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
        cursor = page.next;
        if cursor == 0 {
            names.sort_unstable();
            return names;
        }
    }
}

#[test]
fn a_single_value_is_shown_and_a_bucket_is_described() {
    let store = Store::new();
    let show = || {
        let mut shown = String::new();
        store.execute(&[Request::new(b"shopping", Op::Show)], 1_000, |reply| {
            shown = format!("{reply:?}");
            ControlFlow::Continue(())
        });
        shown
    };
    let run = |name, words: &[&str]| {
        let mut bulks = Vec::new();
        words.iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
        let op = Op::Command { command: Command::find(name).unwrap(), args: Args::new(&bulks) };
        store.execute(&[Request::new(b"shopping", op)], 0, |_| ControlFlow::Continue(()));
    };
    assert_eq!(show(), "NoBucket");
    run("set", &["1"]);
    assert_eq!(show(), format!("{:?}", Reply::Value(b"1")));
    run("del", &[]);
    run("hset", &["milk", "1", "eggs", "3"]);
    assert_eq!(show(), format!("{:?}", Reply::Bucket { fields: 2, ttl_ms: None }));
    run("pexpire", &["1500"]);
    assert_eq!(show(), format!("{:?}", Reply::Bucket { fields: 2, ttl_ms: Some(500) }));
    run("pexpire", &["900"]);
    assert_eq!(show(), "NoBucket");
}

#[test]
fn spawns_buckets() {
    let store = Store::new();
    assert_eq!(execute(&store, "shopping", Op::Get { key: b"milk" }), Outcome::NoBucket);
    assert_eq!(execute(&store, "shopping", Op::Create), Outcome::Done);
    assert_eq!(execute(&store, "shopping", put(b"milk", b"1")), Outcome::Done);
    assert_eq!(execute(&store, "shopping", Op::Create), Outcome::Done);
    assert_eq!(execute(&store, "shopping", Op::Get { key: b"milk" }), Outcome::Value(b"1".to_vec()));
    assert_eq!(execute(&store, "shopping", Op::Get { key: b"eggs" }), Outcome::NoKey);
}

#[test]
fn removes_buckets_on_drop() {
    let store = Store::new();
    execute(&store, "shopping", Op::Create);
    assert_eq!(execute(&store, "shopping", Op::Drop), Outcome::Done);
    assert_eq!(execute(&store, "shopping", Op::Drop), Outcome::NoBucket);
    assert_eq!(store.bucket_counts()[0], 0);
}

#[test]
fn removes_bucket_on_crash_and_no_other() {
    let store = Store::new();
    execute(&store, "shopping", Op::Create);
    execute(&store, "work", Op::Create);
    execute(&store, "work", put(b"k", b"v"));
    let batch = [
        Request::new(b"work", Op::Get { key: b"k" }),
        Request::new(b"shopping", Op::Crash),
        Request::new(b"shopping", Op::Get { key: b"k" }),
        Request::new(b"work", Op::Get { key: b"k" }),
    ];
    let value = || Outcome::Value(b"v".to_vec());
    assert_eq!(execute_all(&store, &batch), [value(), Outcome::Crashed, Outcome::NoBucket, value()]);
    assert_eq!((names(&store), store.stats().crashed), (vec!["work".to_owned()], 1));
}

#[test]
fn a_batch_may_be_broken_off_and_taken_up_again() {
    let store = Store::new();
    let batch = [Request::new(b"a", Op::Create), Request::new(b"b", Op::Create)];
    assert_eq!(store.execute(&batch, 0, |_| ControlFlow::Break(())), 1);
    assert_eq!(names(&store), ["a"]);
}

#[test]
fn a_panic_of_the_caller_is_not_the_buckets() {
    let store = Store::new();
    execute(&store, "shopping", Op::Create);
    let batch = [Request::new(b"shopping", Op::Create)];
    let panicked = catch_unwind(AssertUnwindSafe(|| store.execute(&batch, 0, |_| panic!("caller"))));
    assert!(panicked.is_err());
    assert_eq!(execute(&store, "shopping", Op::Create), Outcome::Done);
    assert_eq!(store.stats().crashed, 0);
}

#[test]
fn pages_name_every_bucket_once() {
    let store = Store::new();
    for number in 0..5_000 {
        execute(&store, &format!("bucket-{number:04}"), Op::Create);
    }
    assert_eq!(names(&store), (0..5_000).map(|n| format!("bucket-{n:04}")).collect::<Vec<_>>());
}

#[test]
fn the_memory_of_a_dropped_bucket_is_used_again() {
    let store = Store::new();
    for _ in 0..50 {
        execute(&store, "b", Op::Create);
        for key in 0..2_000_u32 {
            execute(&store, "b", put(&key.to_le_bytes(), &[0; 100]));
        }
        execute(&store, "b", Op::Drop);
    }
    let shard = store.lock(store.shard_index(Database::ZERO, store.hasher.hash_one(b"b".as_slice())));
    assert!(shard.memory.arena.chunk_count() <= 2);
}

#[tokio::test]
async fn subscribers_are_notified_of_changes_until_the_end() {
    let store = Store::new();
    assert!(store.subscribe(b"shopping", &Backlog::unlimited()).is_none());
    execute(&store, "shopping", Op::Create);
    let mut changes = store.subscribe(b"shopping", &Backlog::unlimited()).expect("the bucket is there");
    execute(&store, "shopping", put(b"milk", b"1"));
    execute(&store, "shopping", Op::Delete { key: b"milk" });
    execute(&store, "shopping", Op::Delete { key: b"milk" });
    execute(&store, "shopping", Op::Drop);
    let mut received = Vec::new();
    while let Some(event) = changes.next().await {
        received.push(event.change.clone());
    }
    let (milk, one): (Box<[u8]>, Box<[u8]>) = ((*b"milk").into(), (*b"1").into());
    assert_eq!(
        received,
        [
            Change::Set { key: milk.clone(), value: one },
            Change::Deleted { key: milk },
            Change::Ended(EndReason::Dropped)
        ]
    );
}

async fn crash_restarts_both(unit: Component) {
    let store = Arc::new(Store::new());
    let running = crate::supervisor(&store, otp::Intensity::default()).start();
    while running.tree(10).children.len() < 2 {
        tokio::task::yield_now().await;
    }
    execute(&store, "shopping", Op::Create);
    store.crash(unit);
    assert_eq!(execute(&store, "shopping", Op::Create), Outcome::Restarting);
    while execute(&store, "work", Op::Create) == Outcome::Restarting {
        tokio::task::yield_now().await;
    }
    assert_eq!(names(&store), ["work"]);
    let restarts: Vec<u32> = running.tree(10).children.iter().map(|child| child.restarts).collect();
    assert_eq!(restarts, [1, 1, 1]);
    running.stop().await;
}

#[tokio::test]
async fn a_crash_of_the_registry_restarts_both_components() {
    crash_restarts_both(Component::Registry).await;
}

#[tokio::test]
async fn a_crash_of_the_bucket_supervisor_restarts_both_components() {
    crash_restarts_both(Component::BucketSupervisor).await;
}

type Model = BTreeMap<u8, BTreeMap<u8, Vec<u8>>>;

fn model_outcome(model: &mut Model, name: u8, key: u8, op: Op<'_>) -> Outcome {
    if op == Op::Create {
        model.entry(name).or_default();
        return Outcome::Done;
    }
    let Some(bucket) = model.get_mut(&name) else { return Outcome::NoBucket };
    match op {
        Op::Put { value, .. } => {
            bucket.insert(key, value.to_vec());
        }
        Op::Get { .. } => {
            return bucket.get(&key).map_or(Outcome::NoKey, |value| Outcome::Value(value.clone()));
        }
        Op::Delete { .. } => {
            bucket.remove(&key);
        }
        _ => {
            model.remove(&name);
        }
    }
    Outcome::Done
}

proptest! {
    #[test]
    fn equals_a_map_of_maps(
        steps in proptest::collection::vec((0..9_u8, 0..40_u8, 0..8_u8, 0..60_usize), 1..600)
    ) {
        let (store, mut model) = (Store::new(), Model::new());
        for (name, key, choice, length) in steps {
            let value = vec![key; length];
            let keys = [key];
            let op = match choice {
                0 => Op::Create,
                1..=3 => Op::Put { key: &keys, value: &value },
                4..=5 => Op::Get { key: &keys },
                6 => Op::Delete { key: &keys },
                _ if length == 0 => Op::Drop,
                _ => Op::Create,
            };
            let expected = model_outcome(&mut model, name, key, op);
            let got = execute_all(&store, &[Request::new(&[name], op)]).remove(0);
            prop_assert_eq!(got, expected);
        }
        prop_assert_eq!(store.bucket_counts()[0], model.len());
    }
}
