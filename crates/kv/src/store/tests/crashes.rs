//! A panic ends the buckets that the command worked on, frees all their memory, and affects no other bucket.

use super::*;
use crate::{
    args::{Args, push},
    commands::COMMANDS,
    pubsub::bucket_changes::Subscription,
    shard::watch::Watcher,
    tests::failpoint,
};
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio_stream::Stream;

/// The arguments of a command, from the first word after the bucket's name.
fn bulks(words: &[&str]) -> Vec<u8> {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| push(&mut bulks, word.as_bytes()));
    bulks
}

fn request<'a>(name: &str, bucket: &'a str, bulks: &'a [u8]) -> Request<'a> {
    let command = COMMANDS.iter().find(|command| command.spec.name == name).expect("a command");
    Request::new(bucket.as_bytes(), Op::Command { command, args: Args::new(bulks) })
}

/// Executes a line such as `rename from to`. Returns the reply in its `Debug` form.
fn run(store: &Store, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (bulks, mut shown) = (bulks(&words[2..]), String::new());
    store.execute(&[request(words[0], words[1], &bulks)], 0, |reply| {
        shown = format!("{reply:?}");
        ControlFlow::Continue(())
    });
    shown
}

const WATCHER: Watcher = Watcher { link: 0, connection: 1 };

fn watch(store: &Store, bucket: &str) -> (Vec<u8>, u64) {
    let mut version = 0;
    store.execute(&[Request::new(bucket.as_bytes(), Op::Watch { watcher: WATCHER })], 0, |reply| {
        let Reply::Number(number) = reply else { panic!("{reply:?}") };
        version = number as u64;
        ControlFlow::Continue(())
    });
    (bucket.into(), version)
}

fn is_unchanged(store: &Store, (bucket, version): &(Vec<u8>, u64)) -> bool {
    store.transact(&[(FullName::new(bucket), *version)], &[], TransactionPreparation::default(), 0, |_| {})
        == Ok(true)
}

fn next_change(changes: &mut Subscription) -> Option<Change> {
    match Pin::new(changes).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => event.map(|event| event.change.clone()),
        Poll::Pending => None,
    }
}

/// Bytes in use after all garbage is freed.
fn used_bytes(store: &Store) -> u64 {
    for index in 0..store.shards.len() {
        while store.sweep_shard(index, 0) {}
    }
    store.stats().bytes
}

/// Three names. The second is in the shard of the first if `in_one_shard`, the third in that of the second.
fn names(store: &Store, in_one_shard: bool) -> [String; 3] {
    let shard = |name: &str| store.shard_index(Database::ZERO, store.hasher.hash_one(name.as_bytes()));
    let from = "from".to_owned();
    let mut candidates = (0..).map(|number| format!("name{number}"));
    let to = candidates.find(|name| (shard(name) == shard(&from)) == in_one_shard).expect("endless");
    let bystander = candidates.find(|name| shard(name) == shard(&to)).expect("endless");
    [from, to, bystander]
}

/// A map of 1,000 fields, some of which expire.
fn fill(store: &Store, bucket: &str) {
    for field in 0..1_000 {
        run(store, &format!("hset {bucket} field{field} value"));
        if field % 10 == 0 {
            run(store, &format!("hpexpire {bucket} {} FIELDS 1 field{field}", 1_000 + field));
        }
    }
}

/// The buckets that exist before a command crashes.
#[derive(Debug, Clone, Copy)]
struct Case {
    in_one_shard: bool,
    /// Whether the bucket `from` holds 1,000 fields instead of a string.
    is_large: bool,
    target_exists: bool,
}

