//! Memory statistics, and the requests that are refused when the limit is reached.

use kv::{Args, Command, CommandError, Op, Reply, Request, Store, TransactionPreparation, args};
use std::ops::ControlFlow::Continue;

const VALUE: &[u8] = &[b'v'; 100];

/// Whether a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Fine,
    OutOfMemory,
}

fn outcome(reply: &Reply<'_>) -> Outcome {
    match reply {
        Reply::Error(CommandError::OutOfMemory) => Outcome::OutOfMemory,
        Reply::Error(error) => panic!("{error}"),
        _ => Outcome::Fine,
    }
}

fn execute(store: &Store, bucket: &str, op: Op<'_>) -> Outcome {
    let mut result = Outcome::Fine;
    store.execute(&[Request::new(bucket.as_bytes(), op)], 0, |reply| {
        result = outcome(&reply);
        Continue(())
    });
    result
}

fn put(store: &Store, number: usize) -> Outcome {
    execute(store, "b", Op::Put { key: number.to_string().as_bytes(), value: VALUE })
}

fn delete(store: &Store, number: usize) -> Outcome {
    execute(store, "b", Op::Delete { key: number.to_string().as_bytes() })
}

fn command(store: &Store, name: &str, bucket: &str, words: &[&str]) -> Outcome {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
    let command = Command::find(&name.to_lowercase()).expect("a command");
    execute(store, bucket, Op::Command { command, args: Args::new(&bulks) })
}

/// A store whose bucket `b` is filled up to the limit, and the number of its entries.
fn full(limit: usize) -> (Store, usize) {
    let store = Store::new();
    store.set_memory_limit(Some(limit));
    assert_eq!(execute(&store, "b", Op::Create), Outcome::Fine);
    let held = (0..).take_while(|number| put(&store, *number) == Outcome::Fine).count();
    (store, held)
}

#[test]
fn a_store_that_is_full_refuses_what_takes_memory_and_nothing_else() {
    let (store, held) = full(1 << 20);
    assert!(held > (1 << 20) / 150, "{held} entries of about 110 bytes");
    assert!(store.stats().bytes > 1 << 20, "the last one was allowed");
    assert_eq!(execute(&store, "c", Op::Create), Outcome::OutOfMemory);
    for (name, words) in [("set", &["1"][..]), ("append", &["1"]), ("hset", &["f", "1"]), ("msetnx", &["1"])]
    {
        assert_eq!(command(&store, name, "c", words), Outcome::OutOfMemory, "{name}");
    }
    for (name, words) in [("get", &[][..]), ("exists", &[]), ("hget", &["f"]), ("persist", &[]), ("del", &[])]
    {
        assert_eq!(command(&store, name, "c", words), Outcome::Fine, "{name}");
    }
    assert_eq!(store.stats().buckets(), 1, "what is refused changes nothing");
    assert_eq!(execute(&store, "b", Op::Get { key: b"0" }), Outcome::Fine);
    assert_eq!(delete(&store, 0), Outcome::Fine);
    assert_eq!(delete(&store, 1), Outcome::Fine);
    assert_eq!(put(&store, 0), Outcome::Fine, "there is room again");
}

#[test]
fn the_limit_counts_within_a_batch() {
    let store = Store::new();
    store.set_memory_limit(Some(4096));
    let keys: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let mut batch = vec![Request::new(b"b", Op::Create)];
    batch.extend(keys.iter().map(|key| Request::new(b"b", Op::Put { key: key.as_bytes(), value: VALUE })));
    let mut outcomes = Vec::new();
    store.execute(&batch, 0, |reply| {
        outcomes.push(outcome(&reply));
        Continue(())
    });
    let fine = outcomes.iter().filter(|outcome| **outcome == Outcome::Fine).count();
    assert!((10..50).contains(&fine), "{fine}");
    assert_eq!(outcomes[fine], Outcome::OutOfMemory);
}

#[test]
fn a_transaction_that_finds_no_room_does_nothing() {
    let (store, _) = full(1 << 16);
    let batch = [Request::new(b"b", Op::Drop), Request::new(b"b", Op::Put { key: b"k", value: VALUE })];
    let refused =
        store.transact(&[], &batch, TransactionPreparation::default(), 0, |_| panic!("nothing is executed"));
    assert_eq!((refused, store.bucket_counts()[0]), (Err(CommandError::OutOfMemory), 1));
}

