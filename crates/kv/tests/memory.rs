//! What the store says of its memory, and what it refuses when there is no more.

use kv::{Args, Command, CommandError, Op, Reply, Request, Store, args::push};
use std::ops::ControlFlow::Continue;

const VALUE: &[u8] = &[b'v'; 100];

/// What became of a request, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Fine,
    OutOfMemory,
}

fn said(reply: &Reply<'_>) -> Said {
    match reply {
        Reply::Error(CommandError::OutOfMemory) => Said::OutOfMemory,
        Reply::Error(error) => panic!("{error}"),
        _ => Said::Fine,
    }
}

fn ask(store: &Store, bucket: &str, op: Op<'_>) -> Said {
    let mut outcome = Said::Fine;
    store.execute(&[Request { bucket: bucket.as_bytes(), op }], 0, |reply| {
        outcome = said(&reply);
        Continue(())
    });
    outcome
}

fn put(store: &Store, number: usize) -> Said {
    ask(store, "b", Op::Put { key: number.to_string().as_bytes(), value: VALUE })
}

fn delete(store: &Store, number: usize) -> Said {
    ask(store, "b", Op::Delete { key: number.to_string().as_bytes() })
}

fn command(store: &Store, name: &str, bucket: &str, words: &[&str]) -> Said {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| push(&mut bulks, word.as_bytes()));
    let command = Command::find(&name.to_lowercase()).expect("a command");
    ask(store, bucket, Op::Command { command, args: Args::new(&bulks) })
}

/// A store whose bucket `b` holds as much as it may, and how many entries those are.
fn full(limit: usize) -> (Store, usize) {
    let store = Store::new();
    store.set_memory_limit(Some(limit));
    assert_eq!(ask(&store, "b", Op::Create), Said::Fine);
    let held = (0..).take_while(|number| put(&store, *number) == Said::Fine).count();
    (store, held)
}

#[test]
fn a_store_that_is_full_refuses_what_takes_memory_and_nothing_else() {
    let (store, held) = full(1 << 20);
    assert!(held > (1 << 20) / 150, "{held} entries of about 110 bytes");
    assert!(store.stats().bytes > 1 << 20, "the last one was allowed");
    assert_eq!(ask(&store, "c", Op::Create), Said::OutOfMemory);
    for (name, words) in [("set", &["1"][..]), ("append", &["1"]), ("hset", &["f", "1"]), ("msetnx", &["1"])]
    {
        assert_eq!(command(&store, name, "c", words), Said::OutOfMemory, "{name}");
    }
    for (name, words) in [("get", &[][..]), ("exists", &[]), ("hget", &["f"]), ("persist", &[]), ("del", &[])]
    {
        assert_eq!(command(&store, name, "c", words), Said::Fine, "{name}");
    }
    assert_eq!(store.stats().buckets, 1, "what is refused changes nothing");
    assert_eq!(ask(&store, "b", Op::Get { key: b"0" }), Said::Fine);
    assert_eq!(delete(&store, 0), Said::Fine);
    assert_eq!(delete(&store, 1), Said::Fine);
    assert_eq!(put(&store, 0), Said::Fine, "there is room again");
}

#[test]
fn the_limit_counts_within_a_batch() {
    let store = Store::new();
    store.set_memory_limit(Some(4096));
    let keys: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let mut batch = vec![Request { bucket: b"b", op: Op::Create }];
    batch.extend(
        keys.iter().map(|key| Request { bucket: b"b", op: Op::Put { key: key.as_bytes(), value: VALUE } }),
    );
    let mut outcomes = Vec::new();
    store.execute(&batch, 0, |reply| {
        outcomes.push(said(&reply));
        Continue(())
    });
    let fine = outcomes.iter().filter(|outcome| **outcome == Said::Fine).count();
    assert!((10..50).contains(&fine), "{fine}");
    assert_eq!(outcomes[fine], Said::OutOfMemory);
}

#[test]
fn a_transaction_that_finds_no_room_does_nothing() {
    let (store, _) = full(1 << 16);
    let batch = [
        Request { bucket: b"b", op: Op::Drop },
        Request { bucket: b"b", op: Op::Put { key: b"k", value: VALUE } },
    ];
    let mut outcomes = Vec::new();
    assert!(store.transact(&[], &batch, 0, |reply| outcomes.push(said(&reply))));
    assert_eq!(outcomes, [Said::OutOfMemory; 2]);
    assert_eq!(store.bucket_count(), 1);
}

#[test]
fn what_ends_makes_room_however_it_ends() {
    let (store, _) = full(1 << 20);
    drop(store.flush());
    assert!(store.stats().bytes < 1_000, "hardly anything is held without a bucket");
    assert_eq!(ask(&store, "b", Op::Create), Said::Fine);
    while put(&store, usize::try_from(store.stats().bytes).expect("a small store")) == Said::Fine {}
    assert_eq!(ask(&store, "b", Op::Drop), Said::Fine);
    // Each batch frees a part of what the bucket held.
    let again = (0..10_000).find(|_| ask(&store, "b", Op::Create) == Said::Fine);
    assert!(again.is_some(), "there is room again");
    store.set_memory_limit(None);
    assert_eq!(store.memory_limit(), None);
    assert!((0..20_000).all(|number| put(&store, number) == Said::Fine));
}

#[test]
fn what_every_second_entry_leaves_is_reported_and_used_again() {
    let store = Store::new();
    ask(&store, "b", Op::Create);
    (0..20_000).for_each(|number| assert_eq!(put(&store, number), Said::Fine));
    let before = store.stats();
    (0..20_000).step_by(2).for_each(|number| assert_eq!(delete(&store, number), Said::Fine));
    let after = store.stats();
    assert!(after.free - before.free > 10_000 * 100, "{after:?}");
    assert_eq!(after.bytes + after.free, before.bytes + before.free, "the sum is what is held");
    (20_000..30_000).for_each(|number| assert_eq!(put(&store, number), Said::Fine));
    let refilled = store.stats();
    assert!(refilled.bytes + refilled.free < before.bytes + before.free + 100_000, "{refilled:?}");
}