/// Makes a command on `from` and `to` panic at a failpoint, and checks the store afterwards.
fn crash(line: impl Fn(&str, &str) -> String, case: Case, failpoint: (&'static str, usize)) {
    let store = Store::with_fixed_seed(2);
    let [from, to, bystander] = &names(&store, case.in_one_shard);
    let prepare = || {
        match case.is_large {
            true => fill(&store, from),
            false => drop(run(&store, &format!("set {from} value"))),
        }
        if case.target_exists {
            fill(&store, to);
        }
    };
    run(&store, &format!("set {bystander} stays"));
    prepare();
    let named = store.stats().buckets() - 1;
    [from, to].into_iter().for_each(|name| drop(run(&store, &format!("del {name}"))));
    let bytes_before = used_bytes(&store);
    prepare();

    let mut changes: Vec<_> =
        [from, to, bystander].map(|name| store.subscribe(name.as_bytes(), &Backlog::unlimited())).into();
    let (watched, undisturbed) = ([watch(&store, from), watch(&store, to)], watch(&store, bystander));
    failpoint::arm(failpoint.0, failpoint.1);
    assert_eq!(run(&store, &line(from, to)), "Crashed", "{case:?} {failpoint:?}");

    assert_eq!(run(&store, &format!("get {bystander}")), format!("Value({:?})", b"stays"));
    assert_eq!(store.stats().buckets(), 1, "{case:?} {failpoint:?}");
    assert!(!watched.iter().any(|watched| is_unchanged(&store, watched)));
    assert!(is_unchanged(&store, &undisturbed));
    store.unwatch_link(WATCHER.link);
    assert!((1..=2).contains(&store.stats().crashed), "{case:?} {failpoint:?}");
    assert_eq!(used_bytes(&store), bytes_before, "{case:?} {failpoint:?}");
    for changes in changes[..2].iter_mut().flatten() {
        assert_eq!(next_change(changes), Some(Change::Ended(EndReason::Crashed)), "{case:?} {failpoint:?}");
    }
    let of_bystander = changes[2].as_mut().expect("it exists");
    assert_eq!(next_change(of_bystander), None);
    prepare();
    assert_eq!(store.stats().buckets(), 1 + named, "the names are free again");
}

fn cases() -> impl Iterator<Item = Case> {
    (0..8).map(|bits| Case {
        in_one_shard: bits & 1 == 0,
        is_large: bits & 2 != 0,
        target_exists: bits & 4 != 0,
    })
}

#[test]
fn a_panic_in_rename_ends_both_buckets_and_no_other() {
    for case in cases() {
        let line = |from: &str, to: &str| format!("rename {from} {to}");
        crash(line, case, ("replace", 1));
        if case.is_large && !case.in_one_shard {
            crash(line, case, ("drain_into", 500));
        }
    }
}

#[test]
fn a_panic_in_copy_ends_both_buckets_and_no_other() {
    for case in cases().filter(|case| case.is_large) {
        let line = |from: &str, to: &str| format!("copy {from} {to} REPLACE");
        crash(line, case, ("replace", 1));
        crash(line, case, ("copy_entries", 500));
    }
}

#[test]
fn a_panic_in_msetnx_ends_its_buckets_and_no_other() {
    for in_one_shard in [true, false] {
        let store = Store::with_fixed_seed(2);
        let [from, to, bystander] = &names(&store, in_one_shard);
        run(&store, &format!("set {bystander} stays"));
        let line = format!("msetnx {from} 1 {to} 2");
        failpoint::arm("registered", 2);
        assert_eq!(run(&store, &line), "Crashed");
        assert_eq!((store.stats().buckets(), store.stats().crashed), (1, 2));
        assert_eq!(run(&store, &format!("get {bystander}")), format!("Value({:?})", b"stays"));
        assert_eq!(run(&store, &line), "Number(1)");
    }
}

#[test]
fn a_panic_in_a_transaction_leaves_its_other_commands_alone() {
    for store in [Store::with_fixed_seed(1), Store::with_fixed_seed(2)] {
        run(&store, "set from value");
        let (one, to) = (bulks(&["1"]), bulks(&["to"]));
        let batch = [
            request("set", "before", &one),
            request("rename", "from", &to),
            request("set", "after", &one),
            request("get", "before", b""),
        ];
        let mut replies = Vec::new();
        failpoint::arm("replace", 1);
        assert_eq!(
            store.transact(&[], &batch, TransactionPreparation::default(), 0, |reply| replies
                .push(format!("{reply:?}"))),
            Ok(true)
        );
        assert_eq!(
            replies,
            ["Done".to_owned(), "Crashed".into(), "Done".into(), format!("Value({:?})", b"1")]
        );
        assert_eq!(store.stats().buckets(), 2);
    }
}

#[test]
fn a_panic_while_a_bucket_is_created_leaves_nothing_of_it() {
    let store = Store::with_fixed_seed(1);
    run(&store, "set other stays");
    for line in ["set new value", "hset new field value", "append new value"] {
        failpoint::arm("registered", 1);
        assert_eq!(run(&store, line), "Crashed");
        assert_eq!(
            (run(&store, "exists new"), run(&store, "exists other")),
            ("Number(0)".into(), "Number(1)".into())
        );
    }
}

#[test]
fn a_panic_while_a_bucket_is_watched_ends_it_alone() {
    let store = Store::with_fixed_seed(1);
    for name in ["other", "watched"] {
        run(&store, &format!("set {name} value"));
    }
    let (other, watched) = (watch(&store, "other"), watch(&store, "watched"));
    failpoint::arm("opened", 1);
    assert_eq!(run(&store, "get watched"), "Crashed");
    let unchanged = [&watched, &other].map(|watched| is_unchanged(&store, watched));
    assert_eq!((run(&store, "exists watched"), unchanged), ("Number(0)".into(), [false, true]));
    failpoint::arm("opened", 1);
    store.execute(&[Request::new(b"other", Op::Watch { watcher: WATCHER })], 0, |reply| {
        assert_eq!(reply, Reply::Crashed);
        ControlFlow::Continue(())
    });
    assert!(!is_unchanged(&store, &other));
}

#[test]
fn a_panic_of_the_sweeper_ends_the_bucket_that_it_was_at() {
    let store = Store::with_fixed_seed(1);
    run(&store, "set other stays");
    fill(&store, "expiring");
    failpoint::arm("delete_expired", 2);
    assert!(!store.sweep_shard(0, 10_000));
    assert_eq!((store.stats().buckets(), store.stats().crashed), (1, 1));
    assert_eq!(run(&store, "exists other"), "Number(1)");
}
