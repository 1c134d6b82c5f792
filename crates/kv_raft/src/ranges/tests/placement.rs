//! Replicas that come and go while their range is written to.

use super::{
    voters::{NODES, Nodes},
    *,
};
use crate::range::{leader::Leader, state::RangeStatus};
use std::time::Instant;

/// The number that a reply is.
fn number(reply: &str) -> u64 {
    reply.trim_matches(|character: char| !character.is_ascii_digit()).parse().expect("a number")
}

/// The replicas of these nodes, and of those that leave.
pub(super) fn placement(nodes: &[usize], leaving: &[usize]) -> Placement {
    let named = |nodes: &[usize]| nodes.iter().map(|node| Arc::from(NODES[*node])).collect();
    Placement { nodes: named(nodes), leaving: named(leaving), span: None }
}

/// The row of a range, as the table says it to all nodes.
pub(super) fn row(span: Span, placement: Placement) -> ReplicaSpan {
    ReplicaSpan { span, placement: Some(placement), may_be_new: false, confirms_reads: false }
}

impl Nodes {
    pub(super) fn ranges(&self, node: usize) -> Arc<Ranges> {
        self.running[node].lock().clone().expect("running")
    }

    /// What there is in the directory of the ranges of a node.
    fn directories(&self, node: usize) -> Vec<PathBuf> {
        let path = self.directories[node].lock().path().join(RANGES_DIRECTORY);
        fs::read_dir(path).expect("read").map(|entry| entry.expect("read").path()).collect()
    }

    fn statuses(&self) -> Vec<RangeStatus> {
        let running = self.running.iter().filter_map(|running| running.lock().clone());
        running.flat_map(|ranges| ranges.all()).map(|range| range.status()).collect()
    }

