//! Ranges with three replicas, on nodes of one process whose links can be cut.

mod confirmed;
mod disk;
mod snapshots;
mod votes;

use super::*;
use crate::{
    consensus::frame::{self, Body, Call, Envelope},
    limits::{HEARTBEAT, LEASE, QUORUM_WAIT},
    log::encoding::Vote,
    range::leader::Leader,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};
use tokio::time::timeout;

pub(super) const NODES: [&str; 5] = ["foo@a", "bar@b", "baz@c", "qux@d", "quux@e"];
/// Those that have replicas from the start.
const MEMBERS: [&str; 3] = [NODES[0], NODES[1], NODES[2]];

/// Frames, each with the node that has sent it.
type Frames = Vec<(String, Vec<u8>)>;

/// What carries the frames of all nodes.
#[derive(Debug, Default)]
struct Network {
    nodes: Mutex<BTreeMap<String, Weak<Ranges>>>,
    /// From which node to which nothing gets through.
    cut: Mutex<BTreeSet<(String, String)>>,
    /// To which node frames do not get through yet, and those that were sent to it.
    held: Mutex<BTreeMap<String, Frames>>,
    /// How long a frame takes.
    delay: Mutex<Duration>,
}

/// The network as one node sees it.
#[derive(Debug)]
struct Link {
    from: String,
    network: Arc<Network>,
}

impl SendFrame for Link {
    fn send(&self, node: &str, frame: Vec<u8>) {
        if self.network.cut.lock().contains(&(self.from.clone(), node.to_owned())) {
            return;
        }
        if let Some(held) = self.network.held.lock().get_mut(node) {
            return held.push((self.from.clone(), frame));
        }
        let Some(receiver) = self.network.nodes.lock().get(node).cloned() else { return };
        let (from, delay) = (self.from.clone(), *self.network.delay.lock());
        let deliver = move || {
            if let Some(receiver) = receiver.upgrade() {
                receiver.receive(&from, frame);
            }
        };
        if delay.is_zero() {
            return deliver();
        }
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            deliver();
        });
    }
}

/// Nodes, each with a data directory, the first three of which run from the start.
pub(super) struct Nodes {
    network: Arc<Network>,
    pub(super) directories: [Mutex<TempDir>; 5],
    pub(super) running: [Mutex<Option<Arc<Ranges>>>; 5],
    confirms_reads: bool,
}

impl Nodes {
    pub(super) fn start() -> Nodes {
        Nodes::start_with(false)
    }

    fn start_with(confirms_reads: bool) -> Nodes {
        let directories = [(); 5].map(|()| Mutex::new(TempDir::new().expect("a directory")));
        let (network, running) = (Arc::default(), Default::default());
        let nodes = Nodes { network, directories, running, confirms_reads };
        (0..3).for_each(|node| nodes.open(node));
        nodes
    }

    fn open(&self, node: usize) {
        let placement = Some(Placement::on(MEMBERS.map(Arc::from)));
        let confirms_reads = self.confirms_reads;
        let row = ReplicaSpan { span: span("", None), placement, may_be_new: true, confirms_reads };
        self.open_with(node, vec![row]);
    }

    /// Opens a node whose settings have these ranges.
    pub(super) fn open_with(&self, node: usize, spans: Vec<ReplicaSpan>) {
        let (from, network) = (NODES[node].to_owned(), self.network.clone());
        let settings = RangesSettings {
            node: NODES[node].into(),
            spans,
            carrier: Arc::new(Link { from, network }),
            ..settings(self.directories[node].lock().path())
        };
        let ranges = Arc::new(Ranges::open(&settings).expect("opened"));
        self.network.nodes.lock().insert(NODES[node].into(), Arc::downgrade(&ranges));
        *self.running[node].lock() = Some(ranges);
    }

