//! The hot path does not allocate, according to an allocator that counts per thread.

use allocation_counter::measure;
use kv::{Args, Command, Op, Request, Store, args};
use std::{hint::black_box, ops::ControlFlow::Continue};

const ENTRIES: usize = 10_000;
const VALUE: [u8; 32] = [b'v'; 32];

fn keys() -> Vec<String> {
    (0..ENTRIES).map(|number| format!("key{number:08}")).collect()
}

fn command<'a>(bucket: &'a str, name: &str, args: &'a [u8]) -> Request<'a> {
    let command = Command::find(&name.to_lowercase()).expect("a command");
    Request::new(bucket.as_bytes(), Op::Command { command, args: Args::new(args) })
}

fn bulks(words: &[&[u8]]) -> Vec<u8> {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| args::push(&mut bulks, word));
    bulks
}

/// Executes the requests in batches of 64. Returns the number of allocations.
fn allocations_of(store: &Store, requests: &[Request<'_>]) -> u64 {
    let execute = || {
        for batch in requests.chunks(64) {
            store.execute(batch, 0, |reply| {
                black_box(reply);
                Continue(())
            });
        }
    };
    measure(execute).count_total
}

#[test]
fn reads_and_rewrites_of_a_bucket_allocate_nothing() {
    let (store, keys) = (Store::new(), keys());
    store.execute(&[Request::new(b"b", Op::Create)], 0, |_| Continue(()));
    let execute = |op: fn(&str) -> Op<'_>| {
        let requests: Vec<_> = keys.iter().map(|key| Request::new(b"b", op(key))).collect();
        allocations_of(&store, &requests)
    };
    fn put(key: &str) -> Op<'_> {
        Op::Put { key: key.as_bytes(), value: &VALUE }
    }
    assert!(execute(put) > 0, "a bucket that grows allocates");
    assert_eq!(execute(put), 0);
    assert_eq!(execute(|key| Op::Get { key: key.as_bytes() }), 0);
}

#[test]
fn reads_and_rewrites_of_strings_allocate_nothing() {
    let (store, keys) = (Store::new(), keys());
    let execute = |name, args: &[u8]| {
        let requests: Vec<_> = keys.iter().map(|key| command(key, name, args)).collect();
        allocations_of(&store, &requests)
    };
    let value = bulks(&[&VALUE]);
    assert!(execute("set", &value) > 0, "a store that grows allocates");
    assert_eq!(execute("set", &value), 0);
    assert_eq!(execute("get", b""), 0);
}

#[test]
fn reads_and_rewrites_of_a_hash_allocate_nothing() {
    let (store, keys) = (Store::new(), keys());
    let execute = |name, value: &[&[u8]]| {
        let args: Vec<_> = keys.iter().map(|key| bulks(&[&[key.as_bytes()], value].concat())).collect();
        let requests: Vec<_> = args.iter().map(|args| command("h", name, args)).collect();
        allocations_of(&store, &requests)
    };
    assert!(execute("hset", &[&VALUE]) > 0, "a hash that grows allocates");
    assert_eq!(execute("hset", &[&VALUE]), 0);
    assert_eq!(execute("hget", &[]), 0);
}
