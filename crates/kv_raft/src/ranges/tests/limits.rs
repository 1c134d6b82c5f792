//! What is refused before it is logged, and what is not logged at all.

use super::{
    placement::{placement, row},
    *,
};
use crate::{limits::RANGES, ranges::replicas::check_counts};

#[test]
fn rows_with_replicas_take_no_place_of_others() {
    let alone = |count: usize| (0..count).map(|_| ReplicaSpan::alone(span("a", None)));
    let replicated = |count: usize| (0..count).map(|_| row(span("a", None), placement(&[0, 1, 2], &[])));
    let check = |rows: Vec<ReplicaSpan>| check_counts(&rows);
    assert!(check(alone(RANGES).chain(replicated(RANGES)).collect()).is_ok());
    for too_many in [alone(RANGES + 1).collect(), replicated(RANGES + 1).collect()] {
        assert!(matches!(check(too_many), Err(OpenError::TooMany { found: 65, limit: RANGES })));
    }
}

#[tokio::test]
async fn a_transaction_that_only_reads_is_not_logged() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    write(range, "SET a 1; SET b 2").await.expect("written");
    let applied = range.status().applied;
    let lines = ["GET a", "GET b"].map(Line::new);
    let requests = lines.each_ref().map(Line::request);
    let replies = range.transact(&[], &requests).expect("proposed").await.expect("executed");
    assert_eq!(texts(replies), ["1", "2"]);
    assert_eq!(range.status().applied, applied);
    ranges.set_transaction_limits(TransactionLimits { entries: 1, bytes: 1_000 });
    let replies = range.transact(&[], &requests).expect("proposed").await.expect("refused");
    let refused = kv::CommandError::TransactionTooLarge { entries: 1, bytes: 1_000 };
    assert_eq!(replies.outcome(), &ProposalOutcome::Refused(refused));
    ranges.close().await;
}

#[tokio::test]
async fn a_transaction_that_is_too_large_is_refused_and_not_logged() {
    let directory = TempDir::new().expect("a directory");
    let ranges = open(directory.path()).await;
    let range = &ranges.all()[0];
    let incr = Line::new("INCR a");
    let transact = async |requests: &[Request<'_>]| {
        let replies = range.transact(&[], requests).expect("proposed").await.expect("executed");
        replies.outcome().clone()
    };
    // More than a step of a group can have, whatever the limits are.
    ranges.set_transaction_limits(TransactionLimits { entries: usize::MAX, bytes: usize::MAX });
    let refused =
        |entries, bytes| ProposalOutcome::Refused(kv::CommandError::TransactionTooLarge { entries, bytes });
    let most = crate::limits::STEP_REQUESTS;
    let outcome = transact(&vec![incr.request(); most + 1]).await;
    assert_eq!(outcome, refused(most as u64, u64::MAX));
    ranges.set_transaction_limits(TransactionLimits { entries: 2, bytes: 1_000 });
    assert_eq!(transact(&[incr.request(); 3]).await, refused(2, 1_000));
    let large = Line::new(&format!("SET a {}", "x".repeat(1_000)));
    assert_eq!(transact(&[large.request()]).await, refused(2, 1_000));
    let applied = range.status().applied;
    assert_eq!(transact(&[incr.request(); 2]).await, ProposalOutcome::Executed);
    assert_eq!((read(range, "GET a"), range.status().applied), ("2".into(), applied + 1));
    ranges.close().await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_refused_beyond() {
    let directory = TempDir::new().expect("a directory");
    let ranges = Ranges::open(&settings(directory.path())).expect("opened");
    let range = &ranges.all()[0];
    assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
    let large = Line::new(&format!("SET a {}", "x".repeat(8 * 1024 * 1024)));
    let (mut tickets, mut refused) = (Vec::new(), None);
    // The range writes meanwhile, but more slowly than memory is copied.
    while refused.is_none() && tickets.len() < 1_000 {
        match range.propose(&[large.request()]) {
            Ok((_, ticket)) => tickets.push(ticket),
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(RangeError::Behind { .. })), "{refused:?}");
    for ticket in tickets {
        ticket.await.expect("what was accepted is written");
    }
    write(range, "SET a 1").await.expect("there is room again");
    ranges.close().await;
}
