//! What a replica has promised to candidates.

use super::*;
use crate::{consensus::frame::Reply, log::encoding::LogId};

/// Later terms than any that nodes reach by themselves here.
const TERM: u64 = 1_000;

/// Asks a replica for its vote as that of another node would, which has all entries, until it answers.
/// Returns whether it is granted.
async fn is_voted_for(nodes: &Nodes, voter: usize, candidate: (usize, u64), term: u64) -> bool {
    let (node, replica) = candidate;
    let vote = Vote { term, replica, is_committed: false };
    let last = Some(LogId { term: TERM, leader: replica, index: TERM });
    let began = Instant::now();
    nodes.hold(node);
    loop {
        let call = Body::Call { id: term, call: Call::Vote { vote, last } };
        let to = nodes.transport(voter).replica;
        let frame = frame::encode(Envelope { to, from: replica }, &call);
        nodes.running[voter].lock().as_ref().expect("running").receive(NODES[node], frame);
        tokio::time::sleep(Duration::from_millis(20)).await;
        for (_, frame) in &nodes.network.held.lock()[NODES[node]] {
            let (_, body) = frame::decode_envelope(frame).expect("a frame");
            if let Ok(Body::Reply { id, reply: Reply::Vote { is_granted, .. } }) = frame::decode_body(body)
                && id == term
            {
                return is_granted;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it does not answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_when_it_has_voted_has_no_second_vote_in_that_term() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    nodes.wait_for_voters(2).await;
    let mut candidates = [0, 1].map(|node| (node, nodes.transport(node).replica));
    // In one term the library takes the vote for a higher id for the later one.
    candidates.sort_unstable_by_key(|(_, replica)| *replica);
    let [second, first] = candidates;
    nodes.close(0).await;
    nodes.close(1).await;
    let began = Instant::now();
    while !is_voted_for(&nodes, 2, first, TERM).await {
        assert!(began.elapsed() < Duration::from_secs(20), "a leader that has ended has its vote");
    }
    nodes.kill(2).await;
    nodes.open(2);
    assert!(!is_voted_for(&nodes, 2, second, TERM).await, "there may be two leaders in one term");
    assert!(is_voted_for(&nodes, 2, second, 2 * TERM).await);
}
