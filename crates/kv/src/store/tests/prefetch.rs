//! What is asked for before it is needed.

use super::*;
use crate::{
    args::{Args, push},
    commands::spec::Command,
};

/// How many times something is asked for, for a request of this bucket and perhaps a field of it.
fn steps(store: &Store, bucket: &str, field: Option<&str>) -> usize {
    let command = Command::find(if field.is_some() { "hget" } else { "get" }).expect("a command");
    let mut bulks = Vec::new();
    field.into_iter().for_each(|field| push(&mut bulks, field.as_bytes()));
    let request = Request { bucket: bucket.as_bytes(), op: Op::Command { command, args: Args::new(&bulks) } };
    let mut prefetch = store.prefetch(&request);
    std::iter::from_fn(|| store.prefetch_step(&request, &mut prefetch).then_some(())).count()
}

#[test]
fn every_step_of_a_look_up_is_asked_for_once() {
    let store = Store::with_fixed_seed(1);
    assert_eq!(steps(&store, "big", Some("key1")), 0, "there is nothing yet");
    ask(&store, "big", Op::Create);
    for number in 0..1_000 {
        ask(&store, "big", put(format!("key{number}").as_bytes(), b"1"));
    }
    assert_eq!(
        steps(&store, "big", Some("key1")),
        2,
        "the bucket was just found: a line of its table, an entry"
    );
    ask(&store, "small", Op::Create);
    assert_eq!(steps(&store, "big", Some("key1")), 4, "a line of the names, the bucket, and then as before");
    assert_eq!(steps(&store, "big", None), 0, "it was just found, and no field of it is wanted");
    ask(&store, "small", put(b"key", b"1"));
    assert_eq!(steps(&store, "small", Some("key")), 0, "its entries stand where it does");
    assert_eq!(steps(&store, "big", None), 2, "a line of the names, and the bucket");
    assert_eq!(steps(&store, "none", None), 1, "a line of the names says that it is not there");
}
