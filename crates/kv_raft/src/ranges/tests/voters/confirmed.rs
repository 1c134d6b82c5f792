//! Reads of a leader that a majority confirms, since it has no lease or must not use it.

use super::*;
use crate::limits::{CONFIRM_WAIT, HEARTBEAT};

fn no_leader() -> RangeError {
    RangeError::NoLeader { range: "..".into(), needs: 2, nodes: MEMBERS.join(", ").into() }
}

/// Has a leader forget who has answered it.
fn lose_lease(range: &Range) {
    let lease = range.lease.as_ref().expect("there are others");
    let (vote, others) = lease.followers().expect("it leads");
    lease.end();
    lease.begin(vote.replica, vote, vec![others.into_iter().chain([vote.replica]).collect()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_lease_asks_a_majority_and_reads_before_the_next_heartbeat() {
    const READS: u32 = 100;
    for confirms_reads in [false, true] {
        let nodes = Nodes::start_with(confirms_reads);
        let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
        // One other is enough.
        nodes.isolate(others(leader)[0], true);
        let (range, began) = (nodes.range(leader), Instant::now());
        for _ in 0..READS {
            if !confirms_reads {
                lose_lease(&range);
            }
            assert_eq!(read_as_clients(&range, "GET a").await.as_deref(), Ok("1"));
        }
        assert!(began.elapsed() < READS * HEARTBEAT / 4, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_confirms_no_read_although_it_has_a_lease() {
    let nodes = Nodes::start_with(true);
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let range = nodes.range(leader);
    nodes.isolate(leader, true);
    assert!(range.is_leader());
    let began = Instant::now();
    assert_eq!(read_as_clients(&range, "GET a").await, Err(no_leader()));
    assert!(began.elapsed() < 2 * CONFIRM_WAIT, "{:?}", began.elapsed());
    nodes.write(&others(leader), "SET a 2").await;
    assert_eq!(read_as_clients(&range, "GET a").await, Err(no_leader()));
    nodes.isolate(leader, false);
    // Until it knows the one that leads now, there is none.
    while read_as_clients(&range, "GET a").await == Err(no_leader()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let next = read_as_clients(&range, "GET a").await;
    assert!(matches!(next, Err(RangeError::NotLeader { .. })), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_lease_refuses_what_writes_and_does_nothing() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let range = nodes.range(leader);
    nodes.isolate(leader, true);
    while range.is_leader() {
        lose_lease(&range);
        // An answer may have arrived before.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(range.leader(), Leader::Here);
    assert_eq!(write(&range, "SET a 2").await, Err(no_leader()));
    let line = Line::new("SET a 3");
    assert_eq!(range.transact(&[], &[line.request()]).map(drop), Err(no_leader()));
    assert_eq!(range.propose_large(&line.request()).await.map(drop), Err(no_leader()));
    nodes.isolate(leader, false);
    let leader = nodes.write(&[0, 1, 2], "SET b 1").await;
    assert_eq!(read_as_clients(&nodes.range(leader), "GET a").await.as_deref(), Ok("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_are_refused_when_their_leader_ends() {
    let nodes = Nodes::start_with(true);
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    nodes.isolate(leader, true);
    let confirmation = nodes.range(leader).confirm();
    nodes.close(leader).await;
    let refused = timeout(CONFIRM_WAIT / 2, confirmation).await;
    assert_eq!(refused, Ok(Err(no_leader())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_only_reads_is_confirmed_and_not_written() {
    let nodes = Nodes::start_with(true);
    let leader = nodes.write(&[0, 1, 2], "SET a 1; SET b 2").await;
    let range = nodes.range(leader);
    let applied = range.status().applied;
    let lines = [Line::new("GET a"), Line::new("GET b")];
    let requests = lines.each_ref().map(Line::request);
    let replies = range.transact_large(&[], &requests).await.expect("read").await.expect("read");
    assert_eq!(texts(replies), ["1", "2"]);
    assert_eq!(range.status().applied, applied);
    assert!(range.transact(&[], &requests).is_err(), "it would not wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_sent_before_a_read_came_does_not_confirm_it() {
    let nodes = Nodes::start_with(true);
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let range = nodes.range(leader);
    assert_eq!(read_as_clients(&range, "GET a").await.as_deref(), Ok("1"));
    // The others answer it, and their answers take long.
    nodes.network.held.lock().insert(NODES[leader].into(), Vec::new());
    while nodes.network.held.lock()[NODES[leader]].len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // From now on they may elect another one.
    nodes.isolate(leader, true);
    let read = read_as_clients(&range, "GET a");
    let arrive = async {
        tokio::time::sleep(HEARTBEAT / 2).await;
        let held = nodes.network.held.lock().remove(NODES[leader]).expect("held");
        let ranges = nodes.running[leader].lock().clone().expect("running");
        held.into_iter().for_each(|(from, frame)| ranges.receive(&from, frame));
    };
    assert_eq!(tokio::join!(read, arrive).0, Err(no_leader()));
}
