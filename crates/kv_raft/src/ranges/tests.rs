//! Ranges on real files: what is acknowledged is there again, whatever ends the process.

mod crash;
mod faults;
mod large;
mod limits;
mod lost;
mod memory;
mod odd;
mod placement;
mod refusals;
mod removed;
mod split;
mod voters;
mod watches;

use super::*;
use crate::{
    error::RangeError,
    identity::Span,
    log::Fsync,
    proposals::{
        replies::{ProposalOutcome, RangeReply, Replies},
        wakes,
    },
    range::state::RangeState,
};
use kv::{Args, Command, Database, FullName, Op, Record, Reply, Request, Watcher, args, time::now_ms};
use std::{collections::BTreeSet, ops::ControlFlow::Continue, process, time::Duration};
use tempfile::TempDir;

/// The first file of the log of the first range.
const FIRST_LOG: &str = "ranges/1-1/log/r-00_000_000_000_000_000_000.wal";

pub(super) fn span(start: &str, end: Option<&str>) -> Span {
    let text = format!("{start}..{}", end.unwrap_or_default()).into();
    Span { start: start.as_bytes().into(), end: end.map(|end| end.as_bytes().into()), text }
}

/// Ranges without other replicas.
pub(super) fn alone(spans: &[Span]) -> Vec<ReplicaSpan> {
    spans.iter().cloned().map(ReplicaSpan::alone).collect()
}

pub(super) fn settings(data_dir: &Path) -> RangesSettings {
    RangesSettings {
        data_dir: data_dir.into(),
        node: "foo@127.0.0.1".into(),
        spans: alone(&[span("", None)]),
        volatile: Vec::new(),
        left: Vec::new(),
        threads: 2,
        budget: Arc::default(),
        freeze_budget: Arc::default(),
        transactions: TransactionLimits::default(),
        logs: LogOptions::default(),
        carrier: Arc::new(()),
    }
}

/// Logs that are synced at intervals.
fn synced_at(interval: Duration) -> LogOptions {
    LogOptions { fsync: Fsync::Interval(interval), ..LogOptions::default() }
}

/// Opens the ranges of a directory and waits until they are loaded.
pub(super) async fn open(data_dir: &Path) -> Ranges {
    open_with(&settings(data_dir)).await
}

async fn open_with(settings: &RangesSettings) -> Ranges {
    let ranges = Ranges::open(settings).expect("opened");
    for range in ranges.all() {
        assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
    }
    ranges
}

/// The arguments of a command, as requests have them.
struct Line {
    command: &'static Command,
    bucket: Vec<u8>,
    bulks: Vec<u8>,
}

impl Line {
    fn new(line: &str) -> Line {
        let words: Vec<&str> = line.split(' ').collect();
        let mut bulks = Vec::new();
        words[2..].iter().for_each(|word| args::push(&mut bulks, word.as_bytes()));
        let command = Command::find(&words[0].to_lowercase()).expect("a command");
        Line { command, bucket: words[1].into(), bulks }
    }

    fn request(&self) -> Request<'_> {
        Request::new(&self.bucket, Op::Command { command: self.command, args: Args::new(&self.bulks) })
    }
}

/// The replies as text.
fn texts(mut replies: Replies) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(reply) = replies.next_reply() {
        texts.push(match reply {
            RangeReply::Reply(Reply::Value(value)) => value.escape_ascii().to_string(),
            RangeReply::Reply(reply) => format!("{reply:?}"),
            RangeReply::TooLarge => "too large".into(),
        });
    }
    texts
}

/// Proposes these commands, separated by semicolons, as one batch, and waits for the replies.
pub(super) async fn write(range: &Range, lines: &str) -> Result<Vec<String>, RangeError> {
    let lines: Vec<Line> = lines.split("; ").map(Line::new).collect();
    let requests: Vec<_> = lines.iter().map(Line::request).collect();
    let (count, ticket) = range.propose(&requests)?;
    assert_eq!(count, requests.len());
    ticket.await.map(texts)
}

const WATCHER: Watcher = Watcher { link: 7, connection: 1 };

/// Watches a bucket; returns its name and its version.
async fn watch<'n>(range: &Range, name: &'n str) -> (FullName<'n>, u64) {
    let full = FullName::new(name.as_bytes());
    let request = Request::new(full.name, Op::Watch { watcher: WATCHER });
    let (_, ticket) = range.propose(&[request]).expect("proposed");
    match ticket.await.expect("written").next_reply() {
        Some(RangeReply::Reply(Reply::Number(version))) => (full, version as u64),
        reply => panic!("{reply:?}"),
    }
}

