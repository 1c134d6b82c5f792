//! Tests of the prefetch for a single request.

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
};

/// The number of prefetch steps of a request for this bucket and, if given, a field of it.
fn steps(store: &Store, bucket: &str, field: Option<&str>) -> usize {
    let command = Command::find(if field.is_some() { "hget" } else { "get" }).expect("a command");
    let mut bulks = Vec::new();
    field.into_iter().for_each(|field| args::push(&mut bulks, field.as_bytes()));
    let request = Request::new(bucket.as_bytes(), Op::Command { command, args: Args::new(&bulks) });
    let mut prefetch = store.prefetch(&request);
    std::iter::from_fn(|| store.prefetch_step(&request, &mut prefetch).then_some(())).count()
}

#[test]
fn every_access_of_a_lookup_is_prefetched_once() {
    let store = Store::with_fixed_seed(1);
    assert_eq!(steps(&store, "big", Some("key1")), 0, "the store is empty");
    execute(&store, "big", Op::Create);
    for number in 0..1_000 {
        execute(&store, "big", put(format!("key{number}").as_bytes(), b"1"));
    }
    assert_eq!(
        steps(&store, "big", Some("key1")),
        2,
        "the bucket was just found: a line of its table, an entry"
    );
    execute(&store, "small", Op::Create);
    assert_eq!(
        steps(&store, "big", Some("key1")),
        4,
        "a line of the names, the bucket, and the two as before"
    );
    assert_eq!(steps(&store, "big", None), 0, "it was just found, and no field of it is looked up");
    execute(&store, "small", put(b"key", b"1"));
    assert_eq!(steps(&store, "small", Some("key")), 0, "its entries are in its block");
    assert_eq!(steps(&store, "big", None), 2, "a line of the names, and the bucket");
    assert_eq!(steps(&store, "none", None), 1, "a line of the names, which does not have it");
}
