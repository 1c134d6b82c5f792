//! Entries that crash the store.

use super::*;
use crate::{
    group::{
        GroupBytes,
        encode::{begin, encode_batch},
    },
    identity::read_replica,
    log::{
        Log, LogSettings,
        encoding::{Done, LogId, Payload},
    },
    ranges::skip::SkippableEntry,
    replica::stop_at_panic,
};
use std::sync::mpsc::channel;

/// Appends entries to the log of the first range, each with one request. Returns the index of the last.
fn append(data_dir: &Path, requests: &[Request<'_>]) -> u64 {
    let directory = data_dir.join("ranges/1-1/log");
    let owner = read_replica(&data_dir.join("ranges/1-1")).expect("read").expect("a replica").owner();
    let settings = LogSettings::new(&directory, owner, 1 << 20, Fsync::Always);
    let mut log = Log::open(settings, 0).expect("a log");
    for request in requests {
        let last = log.last().expect("an entry");
        let mut group = Vec::new();
        begin(&mut group);
        encode_batch(&[*request], usize::MAX, &mut group);
        let (sender, receiver) = channel();
        let done = Done(Box::new(move |result| sender.send(result).expect("the test waits")));
        let entry = (LogId { index: last.index + 1, ..last }, Payload::Group(Arc::new(GroupBytes(group))));
        log.append([entry], done).expect("appended");
        receiver.recv().expect("a result").expect("on disk");
    }
    log.last().expect("an entry").index
}

#[tokio::test]
async fn a_range_whose_replica_panics_stops() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let running = range.clone();
    let panicked = tokio::spawn(async move { stop_at_panic(&running, async { panic!("a bug") }).await });
    assert!(panicked.await.is_err());
    let refused = write(range, "SET a 1").await.expect_err("stopped").to_string();
    assert!(refused.contains("its thread panicked"), "{refused}");
    ranges.close().await;
}

#[tokio::test]
async fn a_crash_loads_the_range_again_and_a_second_one_at_the_same_entry_stops_it() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1; SET b 1 PX 3600000").await.expect("written");
    let (_, ticket) = range.propose(&[Request::new(b"a", Op::Crash)]).expect("proposed");
    assert!(matches!(ticket.await, Err(RangeError::Unknown { .. })));
    // The log has no crash, so the range is loaded again.
    loop {
        match write(range, "INCR a").await {
            Ok(replies) => break assert_eq!(replies, ["Number(2)"]),
            Err(RangeError::Loading { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read(range, "EXISTS b"), "Number(1)");
    ranges.close().await;
    drop(ranges);

    let (crash, after) = (Request::new(b"a", Op::Crash), Line::new("INCR a"));
    let index = append(directory.path(), &[crash, after.request()]) - 1;
    let ranges = Ranges::open(&settings(directory.path())).expect("opened");
    let RangeState::Stopped(reason) = ranges.all()[0].wait_until_loaded().await else {
        panic!("not stopped")
    };
    let expected = format!(
        "entry {index} of the log crashes it, at bucket \"a\"; stop the node and leave the entry out with `range \
         skip \"..\" {index}`"
    );
    assert_eq!(*reason, expected);
    let find = |range, index| SkippableEntry::find(directory.path(), range, index);
    let error = find("..", index).expect_err("in use").to_string();
    assert!(error.contains("is in use by another process (pid "), "{error}");
    ranges.close().await;
    drop(ranges);

    let error = find("a..m", index).expect_err("no range").to_string();
    assert!(error.ends_with("has no range \"a..m\"; it has \"..\""), "{error}");
    // The first entry names the members.
    for none in [0, 1_000, u64::MAX] {
        let error = find("..", none).expect_err("no requests").to_string();
        let expected = format!("the log of range .. has no requests in entry {none}; it has entries 0 to ");
        assert!(error.starts_with(&expected), "{error}");
    }
    assert_eq!(find("1-1", index + 1).expect("an entry").requests(), ["INCR a"]);
    let entry = find("..", index).expect("an entry");
    assert_eq!((entry.requests(), entry.hidden()), (&["CRASH a".to_owned()][..], 0));
    entry.skip().expect("skipped");
    for _ in 0..2 {
        let ranges = open(directory.path()).await;
        assert_eq!(read(&ranges.all()[0], "GET a"), "3");
        ranges.close().await;
    }
}

/// Makes the data of tests/fixtures/crash: an entry in the middle crashes the store.
#[tokio::test]
#[ignore = "writes files"]
async fn write_crash_fixture() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    write(&ranges.all()[0], "SET before 1; SET list 1").await.expect("written");
    ranges.close().await;
    drop(ranges);
    let after = Line::new("SET after 2");
    append(directory.path(), &[Request::new(b"list", Op::Crash), after.request()]);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/crash");
    for file in ["node", "ranges/1-1/replica", FIRST_LOG] {
        let target = target.join(file);
        fs::create_dir_all(target.parent().expect("a file")).expect("made");
        fs::copy(directory.path().join(file), target).expect("copied");
    }
}