/// Proposes these commands, separated by semicolons, as a transaction, and waits for the replies.
async fn transact(range: &Range, watched: (FullName<'_>, u64), lines: &str) -> Replies {
    let lines: Vec<Line> = lines.split("; ").map(Line::new).collect();
    let requests: Vec<_> = lines.iter().map(Line::request).collect();
    range.transact(&[watched], &requests).expect("proposed").await.expect("written")
}

/// Reads at once, as clients do.
pub(super) fn read(range: &Range, line: &str) -> String {
    range.may_read().expect("ready");
    stored(range, line)
}

/// What a read finds in the store, whether or not the range may be read.
fn stored(range: &Range, line: &str) -> String {
    let (line, mut text) = (Line::new(line), String::new());
    range.store().read(&[line.request()], range.clock(now_ms()), |reply| {
        text = match reply {
            Reply::Value(value) => value.escape_ascii().to_string(),
            reply => format!("{reply:?}"),
        };
        Continue(())
    });
    text
}

/// A copy of a data directory as it is now: what a process leaves that is killed.
pub(super) fn killed(data_dir: &Path) -> TempDir {
    // What the node changes while it is copied makes the copy one of no moment.
    let listing = || {
        let find = ["-type", "f", "-printf", "%p %s %i\n"];
        let found = process::Command::new("find").arg(data_dir).args(find).output().expect("find starts");
        BTreeSet::from_iter(found.stdout.split(|byte| *byte == b'\n').map(Vec::from))
    };
    let copy = |_| {
        let (target, before) = (TempDir::new().expect("a directory"), listing());
        let copied =
            process::Command::new("cp").arg("-r").arg(data_dir.join(".")).arg(target.path()).status();
        (copied.expect("cp starts").success() && listing() == before).then_some(target)
    };
    (0..100).find_map(copy).expect("it is copied")
}

#[tokio::test]
async fn what_a_thread_proposes_in_one_turn_is_one_entry_of_the_log() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let before = range.status().applied;
    let set = Line::new("SET plain 1");
    while !range.proposals.is_proposer_asleep() {
        tokio::task::yield_now().await;
    }
    // The first of them would be in a group of its own if the range was woken at once.
    let propose = |_| range.propose(&[set.request()]).expect("proposed").1;
    let tickets: Vec<_> = wakes::turn(|| (0..2_000).map(propose).collect());
    for ticket in tickets {
        ticket.await.expect("written");
    }
    assert_eq!(range.status().applied, before + 1);
}

#[tokio::test]
async fn each_of_many_batches_that_are_executed_together_has_its_own_replies() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let batches: [&[&str]; 6] =
        [&["INCR a", "INCR a"], &[], &["GET a"], &["HSET h f 1", "INCR b", "GET b"], &["INCR a"], &[]];
    let replies: [&[&str]; 6] =
        [&["Number(1)", "Number(2)"], &[], &["2"], &["Number(1)", "Number(1)", "1"], &["Number(3)"], &[]];
    let lines = batches.map(|batch| batch.iter().map(|line| Line::new(line)).collect::<Vec<_>>());
    let requests = lines.each_ref().map(|batch| batch.iter().map(Line::request).collect::<Vec<_>>());
    let tickets = wakes::turn(|| requests.each_ref().map(|batch| range.propose(batch).expect("proposed").1));
    for (ticket, replies) in tickets.into_iter().zip(replies) {
        assert_eq!(texts(ticket.await.expect("written")), replies);
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let in_an_hour = (now_ms() + 3_600_000).to_string();
    write(range, "SET plain 1; HSET list milk 1 eggs 12").await.expect("written");
    write(range, &format!("SET timed 1 PXAT {in_an_hour}")).await.expect("written");
    write(range, &format!("HPEXPIREAT list {in_an_hour} FIELDS 1 milk")).await.expect("written");
    let (created, ticket) = range.propose(&[Request::new(b"empty", Op::Create)]).expect("proposed");
    assert_eq!((created, texts(ticket.await.expect("written"))), (1, vec!["Done".to_owned()]));
    let mut other = Line::new("SET plain other");
    other.bucket = b"plain".to_vec();
    let request = Request { database: Database::new(3).expect("a database"), ..other.request() };
    range.propose(&[request]).expect("proposed").1.await.expect("written");
    write(range, "SET gone 1").await.expect("written");
    write(range, "DEL gone").await.expect("written");

    let killed = killed(directory.path());
    drop(ranges);
    for directory in [killed.path(), directory.path()] {
        // The one that was dropped may still be closing its files.
        let ranges = loop {
            match Ranges::open(&settings(directory)) {
                Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
                opened => break opened.expect("opened"),
            }
        };
        let range = &ranges.all()[0];
        assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
        assert_eq!(read(range, "GET plain"), "1");
        assert_eq!(read(range, "HGET list eggs"), "12");
        assert_eq!(read(range, "PEXPIRETIME timed"), format!("Number({in_an_hour})"));
        let times = format!("List([Number({in_an_hour}), Number(-1)])");
        assert_eq!(read(range, "HPEXPIRETIME list FIELDS 2 milk eggs"), times);
        assert_eq!(read(range, "EXISTS gone"), "Number(0)");
        assert_eq!(read(range, "EXISTS empty"), "Number(1)");
        assert_eq!(range.store().bucket_counts()[..4], [4, 0, 0, 1]);
        ranges.close().await;
    }
}

