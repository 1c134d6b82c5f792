//! Replicas that get the snapshot of their leader.

use super::*;
use crate::{
    consensus::frame::Reply,
    identity::read_replica,
    limits::KEPT_ENTRIES,
    log::{Log, LogSettings, encoding::Done},
};
use std::sync::mpsc::channel;

/// Has a replica that was away get the snapshot of the leader. Returns the leader, and the replica.
async fn behind_a_snapshot(nodes: &Nodes) -> [usize; 2] {
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let away = others(leader)[0];
    nodes.kill(away).await;
    for number in 0..KEPT_ENTRIES + 50 {
        nodes.write(&[leader], &format!("HSET h f{number} {number}")).await;
    }
    nodes.range(leader).take_snapshot().await.expect("taken");
    nodes.open(away);
    [leader, away]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_gets_the_snapshot_when_the_log_begins_behind_it() {
    let nodes = Nodes::start();
    let [leader, away] = behind_a_snapshot(&nodes).await;
    nodes.catch_up(away, leader).await;
    assert_eq!(stored(&nodes.range(away), "HLEN h"), format!("Number({})", KEPT_ENTRIES + 50));
    // It goes on from there when it begins again.
    nodes.kill(away).await;
    nodes.open(away);
    nodes.write(&[leader], "SET b 1").await;
    nodes.catch_up(away, leader).await;
    assert_eq!(stored(&nodes.range(away), "GET a"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_loaded_is_not_sent_again_to_a_replica_whose_reply_was_lost() {
    let nodes = Nodes::start();
    let [leader, away] = behind_a_snapshot(&nodes).await;
    nodes.catch_up(away, leader).await;
    let (leading, behind) = (nodes.transport(leader), nodes.transport(away));
    let range = nodes.range(leader);
    let snapshot = range.snapshots.status().newest.expect("it was taken");
    let vote = Vote { term: snapshot.position.last.term, replica: leading.replica, is_committed: true };
    let (position, bytes) = (snapshot.position.to_bytes(), snapshot.bytes);
    let ask = || {
        let call = Call::Snapshot { vote, position: &position, bytes, offset: bytes, part: b"" };
        leading.call(behind.replica, call)
    };
    let reply = async {
        loop {
            // There is none as long as it is being loaded.
            if let Ok(reply) = timeout(Duration::from_millis(200), ask().reply()).await {
                return reply;
            }
        }
    };
    let reply = timeout(Duration::from_secs(20), reply).await.expect("a reply");
    assert_eq!(reply, Reply::SnapshotLoaded(vote));
}

/// What a killed process leaves while it loads the snapshot of its leader: the library has cut the log behind
/// it, and it is not yet written as one of the replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_killed_while_it_loaded_a_snapshot_goes_on_from_it() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let away = others(leader)[0];
    nodes.kill(away).await;
    nodes.write(&[leader], "SET b 1").await;
    nodes.range(leader).take_snapshot().await.expect("taken");
    let snapshot = nodes.range(leader).snapshots.status().newest.expect("it was taken");
    let (last, directory) =
        (snapshot.position.last, nodes.directories[away].lock().path().join("ranges/1-1"));
    fs::copy(nodes.range(leader).snapshots.path(last.index), directory.join("incoming")).expect("copied");
    let (log, owner) = (directory.join("log"), read_replica(&directory).expect("read").expect("one").owner());
    let mut log = Log::open(LogSettings::new(&log, owner, 1 << 20, Fsync::Always), 0).expect("a log");
    let (sender, receiver) = channel();
    log.purge(last, Done(Box::new(move |result| drop(sender.send(result))))).expect("written");
    receiver.recv().expect("a result").expect("on disk");
    drop(log);
    // What has arrived of another one does not take its place.
    fs::write(directory.join("incoming.part"), b"KVDB").expect("written");
    nodes.open(away);
    nodes.write(&[leader], "SET c 1").await;
    nodes.catch_up(away, leader).await;
    assert_eq!(["GET b", "GET c"].map(|line| stored(&nodes.range(away), line)), ["1", "1"]);
    assert_eq!(nodes.range(away).status().snapshot.written, 1);
    assert!(!directory.join("incoming").exists(), "it is written as one of the replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_arrived_of_a_snapshot_is_removed_at_the_next_start() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let away = others(leader)[0];
    nodes.kill(away).await;
    let directory = nodes.directories[away].lock().path().join("ranges/1-1");
    let received = ["incoming", "incoming.part"].map(|name| directory.join(name));
    received.iter().for_each(|path| fs::write(path, b"KVDB").expect("written"));
    nodes.open(away);
    nodes.write(&[leader], "SET b 1").await;
    nodes.catch_up(away, leader).await;
    assert!(!received.iter().any(|path| path.exists()));
}
