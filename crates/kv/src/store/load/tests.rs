//! What was read from a frozen copy is loaded again.

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
    memory::freeze::FreezeBudget,
    request::{Op, Request},
};
use std::{ops::ControlFlow, sync::Arc};

const NOW_MS: u64 = 1_000;

fn run(store: &Store, words: &[&str]) {
    let mut bulks = Vec::new();
    words[2..].iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
    let command = Command::find(words[0]).expect("a command");
    let op = Op::Command { command, args: Args::new(&bulks) };
    store.execute(&[Request::new(words[1].as_bytes(), op)], NOW_MS, |_| ControlFlow::Continue(()));
}

/// The buckets of a store, each with its entries in order.
fn contents(store: &Arc<Store>) -> Vec<Vec<String>> {
    let mut frozen = store.freeze(&Arc::new(FreezeBudget::default())).expect("no other copy");
    let mut buckets: Vec<Vec<String>> = Vec::new();
    let mut add = |record: Record<'_>| match record {
        Record::Entry { .. } => buckets.last_mut().expect("a map").push(format!("{record:?}")),
        Record::Map { .. } | Record::Str { .. } => buckets.push(vec![format!("{record:?}")]),
    };
    while frozen.read(&mut add).expect("not given up") {}
    buckets.iter_mut().for_each(|bucket| bucket[1..].sort());
    buckets.sort();
    buckets
}

/// Loads the contents of one store into another.
fn copy(from: &Arc<Store>, to: &Store, now_ms: u64) -> Result<LoadCounts, LoadError> {
    let mut frozen = from.freeze(&Arc::new(FreezeBudget::default())).expect("no other copy");
    let (mut loader, mut loaded) = (Loader::new(to, now_ms), Ok(()));
    while frozen.read(|record| loaded = loaded.clone().and_then(|()| loader.load(record))).expect("a copy") {}
    loaded.map(|()| loader.finish())
}

#[test]
fn a_store_is_loaded_as_it_was() {
    let store = Arc::new(Store::new());
    store.execute(&[Request::new(b"empty", Op::Create)], NOW_MS, |_| ControlFlow::Continue(()));
    for number in 0..2_000_u32 {
        run(&store, &["hset", "large", &number.to_string(), "value"]);
        run(&store, &["set", &format!("string{number}"), "value"]);
    }
    run(&store, &["hset", "small", "milk", "1", "eggs", "3"]);
    run(&store, &["hpexpire", "small", "500", "FIELDS", "1", "eggs"]);
    run(&store, &["pexpire", "small", "900"]);
    run(&store, &["append", "edited", "x"]);
    run(&store, &["incrbyfloat", "fraction", "1.5"]);
    run(&store, &["pexpire", "fraction", "700"]);
    run(&store, &["hset", "short", "milk", "1"]);
    run(&store, &["hpexpire", "short", "100", "FIELDS", "1", "milk"]);

    let loaded = Arc::new(Store::for_threads(1));
    let counts = copy(&store, &loaded, NOW_MS);
    assert_eq!(counts, Ok(LoadCounts { maps: 4, entries: 2_003, strings: 2_002, expired: 0 }));
    assert!(contents(&loaded) == contents(&store));

    let later = Arc::new(Store::new());
    let counts = copy(&store, &later, NOW_MS + 700);
    assert_eq!(counts, Ok(LoadCounts { maps: 3, entries: 2_001, strings: 2_001, expired: 3 }));
    assert_eq!(later.stats().buckets(), 2_004);
}

#[test]
fn a_name_that_exists_and_an_entry_without_a_map_are_refused() {
    let store = Arc::new(Store::new());
    run(&store, &["set", "shopping", "list"]);
    let mut loader = Loader::new(&store, NOW_MS);
    let full = FullName::new(b"shopping");
    let map = Record::Map { full, keep_when_empty: true, expires_at_ms: None };
    assert_eq!(loader.load(map), Err(LoadError::Exists));
    let mut loader = Loader::new(&store, NOW_MS);
    let entry = Record::Entry { key: b"milk", value: RecordValue::Bytes(b"1"), expires_at_ms: None };
    assert_eq!(loader.load(entry), Err(LoadError::NoMap));
}