#[tokio::test]
async fn at_intervals_nobody_waits_for_a_sync_which_follows() {
    let directory = TempDir::new().expect("a directory");
    let settings = |interval| RangesSettings { logs: synced_at(interval), ..settings(directory.path()) };
    let syncs_of_100_writes = async |interval| {
        let ranges = Ranges::open(&settings(interval)).expect("opened");
        let range = &ranges.all()[0];
        assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
        assert_eq!(range.status().fsync, Fsync::Interval(interval));
        let before = range.status().log;
        for _ in 0..100 {
            write(range, "INCR a").await.expect("written");
        }
        // The log is looked at from time to time.
        while range.status().log.bytes < before.bytes + 100 * 50 {
            tokio::task::yield_now().await;
        }
        range.take_snapshot().await.expect("taken");
        let syncs = range.status().log.syncs - before.syncs;
        (ranges, syncs)
    };
    let (ranges, syncs) = syncs_of_100_writes(Duration::from_secs(3_600)).await;
    assert!(syncs < 10, "{syncs}");
    ranges.close().await;
    drop(ranges);
    let (ranges, _) = syncs_of_100_writes(Duration::from_millis(1)).await;
    let range = &ranges.all()[0];
    assert_eq!(read(range, "GET a"), "200");
    let before = range.status().log.syncs;
    write(range, "INCR a").await.expect("written");
    while range.status().log.syncs == before {
        tokio::task::yield_now().await;
    }
    ranges.close().await;
}

#[tokio::test]
async fn a_batch_is_executed_in_order_with_its_reads_and_only_writes_are_logged() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let replies = write(range, "SET a 1; GET a; INCR a; GET a; SET a x; INCR a").await.expect("written");
    assert_eq!(replies, ["Done", "1", "Number(2)", "2", "Done", "Error(NotInteger)"]);
    let log = fs::read(directory.path().join(FIRST_LOG)).expect("the log");
    let count = |word: &[u8]| log.windows(3).filter(|bytes| *bytes == word).count();
    assert_eq!((count(b"set"), count(b"get")), (2, 0));
    ranges.close().await;
}

#[tokio::test]
async fn transactions_see_watches_and_end_with_their_owner() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let replies = transact(range, watch(range, "a").await, "SET a 1; GET a").await;
    assert_eq!(
        (replies.outcome().clone(), texts(replies)),
        (ProposalOutcome::Executed, vec!["Done".into(), "1".into()])
    );
    let watched = watch(range, "a").await;
    write(range, "SET a 2").await.expect("written");
    assert_eq!(transact(range, watched, "SET a 1").await.outcome(), &ProposalOutcome::Aborted);
    let watched = watch(range, "a").await;
    range.end_watches(WATCHER.link).expect("proposed").await.expect("written");
    assert_eq!(transact(range, watched, "SET a 1").await.outcome(), &ProposalOutcome::Aborted);
    assert_eq!(read(range, "GET a"), "2");
    let ticket = range.flush(None).expect("proposed");
    assert!(ticket.await.expect("written").is_empty());
    assert_eq!(read(range, "EXISTS a"), "Number(0)");
    ranges.close().await;
}

