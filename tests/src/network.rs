//! A network of three machines, in namespaces of the kernel: a cable between each two of them, which a test
//! can cut in one direction or both, and one from each to the test, for clients, which is never disturbed.

use crate::tool::tool;
use std::{
    fmt::Write as _,
    io::{Write as _, stderr},
    net::Ipv4Addr,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Three machines.
pub const MACHINES: usize = 3;

/// The network. It is gone with the test.
#[derive(Debug)]
pub struct Network {
    /// The process and the number of the network in it, with which all names begin.
    process: u32,
    number: u32,
}

/// What happens to packets from one machine to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// They arrive.
    Passes,
    /// None of them arrives, and the sender learns nothing.
    Cut,
    /// One in four is lost.
    Lossy,
    /// They wait for half a second behind each other, and those that would wait for longer are lost.
    Slow,
}

impl Network {
    /// Lays the cables; `None` where there are no namespaces, or no tools for them.
    ///
    /// # Panics
    /// In that case when `CI` is set, where nothing may be skipped.
    pub fn new() -> Option<Network> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for name in ["ip", "nft", "tc"] {
            tool(name)?;
        }
        let network = Network { process: process::id(), number: COUNT.fetch_add(1, Relaxed) };
        let added = Command::new("ip").args(["netns", "add", &network.namespace(0)]).output();
        let added = added.expect("ip starts");
        if !added.status.success() {
            assert!(std::env::var_os("CI").is_none(), "no network namespaces: {added:?}");
            // Not a print, which the test harness would hide.
            let reason = String::from_utf8_lossy(&added.stderr);
            let _ = writeln!(stderr(), "SKIPPED: this machine permits no network namespaces: {reason}");
            return None;
        }
        (1..MACHINES).for_each(|machine| run(&format!("netns add {}", network.namespace(machine))));
        (0..MACHINES).for_each(|machine| network.connect_to_test(machine));
        for [one, other] in [[0, 1], [0, 2], [1, 2]] {
            network.connect(one, other);
        }
        Some(network)
    }

    fn namespace(&self, machine: usize) -> String {
        format!("kv{}-{}-{machine}", self.process, self.number)
    }

    fn connect_to_test(&self, machine: usize) {
        let (namespace, here) = (self.namespace(machine), self.clients_of(machine, 1));
        let device = self.client_device(machine);
        run(&format!("-n {namespace} link set lo up"));
        run(&format!("-n {namespace} address add {}/32 dev lo", self.link_address(machine)));
        run(&format!("link add {device} type veth peer name clients netns {namespace}"));
        run(&format!("address add {here}/30 dev {device}"));
        run(&format!("link set {device} up"));
        run(&format!("-n {namespace} address add {}/30 dev clients", self.client_address(machine)));
        run(&format!("-n {namespace} link set clients up"));
    }

    fn connect(&self, one: usize, other: usize) {
        let [namespace, peer] = [one, other].map(|machine| self.namespace(machine));
        run(&format!("-n {namespace} link add to{other} type veth peer name to{one} netns {peer}"));
        for (from, to) in [(one, other), (other, one)] {
            let (namespace, source) = (self.namespace(from), self.link_address(from));
            run(&format!("-n {namespace} link set to{to} up"));
            let route = format!("{}/32 dev to{to} src {source}", self.link_address(to));
            run(&format!("-n {namespace} route add {route}"));
        }
    }

    /// The end at the test of a machine's cable. A name of a device has at most 15 bytes.
    fn client_device(&self, machine: usize) -> String {
        format!("kv{}x{}c{machine}", self.process, self.number)
    }

    /// Where the other machines reach one.
    pub fn link_address(&self, machine: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, machine as u8 + 1)
    }

    /// Where the test reaches a machine.
    pub fn client_address(&self, machine: usize) -> Ipv4Addr {
        self.clients_of(machine, 2)
    }

    /// An address of the cable from a machine to the test, which no other network of this machine has.
    fn clients_of(&self, machine: usize, end: u8) -> Ipv4Addr {
        let [.., high, low] = (self.process * 4 + self.number % 4).to_be_bytes();
        Ipv4Addr::new(10, 128 | high & 127, low, machine as u8 * 4 + end)
    }

    /// The words before a command that runs on a machine.
    pub(crate) fn prefix(&self, machine: usize) -> [String; 4] {
        ["ip", "netns", "exec", &self.namespace(machine)].map(str::to_owned)
    }

    /// Says what happens to all packets between two machines, from here to there.
    pub fn set(&self, traffic: impl Fn(usize, usize) -> Traffic) {
        for machine in 0..MACHINES {
            // The first line is for the table that is not there yet.
            let mut rules = String::from("table inet links\ndelete table inet links\ntable inet links {\n");
            rules += "chain arrivals {\ntype filter hook input priority 0\n";
            for other in (0..MACHINES).filter(|other| *other != machine) {
                let lost = match traffic(other, machine) {
                    Traffic::Passes | Traffic::Slow => continue,
                    Traffic::Cut => "",
                    Traffic::Lossy => "numgen random mod 4 0 ",
                };
                writeln!(rules, "iifname \"to{other}\" {lost}drop").expect("a String can grow");
            }
            rules += "}\n}\n";
            self.run_on(machine, &["nft", "-f", "-"], &rules);
            for other in (0..MACHINES).filter(|other| *other != machine) {
                let queue = match traffic(machine, other) {
                    Traffic::Slow => "tbf rate 200kbit burst 4kb latency 500ms",
                    _ => "pfifo limit 1000",
                };
                let qdisc = format!("tc qdisc replace dev to{other} root {queue}");
                self.run_on(machine, &Vec::from_iter(qdisc.split(' ')), "");
            }
        }
    }

    /// All packets arrive.
    pub fn heal(&self) {
        self.set(|_, _| Traffic::Passes);
    }

    fn run_on(&self, machine: usize, words: &[&str], input: &str) {
        let [program, rest @ ..] = self.prefix(machine);
        let mut command = Command::new(program);
        let child = command.args(rest).args(words).stdin(Stdio::piped()).spawn();
        let mut child = child.expect("ip starts");
        let stdin = child.stdin.take().expect("it is piped");
        { stdin }.write_all(input.as_bytes()).expect("it reads");
        let status = child.wait().expect("our own child");
        assert!(status.success(), "{words:?} {input}: {status}");
    }
}

/// Runs `ip` with these words.
fn run(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("ip starts");
    assert!(output.status.success(), "ip {words}: {output:?}");
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in 0..MACHINES {
            // Its namespace stays as long as connections end that were cut, and with it the other cables.
            let _ = Command::new("ip").args(["link", "delete", &self.client_device(machine)]).output();
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(machine)]).output();
        }
    }
}
