//! Measures pauses while the store grows, and while large replies are listed. Run with `cargo bench -p kv
//! --bench growth`.
//!
//! The time of a batch of insertions is reported twice: as wall-clock time, which other processes affect, and
//! as processor time of this thread, which they do not.

use hdrhistogram::Histogram;
use kv::{Op, Projection, Reply, Request, ScanFilter, Store};
use rustix::time::{ClockId, clock_gettime};
use std::{
    hint::{self, black_box},
    ops::ControlFlow::Continue,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const ENTRIES: u64 = 10_000_000;
const LISTED: u64 = 1_000_000;
const BATCH: u64 = 64;
/// Reads during other work, and the time between two of them.
const READS: u32 = 200_000;
const PERIOD: Duration = Duration::from_micros(20);

fn main() {
    grow("entries of one bucket", |number| Request::new(b"bucket", put(number)));
    grow("buckets", |number| Request::new(number, Op::Create));
    let store = Store::for_threads(1);
    fill(&store);
    read_while(&store, "nothing else happens", |_| thread::sleep(Duration::from_millis(1)));
    read_while(&store, "HGETALL lists 1 M entries", scan_entries);
    read_while(&store, "SCAN lists 1 M buckets", scan_names);
}

fn put(number: &[u8]) -> Op<'_> {
    Op::Put { key: number, value: &[b'v'; 16] }
}

/// Inserts in batches, and prints how long the longest took.
fn grow(what: &str, request: fn(&[u8]) -> Request<'_>) {
    let store = Store::for_threads(1);
    execute(&store, &[Request::new(b"bucket", Op::Create)]);
    let (mut by_clock, mut by_processor) = (histogram(), histogram());
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        let keys: Vec<_> = (first..first + BATCH).map(key).collect();
        let batch: Vec<_> = keys.iter().map(|key| request(key)).collect();
        let (clock, processor) = (Instant::now(), processor_time());
        execute(&store, &batch);
        note(&mut by_processor, processor_time() - processor);
        note(&mut by_clock, clock.elapsed());
    }
    println!("10 M {what}, batches of {BATCH}: {}", shown("processor time", &by_processor));
    println!("{:30}{}", "", shown("by the clock", &by_clock));
}

/// A store of 1 M buckets, one of which holds 1 M entries.
fn fill(store: &Store) {
    execute(store, &[Request::new(b"bucket", Op::Create)]);
    for number in 0..LISTED {
        let key = key(number);
        execute(store, &[Request::new(b"bucket", put(&key)), Request::new(&key, Op::Create)]);
    }
}

/// Reads single entries on this thread, one per period, while another thread repeats `work`. Prints the time
/// from when each read was due until it was done, so that a long wait counts for all reads that it delays.
fn read_while(store: &Store, what: &str, work: impl Fn(&Store) + Sync) {
    let (over, mut took) = (AtomicBool::new(false), histogram());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                work(store);
            }
        });
        let start = Instant::now();
        for number in 0..READS {
            let key = key(fastrand::u64(..LISTED));
            let due = PERIOD * number;
            while start.elapsed() < due {
                hint::spin_loop();
            }
            execute(store, &[Request::new(b"bucket", Op::Get { key: &key })]);
            note(&mut took, start.elapsed() - due);
        }
        over.store(true, Relaxed);
    });
    println!("{}", shown(&format!("reads while {what}"), &took));
}

fn scan_entries(store: &Store) {
    let mut cursor = 0;
    loop {
        let op = Op::Entries { projection: Projection::Both, cursor };
        store.execute(&[Request::new(b"bucket", op)], 0, |reply| {
            let Reply::Page { next, .. } = reply else { unreachable!("entries come in pages") };
            cursor = next;
            Continue(())
        });
        if cursor == 0 {
            return;
        }
    }
}

fn scan_names(store: &Store) {
    let mut cursor = 0;
    loop {
        let page = store.scan(cursor, &ScanFilter::default(), 0);
        cursor = black_box(page).next;
        if cursor == 0 {
            return;
        }
    }
}

fn execute(store: &Store, batch: &[Request<'_>]) {
    store.execute(batch, 0, |reply| {
        black_box(reply);
        Continue(())
    });
}

fn key(number: u64) -> [u8; 11] {
    let mut key = *b"key00000000";
    key[3..].copy_from_slice(format!("{number:08}").as_bytes());
    key
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits")
}

fn note(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.record(took.as_nanos() as u64).expect("any number fits");
}

fn shown(what: &str, histogram: &Histogram<u64>) -> String {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    let longest = histogram.max() as f64 / 1e3;
    format!(
        "{what}: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, longest {longest:.1} us",
        at(0.5),
        at(0.99),
        at(0.999)
    )
}
