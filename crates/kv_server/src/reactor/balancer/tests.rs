//! What a balancer does to a machine that is simulated: reactors that share its cores, and connections that
//! each keep a core busy for a part of the time.

use super::*;

/// A machine, and a load of which each connection needs a share of a core.
struct Machine {
    cores: f64,
    /// Cores that other processes use and do not give up.
    others: f64,
    /// Whether other processes use what is left.
    is_full: bool,
    balancer: Balancer,
    /// The connections of each reactor, by their load.
    reactors: Vec<Vec<f64>>,
    /// How many connections have changed their reactor.
    hand_overs: usize,
}

impl Machine {
    /// As many reactors as cores; all connections begin on the first.
    fn new(cores: usize, others: f64, connections: Vec<f64>) -> Machine {
        let mut reactors = vec![Vec::new(); cores];
        reactors[0] = connections;
        let balancer = Balancer::new(cores);
        Machine { cores: cores as f64, others, is_full: false, balancer, reactors, hand_overs: 0 }
    }

    /// The share of time in which each reactor is busy.
    fn busy(&self) -> Vec<f64> {
        self.reactors.iter().map(|connections| connections.iter().sum::<f64>().min(1.0)).collect()
    }

    /// Passes some intervals. Connections become ready one after the other.
    fn run(&mut self, intervals: usize) -> &mut Machine {
        for _ in 0..intervals {
            let busy = self.busy();
            let (all, ours) = (busy.iter().sum::<f64>(), self.cores - self.others);
            let requests = (all.min(ours) * 100_000.0) as u64;
            let idle = if self.is_full { 0.0 } else { (ours - all).max(0.0) };
            for (from, plan) in self.balancer.balance(&busy, requests, || Some(idle)) {
                let Plan::HandOver { nth, to } = plan else { continue };
                let (mut kept, mut moved) = (Vec::new(), Vec::new());
                for (index, load) in std::mem::take(&mut self.reactors[from]).into_iter().enumerate() {
                    if (index + 1).is_multiple_of(nth) { moved.push(load) } else { kept.push(load) }
                }
                self.hand_overs += moved.len();
                for (index, load) in moved.into_iter().enumerate() {
                    self.reactors[to.start + index % to.len()].push(load);
                }
                self.reactors[from] = kept;
            }
        }
        self
    }

    /// Changes the load of every connection.
    fn scale(&mut self, factor: f64) -> &mut Machine {
        self.reactors.iter_mut().flatten().for_each(|load| *load *= factor);
        self
    }

    fn serving(&self) -> usize {
        self.reactors.iter().filter(|connections| !connections.is_empty()).count()
    }
}

#[test]
fn a_light_load_stays_on_one_reactor() {
    let mut machine = Machine::new(16, 1.0, vec![0.017; 50]);
    machine.run(100);
    assert_eq!((machine.serving(), machine.hand_overs), (1, 0), "busy for 85 %");
}

#[test]
fn a_small_machine_whose_other_core_makes_the_load_stays_on_one_reactor() {
    let mut machine = Machine::new(2, 0.9, vec![0.1; 50]);
    let spread = (0..4_000).filter(|_| machine.run(1).serving() > 1).count();
    assert!(spread <= 40, "{spread} intervals of a thousand seconds: a second core was tried");
    machine.others = 0.1;
    assert_eq!(machine.run(1).serving(), 2, "a core is idle");
}

#[test]
fn what_a_full_machine_gives_up_is_used() {
    // 12.8 cores are needed; other processes use all 16, but give up to 8 for this one.
    let mut machine = Machine::new(16, 8.0, vec![0.032; 400]);
    machine.is_full = true;
    machine.run(80);
    let (serving, busy) = (machine.serving(), machine.busy().iter().sum::<f64>());
    assert!((8..=12).contains(&serving) && busy > 8.0, "{serving}, {busy} after 20 s");
    let spread = (0..4_000).filter(|_| machine.run(1).serving() > serving).count();
    assert!(spread <= 40, "{spread} intervals of a thousand seconds: one more was tried");
}

#[test]
fn one_more_is_kept_if_more_requests_are_executed() {
    let after_trial = |before, during| {
        let mut balancer = Balancer::new(2);
        for _ in 0..=TRIAL_DELAY {
            assert_eq!(balancer.active(), 1);
            balancer.balance(&[1.0, 0.0], before, || Some(0.0));
        }
        assert_eq!(balancer.active(), 2);
        for _ in 0..TRIAL_INTERVALS {
            balancer.balance(&[1.0, 1.0], during, || Some(0.0));
        }
        balancer.active()
    };
    assert_eq!(after_trial(100_000, 160_000), 2, "each thread gets a small share of a core");
    assert_eq!(after_trial(100_000, 80_000), 1, "it took the time of the clients");
}

#[test]
fn sixteen_cores_are_used_as_the_load_needs_them_and_given_back() {
    // 400 connections, which need 12.8 cores.
    let mut machine = Machine::new(16, 0.0, vec![0.032; 400]);
    machine.run(1);
    assert_eq!((machine.serving(), machine.hand_overs), (2, 200));
    machine.run(3);
    assert!((13..=16).contains(&machine.serving()), "{} after a second", machine.serving());
    machine.run(10);
    let (serving, hand_overs) = (machine.serving(), machine.hand_overs);
    assert!(machine.busy().iter().all(|busy| *busy < SATURATED_SHARE), "{:?}", machine.busy());
    assert!(hand_overs < 1_200, "{hand_overs} hand-overs: each connection moves three times at most");
    machine.run(1_000);
    assert_eq!((machine.serving(), machine.hand_overs), (serving, hand_overs), "a steady load moves nothing");
    machine.scale(0.5).run(10);
    assert!((8..=10).contains(&machine.serving()), "{} at half the load", machine.serving());
    machine.scale(0.05).run(10);
    assert_eq!(machine.serving(), 1, "a light load is on one again");
}

#[test]
fn a_pause_shorter_than_a_second_moves_nothing() {
    let mut machine = Machine::new(4, 0.0, vec![0.05; 50]);
    machine.run(10);
    let (serving, hand_overs) = (machine.serving(), machine.hand_overs);
    assert!(serving >= 3);
    for _ in 0..20 {
        machine.scale(0.001).run(CALM_INTERVALS as usize - 1);
        machine.scale(1_000.0).run(2);
    }
    assert_eq!((machine.serving(), machine.hand_overs), (serving, hand_overs));
}

#[test]
fn two_heavy_connections_get_a_reactor_each_and_one_that_fills_a_core_stays() {
    let mut machine = Machine::new(4, 0.0, vec![0.8, 0.8]);
    machine.run(5);
    assert_eq!(machine.busy()[..2], [0.8, 0.8]);
    let mut machine = Machine::new(4, 0.0, vec![1.0]);
    machine.run(100);
    assert_eq!(machine.hand_overs, 0, "it cannot be shared");
}

#[test]
fn nothing_spreads_before_the_idle_time_is_known() {
    let mut balancer = Balancer::new(2);
    assert_eq!(balancer.balance(&[1.0, 0.0], 0, || None), []);
    let half = Plan::HandOver { nth: 2, to: 1..2 };
    assert_eq!(balancer.balance(&[1.0, 0.0], 0, || Some(0.8)), [(0, half), (1, Plan::Keep)]);
    assert_eq!(balancer.balance(&[0.5, 0.5], 0, || Some(0.8)), [(0, Plan::Keep)], "the order ends");
    assert_eq!(balancer.balance(&[0.5, 0.5], 0, || Some(0.8)), []);
}
