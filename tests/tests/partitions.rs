//! Three nodes on machines of their own, whose network fails, and which hang or are killed, while clients of
//! all of them use what they share.

use fastrand::Rng;
use std::{
    env,
    ops::Range,
    thread,
    time::{Duration, Instant},
};
use tests::{MACHINES, Network, Registers, Signal, Traffic, Trio, Verdicts, wait_until};

/// What happens to the nodes, one after the other.
#[derive(Debug, Clone, Copy)]
enum Fault {
    LeaderAlone,
    FollowerAlone,
    /// The leader receives, and nobody receives it.
    LeaderSilent,
    /// The leader sends, and receives nothing.
    LeaderDeaf,
    /// The leader and one of the others cannot reach each other; the third one reaches both.
    OneLink,
    /// No node reaches another one.
    AllLinks,
    /// The leader is alone, and is not, again and again.
    Flapping,
    Lossy,
    Slow,
    LeaderHangs,
    FollowerHangs,
    /// Whoever leads is killed, again and again.
    Kills,
    /// The leader is killed while one of the others is alone: there is no majority.
    KillBesidePartition,
}

const FAULTS: [Fault; 13] = [
    Fault::LeaderAlone,
    Fault::FollowerAlone,
    Fault::LeaderSilent,
    Fault::LeaderDeaf,
    Fault::OneLink,
    Fault::AllLinks,
    Fault::Flapping,
    Fault::Lossy,
    Fault::Slow,
    Fault::LeaderHangs,
    Fault::FollowerHangs,
    Fault::Kills,
    Fault::KillBesidePartition,
];

/// How long a fault lasts, in milliseconds.
const LASTS_MS: Range<u64> = 500..3_500;
/// How often links fail that fail again and again.
const FLAP: Duration = Duration::from_millis(300);
/// How soon each node serves clients when a fault has ended. It takes a second or two, and longer on a
/// machine that is busy with other things.
const SERVED_AGAIN: Duration = Duration::from_secs(8);
/// How long a client waits for a reply at most.
const LONGEST_REPLY: Duration = Duration::from_secs(15);
/// How long clients wait between two requests at most.
const PAUSE: Duration = Duration::from_millis(5);

#[test]
fn a_leader_that_receives_and_is_not_received_is_replaced_and_serves_nothing() {
    let Some(network) = Network::new() else { return };
    let trio = Trio::start_on(network);
    let network = trio.network().expect("it has one");
    let old = trio.leader();
    let mut client = trio.node(old).resp();
    assert_eq!(client.ask("SET a old"), "+OK\\r\\n");
    network.set(|from, _| if from == old { Traffic::Cut } else { Traffic::Passes });
    let mut other = trio.node((old + 1) % MACHINES).resp();
    wait_until("the others go on", || other.ask("SET a new") == "+OK\\r\\n");
    let reply = client.ask("GET a");
    assert!(reply.starts_with("-CLUSTERDOWN"), "{reply}");
    network.heal();
    wait_until("it follows", || client.ask("GET a") == "$3\\r\\nnew\\r\\n");
    trio.wait_until_caught_up();
}

/// The nodes, and those who use them.
struct Cluster<'a> {
    trio: Trio,
    registers: &'a Registers,
    rng: Rng,
}

