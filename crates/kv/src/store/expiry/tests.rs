//! Tests of the sweeper.

use super::*;
use crate::{
    args::{self, Args},
    commands::spec::Command,
    limits::EXPIRY_ENDS,
    pubsub::{
        backlog::Backlog,
        bucket_changes::{Change, EndReason},
    },
    request::{Op, Request},
};
use std::ops::ControlFlow;
use tokio_stream::StreamExt;

fn run(store: &Store, now_ms: u64, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let mut bulks = Vec::new();
    words[2..].iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
    let command = Command::find(&words[0].to_lowercase()).expect("a command");
    let op = Op::Command { command, args: Args::new(&bulks) };
    store.execute(&[Request::new(words[1].as_bytes(), op)], now_ms, |_| ControlFlow::Continue(()));
}

/// Takes one step in each shard. Returns in how many the next step should follow at once.
fn step(store: &Store, now_ms: u64) -> usize {
    (0..store.shards_per_database()).filter(|number| store.sweep_shard(*number, now_ms)).count()
}

fn is_sweeping(store: &Store) -> bool {
    (0..store.shards_per_database()).any(|number| store.lock(number).expiry_cursor.has_expiries)
}

#[test]
fn what_has_expired_goes_on_its_own() {
    let store = Store::new();
    assert!(!is_sweeping(&store));
    (0..5_000).for_each(|number| run(&store, 0, &format!("SET key{number} value PX 100")));
    run(&store, 0, "SET forever value");
    run(&store, 0, "HSETEX list PX 100 FIELDS 2 milk 1 eggs 12");
    run(&store, 0, "HSETEX later PX 200 FIELDS 1 milk 1");
    assert_eq!((step(&store, 99), store.bucket_counts()[0]), (0, 5_003));
    while step(&store, 100) > 0 {}
    assert_eq!(store.bucket_counts()[0], 2);
    (0..9).for_each(|_| {
        step(&store, 200);
    });
    assert_eq!(
        (store.bucket_counts()[0], is_sweeping(&store)),
        (1, false),
        "nothing is searched for that cannot be there"
    );
}

#[test]
fn stats_count_what_will_expire_and_what_has() {
    let store = Store::new();
    run(&store, 0, "SET soon value PX 100");
    run(&store, 0, "SET later value PX 300");
    run(&store, 0, "SET forever value");
    run(&store, 0, "HSETEX list PX 100 FIELDS 2 milk 1 eggs 12");
    run(&store, 0, "HSET list bread 1");
    let stats = store.stats();
    assert_eq!(
        (stats.databases[0].expiring, stats.databases[0].average_ttl_ms(0), stats.databases[0].expiring_maps),
        (2, 200, 1)
    );
    run(&store, 50, "GET later");
    run(&store, 50, "HGET list cheese");
    run(&store, 50, "GET nothing");
    run(&store, 50, "SET nothing value");
    while step(&store, 100) > 0 {}
    let stats = store.stats();
    assert_eq!(
        (
            stats.databases[0].expiring,
            stats.databases[0].average_ttl_ms(100),
            stats.databases[0].expiring_maps
        ),
        (1, 200, 0)
    );
    assert_eq!((stats.expired, stats.expired_entries), (1, 2));
    assert_eq!((stats.hits, stats.misses), (2, 1));
    run(&store, 100, "PERSIST later");
    store.reset_counters();
    let stats = store.stats();
    assert_eq!((stats.databases[0].expiring, stats.databases[0].average_ttl_ms(100)), (0, 0));
    assert_eq!((stats.expired, stats.expired_entries, stats.hits, stats.misses), (0, 0, 0, 0));
}

#[test]
fn a_step_ends_a_bounded_number() {
    let store = Store::new();
    (0..100_000).for_each(|number| run(&store, 0, &format!("SET key{number} value PX 1")));
    let before = store.bucket_counts()[0];
    assert_eq!(step(&store, 1), store.shards_per_database());
    assert!((1..=EXPIRY_ENDS * store.shards_per_database()).contains(&(before - store.bucket_counts()[0])));
}

#[tokio::test]
async fn the_fields_of_a_large_hash_go_bit_by_bit() {
    let store = Store::new();
    run(&store, 0, "HSET list forever 1");
    (0..3_000).for_each(|number| {
        run(&store, 0, &format!("HSETEX list PX {} FIELDS 1 field{number} 1", 100 + number))
    });
    let mut changes = store.subscribe(b"list", &Backlog::unlimited()).expect("it is there");
    let mut steps = 0;
    while step(&store, 1_100) > 0 {
        steps += 1;
    }
    assert!((1_001 / EXPIRY_ENDS..20).contains(&steps), "{steps} steps for 1,001 fields");
    for number in 0..1_001 {
        let event = changes.next().await.expect("a change");
        assert_eq!(event.change, Change::Deleted { key: format!("field{number}").into_bytes().into() });
    }
    run(&store, 1_100, "HDEL list forever");
    while step(&store, 10_000) > 0 {}
    assert_eq!(store.bucket_counts()[0], 0, "the hash goes with its last field");
}

#[tokio::test]
async fn the_supervisor_runs_the_sweeper() {
    let store = Arc::new(Store::new());
    let running = crate::supervisor(&store, otp::Intensity::default()).start();
    // Starting the supervisor may restart the store once more.
    let mut ended = Change::Ended(EndReason::Restarted);
    while ended == Change::Ended(EndReason::Restarted) {
        run(&store, 0, "SET milk 1 PX 5");
        let mut changes = store.subscribe(b"milk", &Backlog::unlimited()).expect("it is there");
        ended = changes.next().await.expect("a change").change.clone();
    }
    assert_eq!(ended, Change::Ended(EndReason::Expired));
    running.stop().await;
}

#[tokio::test]
async fn subscribers_are_notified_of_the_end() {
    let store = Store::new();
    run(&store, 0, "SET milk 1 PX 5");
    let mut changes = store.subscribe(b"milk", &Backlog::unlimited()).expect("it is there");
    step(&store, 5);
    assert_eq!(changes.next().await.expect("a change").change, Change::Ended(EndReason::Expired));
}

#[test]
fn what_is_over_by_the_clock_alone_is_reported_and_stays_until_the_log_is_as_far() {
    let store = Store::for_range(7, 1);
    run(&store, 0, "SET soon value PX 100");
    let overdue = Swept { is_busy: false, is_overdue: true };
    let sweep = |now_ms, removal_ms| store.sweep(0, Clock { now_ms, removal_ms });
    assert_eq!(sweep(99, 0), Swept::default());
    assert_eq!([sweep(100, 99), sweep(200, 99)], [overdue; 2], "the next step looks there again");
    assert_eq!(store.bucket_counts()[0], 1);
    assert!(!sweep(200, 100).is_overdue);
    assert_eq!(store.bucket_counts()[0], 0);
}