#[test]
fn a_transaction_that_has_begun_is_not_refused_in_the_middle() {
    let store = Store::new();
    store.set_memory_limit(Some(1 << 16));
    let value = vec![b'v'; 1 << 16];
    let puts = ["1", "2", "3"].map(|key| Op::Put { key: key.as_bytes(), value: &value });
    let batch: Vec<Request<'_>> =
        [Op::Create].into_iter().chain(puts).map(|op| Request::new(b"b", op)).collect();
    let mut outcomes = Vec::new();
    assert_eq!(
        store.transact(&[], &batch, TransactionPreparation::default(), 0, |reply| outcomes
            .push(outcome(&reply))),
        Ok(true)
    );
    assert_eq!(outcomes, [Outcome::Fine; 4]);
    assert_eq!(
        store.transact(&[], &batch, TransactionPreparation::default(), 0, |_| {}),
        Err(CommandError::OutOfMemory)
    );
}

#[test]
fn what_ends_makes_room_however_it_ends() {
    let (store, _) = full(1 << 20);
    drop(store.flush(None));
    assert!(store.stats().bytes < 20_000, "hardly anything is held without a bucket");
    assert_eq!(execute(&store, "b", Op::Create), Outcome::Fine);
    while put(&store, usize::try_from(store.stats().bytes).expect("a small store")) == Outcome::Fine {}
    assert_eq!(execute(&store, "b", Op::Drop), Outcome::Fine);
    // Each batch frees a part of the bucket's entries.
    let again = (0..10_000).find(|_| execute(&store, "b", Op::Create) == Outcome::Fine);
    assert!(again.is_some(), "there is room again");
    store.set_memory_limit(None);
    assert_eq!(store.memory_limit(), None);
    assert!((0..20_000).all(|number| put(&store, number) == Outcome::Fine));
}

#[test]
fn what_is_deleted_leaves_no_tables() {
    let store = Store::new();
    let (many, large) = (0..30_000, 0..1_000);
    let fields: Vec<String> = (0..100).map(|field| field.to_string()).collect();
    let pairs: Vec<&str> = fields.iter().flat_map(|field| [field.as_str(), "value"]).collect();
    many.clone().for_each(|name| {
        assert_eq!(command(&store, "set", &format!("string{name}"), &["value"]), Outcome::Fine)
    });
    assert_eq!(execute(&store, "b", Op::Create), Outcome::Fine);
    many.clone().for_each(|name| assert_eq!(put(&store, name), Outcome::Fine));
    large
        .clone()
        .for_each(|name| assert_eq!(command(&store, "hset", &format!("hash{name}"), &pairs), Outcome::Fine));
    assert!(store.stats().bytes > 5_000_000, "{:?}", store.stats());
    large.for_each(|name| assert_eq!(command(&store, "del", &format!("hash{name}"), &[]), Outcome::Fine));
    many.clone().for_each(|name| assert_eq!(delete(&store, name), Outcome::Fine));
    many.clone()
        .for_each(|name| assert_eq!(command(&store, "del", &format!("string{name}"), &[]), Outcome::Fine));
    assert_eq!(execute(&store, "b", Op::Drop), Outcome::Fine);
    // Each batch frees a part of what has ended.
    many.for_each(|name| assert_eq!(command(&store, "get", &format!("string{name}"), &[]), Outcome::Fine));
    assert_eq!(store.stats().buckets(), 0);
    assert!(store.stats().bytes < 20_000, "{:?}", store.stats());
}

#[test]
fn what_every_second_entry_leaves_is_reported_and_used_again() {
    let store = Store::new();
    execute(&store, "b", Op::Create);
    (0..20_000).for_each(|number| assert_eq!(put(&store, number), Outcome::Fine));
    let before = store.stats();
    (0..20_000).step_by(2).for_each(|number| assert_eq!(delete(&store, number), Outcome::Fine));
    let after = store.stats();
    assert!(after.free - before.free > 10_000 * 100, "{after:?}");
    assert_eq!(after.bytes + after.free, before.bytes + before.free, "the sum is what is held");
    (20_000..30_000).for_each(|number| assert_eq!(put(&store, number), Outcome::Fine));
    let refilled = store.stats();
    assert!(refilled.bytes + refilled.free < before.bytes + before.free + 100_000, "{refilled:?}");
}