impl Cluster<'_> {
    fn wait(&mut self) {
        thread::sleep(Duration::from_millis(self.rng.u64(LASTS_MS)));
    }

    fn set_traffic(&self, traffic: Traffic, is_between: impl Fn(usize, usize) -> bool) {
        let traffic = |from, to| if is_between(from, to) { traffic } else { Traffic::Passes };
        self.trio.network().expect("it has one").set(traffic);
    }

    fn isolate(&self, node: usize) {
        self.set_traffic(Traffic::Cut, |from, to| from == node || to == node);
    }

    fn kill(&mut self, node: usize) {
        self.registers.set_node(node, None);
        self.trio.kill(node);
    }

    fn open(&mut self, node: usize) {
        self.trio.open(node);
        self.registers.set_node(node, Some(self.trio.node(node).clients()));
    }

    fn hang(&mut self, node: usize) {
        self.trio.node(node).signal(Signal::STOP);
        self.wait();
        self.trio.node(node).signal(Signal::CONT);
    }

    /// Lets a fault begin, last and end.
    fn disturb(&mut self, fault: Fault) {
        let leader = self.trio.leader();
        let follower = (leader + self.rng.usize(1..MACHINES)) % MACHINES;
        match fault {
            Fault::LeaderAlone => self.isolate(leader),
            Fault::FollowerAlone => self.isolate(follower),
            Fault::LeaderSilent => self.set_traffic(Traffic::Cut, |from, _| from == leader),
            Fault::LeaderDeaf => self.set_traffic(Traffic::Cut, |_, to| to == leader),
            Fault::OneLink => {
                let pair = [leader, follower];
                self.set_traffic(Traffic::Cut, |from, to| pair.contains(&from) && pair.contains(&to));
            }
            Fault::AllLinks => self.set_traffic(Traffic::Cut, |_, _| true),
            Fault::Flapping => {
                for _ in 0..self.rng.u32(2..5) {
                    self.isolate(leader);
                    thread::sleep(FLAP);
                    self.trio.network().expect("it has one").heal();
                    thread::sleep(FLAP);
                }
                return;
            }
            Fault::Lossy => self.set_traffic(Traffic::Lossy, |_, _| true),
            Fault::Slow => self.set_traffic(Traffic::Slow, |from, _| from == leader),
            Fault::LeaderHangs => return self.hang(leader),
            Fault::FollowerHangs => return self.hang(follower),
            Fault::Kills => {
                for _ in 0..3 {
                    let killed = self.trio.leader();
                    self.kill(killed);
                    thread::sleep(Duration::from_millis(self.rng.u64(0..2_000)));
                    self.open(killed);
                }
                return;
            }
            Fault::KillBesidePartition => {
                self.isolate(follower);
                self.kill(leader);
                self.wait();
                self.open(leader);
            }
        }
        self.wait();
        self.trio.network().expect("it has one").heal();
    }

    /// Waits until each node serves clients again, and has the same entries as the others. Returns how long
    /// that took.
    fn recover(&self, fault: Fault) -> Duration {
        let healed = Instant::now();
        for node in self.trio.running() {
            let mut client = node.resp();
            wait_until("the node serves", || client.ask("SET served 1") == "+OK\\r\\n");
        }
        let took = healed.elapsed();
        println!("{fault:?}: each node serves again after {took:.1?}");
        assert!(took < SERVED_AGAIN, "after {fault:?}: {took:?}");
        self.registers.between_requests(|| self.trio.wait_until_caught_up());
        self.registers.wait_for(50);
        took
    }
}

/// Disturbs new nodes in all ways, in an order that the seed says. Returns what was done, or what clients
/// have seen that cannot be.
fn disturb_all(network: Network, seed: u64) -> Result<String, String> {
    let registers = Registers::with_pause(MACHINES, PAUSE);
    let mut cluster =
        Cluster { trio: Trio::start_on(network), registers: &registers, rng: Rng::with_seed(seed) };
    assert_eq!(cluster.trio.node(0).client().ask("CREATE registers"), "OK");
    let mut faults = FAULTS;
    cluster.rng.shuffle(&mut faults);
    let mut longest_recovery = Duration::ZERO;
    let wrong = registers.check_while(|| {
        for node in 0..MACHINES {
            registers.set_node(node, Some(cluster.trio.node(node).clients()));
        }
        for fault in faults {
            cluster.disturb(fault);
            longest_recovery = longest_recovery.max(cluster.recover(fault));
        }
    });
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    assert!(registers.longest() < LONGEST_REPLY, "a client waited for {:?}", registers.longest());
    cluster.trio.check_copies();
    Ok(format!(
        "{} acknowledged, {} refused, {} unknown; served again after {longest_recovery:.1?}, replies after {:.1?} \
         at most",
        registers.acknowledged(),
        registers.refused(),
        registers.unknown(),
        registers.longest(),
    ))
}

/// `KV_PARTITION_SECONDS=3600 KV_PARTITION_FILE=/tmp/partitions` goes on where the file ends, for an hour.
#[test]
fn what_clients_see_has_an_order_whatever_happens_to_the_network_and_the_nodes() {
    let seconds = env::var("KV_PARTITION_SECONDS").map_or(0, |seconds| seconds.parse().expect("seconds"));
    let verdicts = Verdicts::in_file_of("KV_PARTITION_FILE");
    let (began, first) = (Instant::now(), verdicts.next_seed());
    for seed in first.. {
        let Some(network) = Network::new() else { return };
        println!("seed {seed} begins");
        match disturb_all(network, seed) {
            Ok(done) => verdicts.add(seed, &format!("ok: {done}")),
            Err(wrong) => {
                verdicts.add(seed, "WRONG");
                panic!("seed {seed}: {wrong}");
            }
        }
        if began.elapsed() >= Duration::from_secs(seconds) {
            return;
        }
    }
}