#[tokio::test]
async fn other_data_are_refused_with_the_ways_out_and_what_no_route_has_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let with = |spans: &[Span]| RangesSettings { spans: alone(spans), ..settings(directory.path()) };
    let (low, high) = (span("", Some("n")), span("n", None));
    let ranges = Ranges::open(&with(&[low.clone(), high.clone()])).expect("opened");
    assert_eq!(ranges.all()[1].wait_until_loaded().await, RangeState::Ready);
    write(&ranges.all()[1], "SET x 1").await.expect("written");
    let locked = Ranges::open(&with(std::slice::from_ref(&low))).expect_err("locked").to_string();
    let who = format!("another process (pid {})", process::id());
    assert!(locked.ends_with(&format!("is in use by {who}; stop that one, or choose another data_dir")));
    ranges.close().await;
    drop(ranges);

    let other = RangesSettings { node: "bar@127.0.0.1".into(), ..with(std::slice::from_ref(&low)) };
    let error = Ranges::open(&other).expect_err("another node").to_string();
    assert!(
        error.contains("holds the data of foo@127.0.0.1, and this is bar@127.0.0.1; start it as"),
        "{error}"
    );
    let error = Ranges::open(&with(&[span("", Some("o"))])).expect_err("another span").to_string();
    assert!(
        error.contains("holds the data of ..n, and the route says ..o; write the route as it was"),
        "{error}"
    );

    let volatile = RangesSettings { volatile: vec![span("m", None)], ..with(&[]) };
    let error = Ranges::open(&volatile).expect_err("volatile").to_string();
    assert!(
        error.contains(
            "holds the data of ..n, and the route m.. has durable = false; remove that, or export the data"
        ),
        "{error}"
    );
    // Nothing is made for rows of a table that is refused.
    assert_eq!(fs::read_dir(directory.path().join("ranges")).expect("a directory").count(), 2);

    let ranges = Ranges::open(&with(std::slice::from_ref(&low))).expect("opened");
    assert_eq!(ranges.left_over(), [directory.path().join("ranges/2-2")]);
    ranges.close().await;
    drop(ranges);
    let ranges = Ranges::open(&with(&[high, low])).expect("opened");
    assert_eq!((ranges.all()[0].wait_until_loaded().await, ranges.left_over().len()), (RangeState::Ready, 0));
    assert_eq!(read(&ranges.all()[0], "GET x"), "1");
    ranges.close().await;
}

#[tokio::test]
async fn what_expires_is_removed_on_an_idle_range_too() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET soon 1 PX 1; SET later 1 PX 3600000").await.expect("written");
    while range.store().bucket_counts()[0] == 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read(range, "EXISTS soon"), "Number(0)");
    assert_eq!(read(range, "EXISTS later"), "Number(1)");
    ranges.close().await;
}

/// Files of the log of the first range.
fn log_files(data_dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data_dir.join("ranges/1-1/log")).expect("the log");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    files.sort();
    files
}