    /// Writes at whichever node leads, until that is acknowledged. Returns the number that it replied.
    async fn write_somewhere(&self, line: &str) -> u64 {
        loop {
            let running: Vec<_> = self.running.iter().filter_map(|running| running.lock().clone()).collect();
            let leads = |range: &Arc<Range>| range.leader() == Leader::Here;
            if let Some(range) = running.iter().flat_map(|ranges| ranges.all()).find(leads)
                && let Ok(replies) = write(&range, line).await
            {
                return number(&replies[0]);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Has a range have its replicas on these nodes, as the table says it to all of them.
    async fn place(&self, nodes: &[usize], leaving: &[usize]) {
        let placement = placement(nodes, leaving);
        let row = row(span("", None), placement.clone());
        for node in nodes.iter().chain(leaving) {
            let ranges = self.ranges(*node);
            match ranges.all().first() {
                Some(range) => ranges.set_placement(range, &row),
                None => drop(ranges.add(&row).expect("made")),
            }
        }
        let began = Instant::now();
        while !nodes.iter().any(|node| self.range(*node).settled().as_ref() == Some(&placement)) {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", self.statuses());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for node in leaving {
            let ranges = self.ranges(*node);
            let range = self.range(*node);
            ranges.remove(&range).await.expect("removed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_moved_to_other_nodes_and_back_and_keeps_what_was_acknowledged() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    for node in [3, 4] {
        nodes.open_with(node, Vec::new());
    }
    let mut writes = 1;
    for (to, from) in [
        (&[2, 3, 4][..], &[0, 1][..]),
        (&[0], &[2, 3, 4]),
        (&[1], &[0]),
        (&[0, 1, 2], &[]),
        (&[0, 1, 2, 3, 4], &[]),
        (&[1, 3, 4], &[0, 2]),
    ] {
        nodes.place(to, from).await;
        writes += 1;
        let leader = nodes.write(to, "INCR a").await;
        assert_eq!(read(&nodes.range(leader), "GET a"), writes.to_string(), "moved to {to:?}");
        for left in from {
            assert!(nodes.ranges(*left).all().is_empty());
            let kept = nodes.directories(*left);
            assert!(kept.is_empty(), "{kept:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_replicas_move() {
    let nodes = Arc::new(Nodes::start());
    nodes.write(&[0, 1, 2], "SET a 0").await;
    for node in [3, 4] {
        nodes.open_with(node, Vec::new());
    }
    let (writing, is_over) = (nodes.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let over = is_over.clone();
    let writer = tokio::spawn(async move {
        let (mut least, mut longest) = (0, Duration::ZERO);
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let began = Instant::now();
            // A retry may find that the one before was done.
            least = writing.write_somewhere("INCR a").await;
            longest = longest.max(began.elapsed());
        }
        (least, longest)
    });
    for (to, from) in
        [(&[2, 3, 4][..], &[0, 1][..]), (&[0, 1, 4], &[2, 3]), (&[3], &[0, 1, 4]), (&[0, 1, 2], &[3])]
    {
        nodes.place(to, from).await;
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (least, longest) = writer.await.expect("it has written");
    let leader = nodes.leader_of(&[0, 1, 2]).await;
    let count: u64 = number(&read(&nodes.range(leader), "GET a"));
    assert!(count >= least, "{count} of {least} acknowledged");
    assert!(longest < Duration::from_secs(4), "a write waited for {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_come_is_not_waited_for_when_another_one_is_named() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    let leader = nodes.leader_of(&[0, 1, 2]).await;
    // The first of them does not run.
    let with_missing = placement(&[0, 1, 3], &[2]);
    for node in 0..3 {
        nodes.ranges(node).set_placement(&nodes.range(node), &row(span("", None), with_missing.clone()));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(nodes.range(leader).settled().filter(|settled| *settled == with_missing), None);
    nodes.open_with(4, Vec::new());
    nodes.place(&[0, 1, 4], &[2]).await;
    nodes.write(&[0, 1, 4], "SET a 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_all_entries_takes_the_place_of_none_and_is_no_member_when_that_is_called_off() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    let leader = nodes.leader_of(&[0, 1, 2]).await;
    nodes.open_with(3, Vec::new());
    // It says hello, and gets no entries.
    nodes.hold(3);
    let place = |to: &Placement| {
        let row = row(span("", None), to.clone());
        (0..3).for_each(|node| nodes.ranges(node).set_placement(&nodes.range(node), &row));
    };
    let members = || nodes.range(leader).progress.position().expect("it has members");
    let before = members().voters;
    let to = placement(&[0, 1, 3], &[2]);
    drop(nodes.ranges(3).add(&row(span("", None), to.clone())).expect("made"));
    place(&to);
    let began = Instant::now();
    while members().learners.is_empty() || began.elapsed() < Duration::from_secs(2) {
        assert_eq!(members().voters, before);
        assert!(began.elapsed() < Duration::from_secs(20), "it is not added");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    place(&placement(&[0, 1, 2], &[3]));
    while !members().learners.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it stays a member");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(members().voters, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_is_named_leads() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    for next in [1, 2, 0, 2] {
        let began = Instant::now();
        loop {
            let leader = nodes.leader_of(&[0, 1, 2]).await;
            // On a busy machine yet another one may be elected.
            if leader == next || nodes.range(leader).hand_over(Some(NODES[next])).await {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", nodes.statuses());
        }
        let leader = nodes.range(next).wait_for_leader(Duration::from_secs(2)).await;
        assert_eq!(leader, Leader::Here);
    }
    let leader = nodes.leader_of(&[0, 1, 2]).await;
    assert!(!nodes.range(leader).hand_over(Some("nobody@nowhere")).await);
    nodes.write(&[leader], "SET a 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_lost_track_of_its_replica_finds_it_again() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    let before = nodes.directories(2);
    nodes.close(2).await;
    nodes.write(&[0, 1], "SET a 2").await;
    // As if it knew no placement.
    nodes.open_with(2, Vec::new());
    nodes.place(&[0, 1, 2], &[]).await;
    assert_eq!(nodes.directories(2), before);
    nodes.close(0).await;
    let leader = nodes.write(&[1, 2], "INCR a").await;
    assert_eq!(read(&nodes.range(leader), "GET a"), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_called_off_when_the_members_have_changed_goes_back() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    nodes.open_with(3, Vec::new());
    nodes.place(&[0, 1, 3], &[]).await;
    // Node 2 has not learned it, so it has its replica, which calls elections.
    tokio::time::sleep(Duration::from_secs(2)).await;
    nodes.place(&[0, 1, 2], &[3]).await;
    let leader = nodes.write(&[0, 1, 2], "INCR a").await;
    assert_eq!(read(&nodes.range(leader), "GET a"), "2");
}
