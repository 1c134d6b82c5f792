//! Large requests and transactions: others go on while they are copied, and there are not many at once.

use super::*;
use crate::{
    identity::data_dir::lock,
    limits::{COPY_BYTES, LARGE_BYTES},
    proposals::ticket::Ticket,
};
use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

fn large(name: &str, bytes: usize) -> Line {
    Line::new(&format!("SET {name} {}", "x".repeat(bytes)))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls it until it is ready, and proposes something else after each step. Returns how many steps it took.
fn copy(
    range: &Range,
    mut proposing: Pin<&mut impl Future<Output = Result<Ticket, RangeError>>>,
) -> (Ticket, usize) {
    let small = Line::new("SET a 1");
    for steps in 1.. {
        match poll(proposing.as_mut()) {
            Poll::Ready(ticket) => return (ticket.expect("proposed"), steps),
            Poll::Pending => drop(range.propose(&[small.request()]).expect("accepted meanwhile")),
        }
    }
    unreachable!("it ends")
}

#[tokio::test]
async fn others_go_on_while_a_large_request_or_transaction_is_copied() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    ranges.set_transaction_limits(TransactionLimits { bytes: 64 * COPY_BYTES, ..Default::default() });
    let range = &ranges.all()[0];
    let (line, pieces) = (large("b", 10 * COPY_BYTES), 10);
    let request = line.request();
    let (ticket, steps) = copy(range, pin!(range.propose_large(&request)));
    assert_eq!((steps, texts(ticket.await.expect("written"))), (pieces + 1, vec!["Done".to_owned()]));
    // When something else is executed, it has given its room back.
    write(range, "SET a 1").await.expect("written");
    // Many small requests are copied in pieces, too.
    let (line, small) = (large("c", 10 * COPY_BYTES), large("d", COPY_BYTES / 16));
    let requests: Vec<_> = [line.request()].into_iter().chain(vec![small.request(); 160]).collect();
    let (ticket, steps) = copy(range, pin!(range.transact_large(&[], &requests)));
    assert!((2 * pieces..2 * pieces + 2).contains(&steps), "{steps}");
    assert_eq!(texts(ticket.await.expect("written")), vec!["Done"; 161]);
    let killed = killed(directory.path());
    ranges.close().await;
    let ranges = open(killed.path()).await;
    for (name, bytes) in [("b", 10 * COPY_BYTES), ("c", 10 * COPY_BYTES), ("d", COPY_BYTES / 16)] {
        assert_eq!(read(&ranges.all()[0], &format!("STRLEN {name}")), format!("Number({bytes})"));
    }
    ranges.close().await;
}

#[tokio::test]
async fn a_large_request_waits_until_another_is_executed_or_given_up() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let lines = [large("b", LARGE_BYTES + 1), large("c", 2 * COPY_BYTES), large("d", 2 * COPY_BYTES)];
    let requests = lines.each_ref().map(Line::request);
    {
        let (mut first, mut second) =
            (pin!(range.propose_large(&requests[0])), pin!(range.propose_large(&requests[1])));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        write(range, "SET a 1").await.expect("others do not wait");
        let ticket = first.await.expect("proposed").await;
        ticket.expect("written");
        second.await.expect("proposed").await.expect("written");
    }
    {
        let mut given_up = Box::pin(range.propose_large(&requests[0]));
        assert!(poll(given_up.as_mut()).is_pending());
        let mut next = pin!(range.propose_large(&requests[2]));
        assert!((0..9).all(|_| poll(next.as_mut()).is_pending()), "there is no room for it");
        drop(given_up);
        next.await.expect("proposed").await.expect("written");
    }
    let lengths = ["b", "c", "d"].map(|name| read(range, &format!("STRLEN {name}")));
    assert_eq!(
        lengths,
        [LARGE_BYTES + 1, 2 * COPY_BYTES, 2 * COPY_BYTES].map(|bytes| format!("Number({bytes})"))
    );
    ranges.close().await;
}

#[tokio::test]
async fn a_batch_ends_before_a_large_request() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let (small, large) = (Line::new("SET a 1"), large("b", COPY_BYTES));
    let (count, ticket) = range.propose(&[small.request(), large.request()]).expect("proposed");
    assert_eq!(count, 1);
    ticket.await.expect("written");
    ranges.close().await;
}

#[tokio::test]
async fn a_large_request_has_to_fit_into_memory_besides_what_is_used() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(directory.path());
    let ranges = open_with(&settings).await;
    let range = &ranges.all()[0];
    settings.budget.set_limit(Some(settings.budget.used() + 8 * COPY_BYTES));
    let line = large("b", 10 * COPY_BYTES);
    let replies = range.propose_large(&line.request()).await.expect("refused").await.expect("a reply");
    assert_eq!(texts(replies), ["Error(OutOfMemory)"]);
    let line = large("b", 5 * COPY_BYTES);
    let replies = range.propose_large(&line.request()).await.expect("proposed").await.expect("written");
    assert_eq!(texts(replies), ["Done"]);
    ranges.close().await;
}

/// A range that serves requests, of which none is executed.
fn without_a_log(data_dir: &Path, waiting: &Arc<WaitingBytes>) -> Range {
    let node = Ids::open(data_dir, "foo@127.0.0.1").expect("new").into_node();
    let data_dir = DataDir::new(data_dir, lock(data_dir).expect("locked"), node).expect("a directory");
    let disk = Arc::new(Disk::open(data_dir.path()).expect("a disk"));
    let (span, directory) = (span("", None), data_dir.path().to_owned());
    let snapshots = Snapshots::new(
        span.text.clone(),
        data_dir.into(),
        directory,
        Owner::default(),
        disk.clone(),
        Arc::default(),
    );
    let range = Range::new(
        Spans::new(span, Arc::default()),
        (None, false),
        Store::for_range(1, 1),
        snapshots,
        waiting.clone(),
        disk,
        Fsync::Always,
    );
    range.set_ready();
    range
}

#[tokio::test]
async fn what_waits_in_a_range_that_is_loaded_again_is_refused_and_makes_room_for_others() {
    let directories = [(); 2].map(|()| TempDir::new().expect("a directory"));
    let waiting = Arc::default();
    let [crashed, other] = directories.each_ref().map(|directory| without_a_log(directory.path(), &waiting));
    let line = large("b", LARGE_BYTES);
    let ticket = crashed.propose_large(&line.request()).await.expect("proposed");
    assert!(crashed.begin_loading());
    assert!(matches!(ticket.await, Err(RangeError::Loading { .. })));
    let proposed = tokio::time::timeout(Duration::from_secs(10), other.propose_large(&line.request())).await;
    proposed.expect("it need not wait").expect("proposed");
}

#[tokio::test]
async fn a_range_that_was_given_up_does_not_load_again() {
    let directory = TempDir::new().expect("a directory");
    let range = without_a_log(directory.path(), &Arc::default());
    range.give_up("others have its files");
    assert!(!range.begin_loading());
    range.set_ready();
    let refused = range.may_read().expect_err("stopped").to_string();
    assert_eq!(refused, "range .. has stopped: others have its files");
    assert_eq!(range.may_propose().expect_err("stopped").to_string(), refused);
}