/// The files of the first range that are snapshots, or parts of them.
fn snapshots(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.join("ranges/1-1")).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().contains("snapshot-")).collect()
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_the_log_before_it() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let in_an_hour = (now_ms() + 3_600_000).to_string();
    write(range, &format!("SET a 1 PXAT {in_an_hour}; HSET list milk 1; SET b 1")).await.expect("written");
    range.take_snapshot().await.expect("taken");
    let first = snapshots(directory.path());
    assert_eq!(first.len(), 1);
    write(range, "INCR b; HSET list eggs 12").await.expect("written");
    let killed_behind_it = killed(directory.path());
    range.take_snapshot().await.expect("taken");
    let second = snapshots(directory.path());
    assert!(second.len() == 1 && second != first, "{second:?}");
    // What a process leaves that is killed while it writes one.
    fs::write(second[0].with_extension("part"), b"KVDB").expect("written");
    ranges.close().await;
    drop(ranges);
    for directory in [killed_behind_it.path(), directory.path()] {
        let ranges = open(directory).await;
        let range = &ranges.all()[0];
        assert_eq!(read(range, "PEXPIRETIME a"), format!("Number({in_an_hour})"));
        assert_eq!([read(range, "GET b"), read(range, "HLEN list")], ["2", "Number(2)"]);
        assert_eq!(snapshots(directory).len(), 1);
        ranges.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_is_written_again_from_memory_while_reads_go_on() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1; HSET list milk 1").await.expect("written");
    // The next file of the log cannot be made, and all that was in the others is lost.
    fs::remove_dir_all(directory.path().join("ranges/1-1/log")).expect("removed");
    let value = "x".repeat(1024 * 1024);
    let (mut acknowledged, mut failures) = (0, 0);
    while acknowledged < 40 {
        match write(range, &format!("SET large{acknowledged} {value}")).await {
            Ok(_) => acknowledged += 1,
            Err(RangeError::Unknown { .. } | RangeError::CannotWrite { .. }) => failures += 1,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(read(range, "GET a"), "1");
    }
    assert!(failures > 0, "the log has not failed");
    write(range, "INCR a").await.expect("written");
    let killed = killed(directory.path());
    ranges.close().await;
    let ranges = open(killed.path()).await;
    let range = &ranges.all()[0];
    assert_eq!([read(range, "GET a"), read(range, "HGET list milk")], ["2", "1"]);
    for number in 0..acknowledged {
        assert_eq!(read(range, &format!("STRLEN large{number}")), "Number(1048576)");
    }
    ranges.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_beside_writes_has_what_was_acknowledged_before_it() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = ranges.all()[0].clone();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let range = range.clone();
            tokio::spawn(async move {
                for number in 1..=50 {
                    let line =
                        format!("HSET list {writer} {number}; HSET list {writer}-{number} 1; INCR count");
                    write(&range, &line).await.expect("written");
                }
            })
        })
        .collect();
    for _ in 0..3 {
        range.take_snapshot().await.expect("taken");
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let killed = killed(directory.path());
    ranges.close().await;
    let ranges = open(killed.path()).await;
    let range = &ranges.all()[0];
    assert_eq!([read(range, "GET count"), read(range, "HLEN list")], ["200", "Number(204)"]);
    assert_eq!(read(range, "HGET list 3"), "50");
    ranges.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_range_takes_no_snapshot_and_a_log_that_fails_ends_the_copy() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1; HSET list milk 1").await.expect("written");
    let (taken, ()) = tokio::join!(range.take_snapshot(), range.wait_until_written());
    taken.expect("taken");
    let mut frozen = range.freeze().expect("no snapshot is being written");
    write(range, "SET a 2; DEL list").await.expect("written");
    let refused = range.take_snapshot().await.expect_err("refused");
    assert!(refused.contains("another backup or snapshot is being taken"), "{refused}");
    let mut names = Vec::new();
    let mut push = |record: Record<'_>| names.extend(record.full().map(|full| full.name.to_vec()));
    while frozen.read(&mut push).expect("all of it is kept") {}
    names.sort_unstable();
    assert_eq!(names, [b"a".as_slice(), b"list"]);
    drop(frozen);
    range.take_snapshot().await.expect("taken");

    let mut frozen = range.freeze().expect("no other copy");
    fs::remove_dir_all(directory.path().join("ranges/1-1/log")).expect("removed");
    let value = format!("SET large {}", "x".repeat(1024 * 1024));
    while write(range, &value).await.is_ok() {}
    while range.store.is_frozen() {
        tokio::task::yield_now().await;
    }
    // Also as long as its reader does nothing.
    while write(range, "SET a 3").await.is_err() {
        tokio::task::yield_now().await;
    }
    frozen.read(|_| ()).expect_err("given up");
    ranges.close().await;
}

#[tokio::test]
async fn on_a_full_disk_reads_go_on_and_writes_are_refused_until_there_is_space() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1").await.expect("written");
    let disk = &range.snapshots.disk;
    let reserved = || fs::metadata(directory.path().join("reserve")).map(|file| file.len());
    assert_eq!(reserved().expect("a file"), disk.reserve());
    let reserve = disk.reserve();
    disk.set_reserve(u64::MAX);
    disk.refresh().expect("a disk");
    let refused = write(range, "SET a 2").await.expect_err("refused").to_string();
    assert!(refused.starts_with("range .. cannot write: less than "), "{refused}");
    assert_eq!((read(range, "GET a"), disk.is_full()), ("1".into(), true));
    disk.set_reserve(reserve);
    disk.refresh().expect("a disk");
    write(range, "SET a 2").await.expect("written");
    assert_eq!(read(range, "GET a"), "2");
    ranges.close().await;
}
