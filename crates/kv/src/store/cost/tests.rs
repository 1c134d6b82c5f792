//! Tests of the bound: no transaction that is executed exceeds it, and what is beyond it does nothing.

use super::*;
use crate::{
    args,
    commands::spec::Command,
    limits::NAME_BYTES,
    reply::{OwnedValue, Reply},
    store::{Store, prepare::TransactionPreparation},
    tests::work::touched_by,
};
use proptest::prelude::*;
use std::{hash::BuildHasher, ops::ControlFlow};

/// A command with its name, its key and its other arguments.
struct Queued {
    command: &'static Command,
    key: Vec<u8>,
    bulks: Vec<u8>,
}

impl Queued {
    fn new(words: &[&[u8]]) -> Queued {
        let name = std::str::from_utf8(words[0]).unwrap().to_lowercase();
        let mut bulks = Vec::new();
        words[2..].iter().for_each(|word| args::push(&mut bulks, word));
        Queued { command: Command::find(&name).unwrap(), key: words[1].to_vec(), bulks }
    }

    fn parse(line: &str) -> Queued {
        Queued::new(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn request(&self) -> Request<'_> {
        Request::new(&self.key, Op::Command { command: self.command, args: Args::new(&self.bulks) })
    }
}

/// The bytes of all replies; `None` if the transaction was refused.
fn transact(store: &Store, queued: &[Queued]) -> Option<usize> {
    let requests: Vec<Request<'_>> = queued.iter().map(Queued::request).collect();
    let (mut bytes, mut replies) = (0, 0);
    let executed = store.transact(&[], &requests, TransactionPreparation::default(), 0, |reply| {
        bytes += size(&reply);
        replies += 1;
    });
    match executed {
        Err(CommandError::TransactionTooLarge { .. }) => assert_eq!(replies, 0, "all or none"),
        executed => assert_eq!((executed, replies), (Ok(true), queued.len())),
    }
    (replies > 0).then_some(bytes)
}

fn size(reply: &Reply<'_>) -> usize {
    match reply {
        Reply::Value(value) => value.len(),
        Reply::OwnedValue(OwnedValue::Bytes(value)) => value.len(),
        Reply::OwnedValue(OwnedValue::Large(value)) => value.len(),
        Reply::List(items) | Reply::Map(items) | Reply::PairList(items) | Reply::Page { items, .. } => {
            items.iter().map(size).sum()
        }
        _ => 0,
    }
}

fn execute(store: &Store, line: &[&[u8]]) {
    let queued = Queued::new(line);
    store.execute(&[queued.request()], 0, |reply| {
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        ControlFlow::Continue(())
    });
}

fn command() -> impl Strategy<Value = String> {
    let key = || "[ab]";
    prop_oneof![
        (key(), 0..300_usize).prop_map(|(key, len)| format!("SET {key} {}", "x".repeat(len))),
        (key(), 0..300_usize).prop_map(|(key, len)| format!("APPEND {key} {}", "x".repeat(len))),
        (key(), 0..900_usize).prop_map(|(key, offset)| format!("SETRANGE {key} {offset} x")),
        (key(), -9..900_i64, -9..900_i64).prop_map(|(key, from, to)| format!("GETRANGE {key} {from} {to}")),
        (key(), 0..30_u8, 0..90_usize)
            .prop_map(|(key, field, len)| format!("HSET {key} f{field} {}", "x".repeat(len))),
        (key(), 0..30_u8).prop_map(|(key, field)| format!("HMGET {key} f{field} f1")),
        (key(), -90..90_i64).prop_map(|(key, count)| format!("HRANDFIELD {key} {count} WITHVALUES")),
        (key(), "(GET|GETDEL|HGETALL|HVALS|DEL|INCRBYFLOAT|PERSIST)").prop_map(|(key, name)| match &*name {
            "INCRBYFLOAT" => format!("{name} {key} 1.5"),
            _ => format!("{name} {key}"),
        }),
        (key(), 1..90_u8).prop_map(|(key, count)| format!("HSCAN {key} 0 COUNT {count}")),
        (key(), key(), "(COPY|RENAME)").prop_map(|(from, to, name)| match &*name {
            "COPY" => format!("COPY {from} {to} REPLACE"),
            _ => format!("{name} {from} {to}"),
        }),
        (key(), 0..300_usize).prop_map(|(key, len)| format!("MSETNX {key} 1 b {}", "x".repeat(len))),
        (key(), 0..300_usize).prop_map(|(key, len)| format!("SET {key} {} GET", "x".repeat(len))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_executed_stays_within_the_bound(
        before in prop::collection::vec(command(), 0..8),
        lines in prop::collection::vec(command(), 1..12),
    ) {
        let store = Store::new();
        for line in before {
            transact(&store, &[Queued::parse(&line)]);
        }
        let limits = TransactionLimits { entries: 300, bytes: 6_000 };
        store.set_transaction_limits(limits);
        let queued: Vec<Queued> = lines.iter().map(|line| Queued::parse(line)).collect();
        let bytes = transact(&store, &queued);
        prop_assert!(bytes.unwrap_or(0) <= limits.bytes, "{bytes:?} {lines:?}");
    }
}

#[test]
fn ten_thousand_small_commands_are_executed() {
    let store = Store::new();
    let value = "x".repeat(100);
    let queued: Vec<Queued> = (0..10_000)
        .map(|number| match number % 3 {
            0 => format!("SET key{number} {value}"),
            1 => format!("GET key{}", number - 1),
            _ => format!("HSET hash {number} {value}"),
        })
        .map(|line| Queued::parse(&line))
        .collect();
    assert!(transact(&store, &queued).is_some());
    assert_eq!(store.bucket_counts()[0], 10_000 / 3 + 2);
    let store = Store::new();
    let queued: Vec<Queued> = (0..10_000).map(|_| Queued::parse(&format!("SET key {value}"))).collect();
    assert!(transact(&store, &queued).is_some());
}

#[test]
fn copies_listings_and_growing_strings_beyond_the_limits_do_nothing() {
    let store = Store::new();
    execute(&store, &[b"SET", b"large", &vec![b'x'; 1 << 20]]);
    execute(&store, &[b"SET", b"medium", &vec![b'x'; 1 << 18]]);
    for number in 0..500 {
        execute(&store, &[b"HSET", b"hash", number.to_string().as_bytes(), b"1"]);
    }
    let buckets = store.bucket_counts()[0];
    let repeated = |line: &str, times| (0..times).map(|_| Queued::parse(line)).collect::<Vec<_>>();
    for queued in [
        repeated("COPY medium copy REPLACE", 100),
        repeated("HGETALL hash", 50),
        repeated("HGETALL missing", 20_001),
        repeated("GET large", 20),
        repeated("SETRANGE grown 500000 x", 1).into_iter().chain(repeated("GET grown", 40)).collect(),
        repeated("COPY large copy", 1).into_iter().chain(repeated("GET copy", 20)).collect(),
        vec![Queued::parse("SETRANGE grown 9000000 x")],
    ] {
        let (bytes, touched) = touched_by(|| transact(&store, &queued));
        let limits = store.transaction_limits();
        assert_eq!((bytes, store.bucket_counts()[0]), (None, buckets), "{:?}", queued[0].command);
        assert!(touched <= limits.entries + PAGE_NAMES + 100, "{touched} entries to estimate");
    }
    assert!(transact(&store, &repeated("GET large", 10)).is_some());
    assert!(transact(&store, &repeated("HGETALL hash", 30)).is_some());
    let copies = repeated("COPY large copy REPLACE", 100);
    let (executed, touched) = touched_by(|| transact(&store, &copies));
    assert!(executed.is_some() && touched < 1_000, "large values are shared, not copied: {touched}");
}

#[test]
fn a_command_on_several_buckets_touches_no_more_than_a_transaction_in_one_step() {
    let store = Store::new();
    for number in 0..2_000 {
        execute(&store, &[b"HSET", b"hash", number.to_string().as_bytes(), b"1"]);
    }
    store.set_transaction_limits(TransactionLimits { entries: 1_000, bytes: 100_000 });
    let is_here = |name: &[u8], other: &[u8]| {
        let shard = |name| store.shard_index(crate::database::Database::ZERO, store.hasher.hash_one(name));
        shard(name) == shard(other)
    };
    let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let near = names.iter().find(|name| is_here(b"hash", name.as_bytes())).expect("in the same shard");
    let far = names.iter().find(|name| !is_here(b"hash", name.as_bytes())).expect("in another shard");
    let refused = |line: &str| {
        let queued = Queued::parse(line);
        let mut refused = false;
        let (_, touched) = touched_by(|| {
            store.execute(&[queued.request()], 0, |reply| {
                refused = matches!(reply, Reply::Error(CommandError::CommandTooLarge { .. }));
                ControlFlow::Continue(())
            })
        });
        assert!(touched <= 1_000, "{line}: {touched}");
        refused
    };
    assert!(refused(&format!("COPY hash {near}")) && refused(&format!("RENAME hash {far}")));
    let pairs: Vec<String> = (0..1_000).map(|number| format!("{number} x")).collect();
    assert!(refused(&format!("MSETNX {}", pairs.join(" "))));
    assert_eq!(store.bucket_counts()[0], 1, "nothing was done");
    assert!(!refused(&format!("RENAME hash {near}")), "it stays where it is");
    assert_eq!(store.bucket_counts()[0], 1);
}

#[test]
fn names_are_limited() {
    let store = Store::new();
    let long = vec![b'x'; NAME_BYTES + 1];
    for line in [
        &[b"SET".as_slice(), &long, b"1"][..],
        &[b"APPEND", &long, b"1"],
        &[b"HSET", &long, b"f", b"1"],
        &[b"HSET", b"h", &long, b"1"],
    ] {
        let queued = Queued::new(line);
        store.execute(&[queued.request()], 0, |reply| {
            assert_eq!(reply, Reply::Error(CommandError::NameTooLong));
            ControlFlow::Continue(())
        });
    }
    execute(&store, &[b"HSET", &long[1..], &long[1..], b"1"]);
    assert_eq!(store.bucket_counts()[0], 1);
}