    pub(super) async fn close(&self, node: usize) {
        let ranges = self.running[node].lock().take().expect("running");
        ranges.close().await;
        // Its directory can be opened again when nobody uses it any more.
        while Arc::strong_count(&ranges) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As a `kill -9` would leave it: what it has on disk now is what it has when it is opened again.
    pub(super) async fn kill(&self, node: usize) {
        self.isolate(node, true);
        let killed = killed(self.directories[node].lock().path());
        self.close(node).await;
        *self.directories[node].lock() = killed;
        self.isolate(node, false);
    }

    /// Has a node begin with an empty disk.
    async fn wipe(&self, node: usize) {
        self.close(node).await;
        *self.directories[node].lock() = TempDir::new().expect("a directory");
    }

    /// Cuts all links of a node, or restores them.
    pub(super) fn isolate(&self, node: usize, is_cut: bool) {
        let mut cut = self.network.cut.lock();
        for other in (0..NODES.len()).filter(|other| *other != node) {
            for pair in [(node, other), (other, node)] {
                let pair = (NODES[pair.0].to_owned(), NODES[pair.1].to_owned());
                if is_cut {
                    cut.insert(pair)
                } else {
                    cut.remove(&pair)
                };
            }
        }
    }

    /// Has frames to a node arrive no more.
    pub(super) fn hold(&self, node: usize) {
        self.network.held.lock().insert(NODES[node].into(), Vec::new());
    }

    pub(super) fn range(&self, node: usize) -> Arc<Range> {
        self.running[node].lock().as_ref().expect("running").all()[0].clone()
    }

    fn transport(&self, node: usize) -> Arc<Transport> {
        self.running[node].lock().as_ref().expect("running").open.read()[0]
            .transport
            .clone()
            .expect("several")
    }

    /// Waits until one of these nodes leads.
    pub(super) async fn leader_of(&self, among: &[usize]) -> usize {
        let began = Instant::now();
        loop {
            let leads = |node: &&usize| self.range(**node).leader() == Leader::Here;
            if let Some(leader) = among.iter().find(leads) {
                return *leader;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "nobody leads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes at the leader among these nodes, whoever that is, until it is acknowledged.
    pub(super) async fn write(&self, among: &[usize], line: &str) -> usize {
        loop {
            let leader = self.leader_of(among).await;
            match write(&self.range(leader), line).await {
                Ok(_) => return leader,
                Err(error) => assert!(!matches!(error, RangeError::Stopped { .. }), "{error}"),
            }
        }
    }

    /// Waits until a node has executed what another one has.
    async fn catch_up(&self, node: usize, leader: usize) {
        let applied = |node| self.range(node).status().applied;
        let (wanted, began) = (applied(leader), Instant::now());
        while applied(node) < wanted {
            let status = || self.range(node).status();
            assert!(began.elapsed() < Duration::from_secs(20), "{wanted}: {:?}", status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a node knows that the replicas of all three, and no others, are the voters.
    async fn wait_for_voters(&self, node: usize) {
        let running = self.running.iter().filter_map(|running| running.lock().clone());
        let mut replicas: Vec<_> = running
            .map(|ranges| ranges.open.read()[0].transport.as_ref().expect("several").replica)
            .collect();
        replicas.sort_unstable();
        let voters = || self.range(node).progress.position().map(|position| position.voters);
        let began = Instant::now();
        while voters() != Some(vec![replicas.clone()]) {
            assert!(began.elapsed() < Duration::from_secs(20), "{replicas:?}: {:?}", voters());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Reads at once, or when it is confirmed that the node leads.
async fn read_as_clients(range: &Range, line: &str) -> Result<String, RangeError> {
    range.confirm().await?;
    let line = Line::new(line);
    range.read_confirmed(&[line.request()]).map(|replies| texts(replies).remove(0))
}

fn others(node: usize) -> [usize; 2] {
    [(node + 1) % 3, (node + 2) % 3]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_a_majority_and_survives_the_leader() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    for follower in others(leader) {
        nodes.catch_up(follower, leader).await;
        assert_eq!(stored(&nodes.range(follower), "GET a"), "1");
        let range = nodes.range(follower);
        let refused = range.may_read().expect_err("it follows");
        let expected = RangeError::NotLeader { range: "..".into(), leader: NODES[leader].into() };
        assert_eq!(refused, expected);
        assert_eq!(write(&range, "SET a 2").await, Err(expected));
    }
    nodes.kill(leader).await;
    let second = nodes.write(&others(leader), "SET b 1").await;
    assert_eq!(read(&nodes.range(second), "GET a"), "1");
    nodes.open(leader);
    nodes.catch_up(leader, second).await;
    assert_eq!(stored(&nodes.range(leader), "GET b"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_majority_serves_nothing() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a old").await;
    nodes.isolate(leader, true);
    // It does not know yet, so this waits for the others.
    let unknown = write(&nodes.range(leader), "SET a unknown").await;
    assert_eq!(unknown, Err(RangeError::Unknown { range: "..".into() }));
    let none = RangeError::NoLeader { range: "..".into(), needs: 2, nodes: MEMBERS.join(", ").into() };
    assert_eq!(nodes.range(leader).may_read(), Err(none.clone()));
    assert_eq!(write(&nodes.range(leader), "SET a refused").await, Err(none));
    let second = nodes.write(&others(leader), "SET a new").await;
    nodes.isolate(leader, false);
    nodes.catch_up(leader, second).await;
    assert_eq!(stored(&nodes.range(leader), "GET a"), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_empty_disk_gets_a_new_replica_and_the_old_one_has_no_vote() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    let [wiped, other] = others(leader);
    nodes.wipe(wiped).await;
    nodes.open(wiped);
    nodes.catch_up(wiped, leader).await;
    assert_eq!(stored(&nodes.range(wiped), "GET a"), "1");
    nodes.wait_for_voters(wiped).await;
    nodes.close(other).await;
    nodes.write(&[leader, wiped], "SET b 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_one_replica_becomes_one_of_three_while_it_is_used() {
    let nodes = Nodes::start();
    for node in 0..3 {
        nodes.wipe(node).await;
    }
    let alone = Ranges::open(&RangesSettings {
        node: NODES[1].into(),
        ..settings(nodes.directories[1].lock().path())
    });
    let alone = alone.expect("opened");
    assert_eq!(alone.all()[0].wait_until_loaded().await, RangeState::Ready);
    write(&alone.all()[0], "SET a 1").await.expect("written");
    alone.close().await;
    drop(alone);
    (0..3).for_each(|node| nodes.open(node));
    nodes.write(&[0, 1, 2], "SET b 1").await;
    for node in [0, 2] {
        nodes.catch_up(node, 1).await;
        assert_eq!(stored(&nodes.range(node), "GET a"), "1");
    }
    nodes.wait_for_voters(0).await;
    nodes.wait_for_voters(2).await;
    nodes.kill(1).await;
    let leader = nodes.write(&[0, 2], "SET c 1").await;
    assert_eq!(read(&nodes.range(leader), "GET a"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_hands_over_to_a_replica_that_has_all_entries() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    nodes.range(leader).hand_over(None).await;
    nodes.close(leader).await;
    // Requests wait for no longer.
    let others = others(leader);
    let led = timeout(QUORUM_WAIT, nodes.leader_of(&others));
    led.await.expect("another one leads when it has ended");
    let next = nodes.write(&others, "SET b 1").await;
    assert_eq!(read(&nodes.range(next), "GET a"), "1");
}

/// Has one node alone have data, and the others an empty disk.
async fn alone_on(nodes: &Nodes, node: usize, entries: usize) {
    for node in 0..3 {
        nodes.wipe(node).await;
    }
    let settings =
        RangesSettings { node: NODES[node].into(), ..settings(nodes.directories[node].lock().path()) };
    let alone = Ranges::open(&settings).expect("opened");
    let range = &alone.all()[0];
    assert_eq!(range.wait_until_loaded().await, RangeState::Ready);
    write(range, "SET a 1").await.expect("written");
    for number in 0..entries {
        write(range, &format!("SET b{number} 1")).await.expect("written");
    }
    alone.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_loads_is_not_taken_for_a_new_one() {
    let nodes = Nodes::start();
    alone_on(&nodes, 0, 2_000).await;
    nodes.open(1);
    nodes.open(2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    nodes.open(0);
    let leader = nodes.leader_of(&[0, 1, 2]).await;
    assert_eq!(read(&nodes.range(leader), "GET a"), "1");
    nodes.wait_for_voters(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_node_joins_with_an_empty_disk_although_the_others_begin_again_at_the_same_time() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    for number in 0..2_000 {
        nodes.write(&[leader], &format!("SET b{number} 1")).await;
    }
    for node in others(leader) {
        nodes.catch_up(node, leader).await;
    }
    // It has the least name, and would name the members of a new range.
    nodes.wipe(1).await;
    nodes.close(0).await;
    nodes.close(2).await;
    (0..3).for_each(|node| nodes.open(node));
    let leader = nodes.leader_of(&[0, 2]).await;
    assert_eq!(read(&nodes.range(leader), "GET a"), "1");
    nodes.wait_for_voters(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_only_voter_serves_while_it_waits_for_the_others_and_takes_them_in_later() {
    let nodes = Nodes::start();
    alone_on(&nodes, 1, 1).await;
    nodes.open(1);
    nodes.leader_of(&[1]).await;
    tokio::time::sleep(QUORUM_WAIT * 2).await;
    assert_eq!(nodes.range(1).leader(), Leader::Here);
    nodes.open(0);
    nodes.open(2);
    nodes.wait_for_voters(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_begins_again_without_the_last_leader() {
    let nodes = Nodes::start();
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    for follower in others(leader) {
        nodes.catch_up(follower, leader).await;
    }
    for node in [0, 1, 2] {
        nodes.kill(node).await;
    }
    others(leader).into_iter().for_each(|node| nodes.open(node));
    let next = nodes.write(&others(leader), "SET b 1").await;
    assert_eq!(read(&nodes.range(next), "GET a"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_followers_are_far_away_has_a_lease_although_nobody_writes() {
    let nodes = Nodes::start();
    *nodes.network.delay.lock() = HEARTBEAT * 3 / 4;
    let leader = nodes.write(&[0, 1, 2], "SET a 1").await;
    tokio::time::sleep(LEASE).await;
    let began = Instant::now();
    while began.elapsed() < LEASE {
        assert_eq!(nodes.range(leader).may_read(), Ok(()), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_frame_of_a_replica_that_was_does_not_hide_the_one_that_took_its_place() {
    let nodes = Nodes::start();
    nodes.write(&[0, 1, 2], "SET a 1").await;
    let [receiver, sender] = [0, 1].map(|node| nodes.transport(node));
    let is_known = || receiver.node_of(sender.replica).is_some();
    while !is_known() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let late = |body: &Body<'_>| {
        let frame = frame::encode(Envelope { to: receiver.replica, from: 1 }, body);
        receiver.receive_frame(NODES[1], frame);
    };
    let vote = Vote { term: 1, replica: 1, is_committed: true };
    late(&Body::Call { id: 0, call: Call::TakeOver { vote } });
    assert!(is_known());
    late(&Body::Hello { start: b"", end: None, has_members: true, wants_reply: false });
    assert!(!is_known());
    let began = Instant::now();
    while !is_known() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not say hello again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_slow_disk_has_replicas_wait_for_longer_before_they_call_an_election() {
    let milliseconds = Duration::from_millis;
    for (sync, lease, longest_delay) in [(40, 800, 400), (80, 1_600, 800)] {
        let [sync, lease, longest_delay] = [sync, lease, longest_delay].map(milliseconds);
        assert_eq!(election_for(sync), ElectionTimes { lease, longest_delay, sync });
    }
}

/// Seconds of faults; `KV_REPLICA_FAULTS` says otherwise.
const FAULT_SECONDS: u64 = 10;

/// Counts at whichever node leads, and reads there. What was acknowledged before must be in each reply.
async fn count(nodes: Arc<Nodes>, seed: u64, counted: Arc<AtomicU64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let node = random.usize(0..3);
        tokio::time::sleep(Duration::from_micros(random.u64(0..2_000))).await;
        let Some(running) = nodes.running[node].lock().clone() else { continue };
        let (range, before) = (&running.all()[0], counted.load(SeqCst));
        let reply = match random.bool() {
            true => match read_as_clients(range, "GET count").await {
                Ok(reply) => reply,
                Err(_) => continue,
            },
            // One whose leader is cut off takes long, and its outcome is unknown.
            false => match timeout(Duration::from_millis(50), write(range, "INCR count")).await {
                Ok(Ok(mut replies)) => replies.remove(0),
                Ok(Err(_)) | Err(_) => continue,
            },
        };
        let value = reply.trim_start_matches("Number(").trim_end_matches(')').parse().unwrap_or(0);
        assert!(value >= before, "seed {seed}: {} has {value}, and {before} was acknowledged", NODES[node]);
        counted.fetch_max(value, SeqCst);
    }
}

/// What happens to one node, and ends after some time.
async fn fault(nodes: &Nodes, random: &mut fastrand::Rng) {
    let leads = |node: &usize| nodes.range(*node).leader() == Leader::Here;
    let leader = (0..3).find(leads).filter(|_| random.bool());
    let node = leader.unwrap_or_else(|| random.usize(0..3));
    // An election takes up to about two seconds.
    let wait = Duration::from_millis(random.u64(0..4_000));
    match random.usize(0..4) {
        0 => {
            nodes.kill(node).await;
            tokio::time::sleep(wait).await;
            nodes.open(node);
        }
        1 => {
            nodes.close(node).await;
            tokio::time::sleep(wait).await;
            nodes.open(node);
        }
        2 => {
            nodes.isolate(node, true);
            tokio::time::sleep(wait).await;
            nodes.isolate(node, false);
        }
        _ => {
            let pair = (NODES[node].to_owned(), NODES[(node + random.usize(1..3)) % 3].to_owned());
            nodes.network.cut.lock().insert(pair.clone());
            tokio::time::sleep(wait).await;
            nodes.network.cut.lock().remove(&pair);
        }
    }
    tokio::time::sleep(Duration::from_millis(random.u64(0..1_000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_no_read_is_stale_whatever_happens_to_one_node_at_a_time() {
    count_under_faults(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_confirmed_read_is_stale_whatever_happens_to_one_node_at_a_time() {
    count_under_faults(true).await;
}

async fn count_under_faults(confirms_reads: bool) {
    let seconds = env::var("KV_REPLICA_FAULTS").map_or(FAULT_SECONDS, |set| set.parse().expect("seconds"));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (nodes, counted) = (Arc::new(Nodes::start_with(confirms_reads)), Arc::<AtomicU64>::default());
    nodes.write(&[0, 1, 2], "SET count 0").await;
    let clients = (0..4).map(|client| tokio::spawn(count(nodes.clone(), seed ^ client, counted.clone())));
    let (clients, began) = (Vec::from_iter(clients), Instant::now());
    let mut random = fastrand::Rng::with_seed(seed);
    while began.elapsed() < Duration::from_secs(seconds) {
        fault(&nodes, &mut random).await;
        assert!(!clients.iter().any(|client| client.is_finished()), "what a client has seen is above");
    }
    let before = counted.load(SeqCst);
    while counted.load(SeqCst) == before {
        assert!(!clients.iter().any(|client| client.is_finished()), "what a client has seen is above");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{} counted", counted.load(SeqCst));
    clients.iter().for_each(|client| client.abort());
}
