//! Measures the time per request, in batches of several sizes, and how it scales over threads.
//! Run with `cargo bench -p kv`.

use kv::{Args, Command, Op, Request, Store};
use std::{
    hint::black_box,
    ops::ControlFlow::Continue,
    thread,
    time::{Duration, Instant},
};

const FIELDS: u64 = 1_000_000;
const SECONDS: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;

fn main() {
    let store = filled(1, &["bench"]);
    for size in [1, 16, 64] {
        let rounds = (0..ROUNDS).map(|_| gets(&store, Some("bench"), size));
        println!("get, batches of {size:2}: {:6.1} ns per request", 1e9 / median(rounds.collect()));
    }
    for threads in [1, 2] {
        let store = strings(threads);
        for size in [1, 16, 64] {
            let rounds = (0..ROUNDS).map(|_| gets(&store, None, size));
            let ns = 1e9 / median(rounds.collect());
            println!("strings, store for {threads} threads, batches of {size:2}: {ns:6.1} ns per request");
        }
    }
    let store = filled(2, &["one", "other"]);
    for (name, buckets) in [("distinct buckets", ["one", "other"]), ("one hot bucket", ["one", "one"])] {
        let alone = median((0..ROUNDS).map(|_| gets(&store, Some("one"), 16)).collect());
        let both = median((0..ROUNDS).map(|_| on_two_threads(&store, buckets)).collect());
        println!("two threads on {name}: {:.2} times one thread", both / alone);
    }
}

/// A store for `threads` threads, in which each bucket holds all fields.
fn filled(threads: usize, buckets: &[&str]) -> Store {
    let store = Store::for_threads(threads);
    for bucket in buckets {
        let bucket = bucket.as_bytes();
        store.execute(&[Request::new(bucket, Op::Create)], 0, |_| Continue(()));
        for number in 0..FIELDS {
            let op = Op::Put { key: &key(number), value: &[b'v'; 32] };
            store.execute(&[Request::new(bucket, op)], 0, |_| Continue(()));
        }
    }
    store
}

/// A store for `threads` threads with as many strings.
fn strings(threads: usize) -> Store {
    let (store, set) = (Store::for_threads(threads), Command::find("set").expect("SET"));
    let args = Args::new(b"$32\r\nvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\r\n");
    for number in 0..FIELDS {
        let op = Op::Command { command: set, args };
        store.execute(&[Request::new(&key(number), op)], 0, |_| Continue(()));
    }
    store
}

fn key(number: u64) -> [u8; 11] {
    let mut key = *b"key00000000";
    key[3..].copy_from_slice(format!("{number:08}").as_bytes());
    key
}

/// Reads random fields of a bucket, or random strings, in batches of one size. Returns the reads per second.
fn gets(store: &Store, bucket: Option<&str>, size: usize) -> f64 {
    let get = Command::find("get").expect("GET");
    let mut random = 88_172_645_463_325_252_u64;
    let keys: Vec<[u8; 11]> = (0..1 << 18)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            key(random % FIELDS)
        })
        .collect();
    let (start, mut done) = (Instant::now(), 0);
    for keys in keys.chunks_exact(size).cycle() {
        if done & 0xfff == 0 && start.elapsed() > SECONDS {
            break;
        }
        let batch: Vec<Request<'_>> = keys
            .iter()
            .map(|key| match bucket {
                Some(bucket) => Request::new(bucket.as_bytes(), Op::Get { key }),
                None => Request::new(key, Op::Command { command: get, args: Args::NONE }),
            })
            .collect();
        store.execute(&batch, 0, |reply| {
            black_box(reply);
            Continue(())
        });
        done += size;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// Reads on two threads at once. Returns their reads per second together.
fn on_two_threads(store: &Store, buckets: [&str; 2]) -> f64 {
    thread::scope(|scope| {
        let threads = buckets.map(|bucket| scope.spawn(move || gets(store, Some(bucket), 16)));
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
