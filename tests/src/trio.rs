//! Three nodes with a copy of all buckets each, as rel/cluster.toml has them.

use crate::{
    build,
    network::Network,
    output::sorted_lines,
    release::{Release, verb},
    temp_dir::TempDir,
    wait::{TIMEOUT, wait_until},
};
use std::{fmt::Write, fs, net::TcpListener, path::PathBuf, process::Output, sync::Arc, time::Instant};

/// Three nodes that know each other.
#[derive(Debug)]
pub struct Trio {
    /// Those that run.
    nodes: [Option<Release>; 3],
    programs: [PathBuf; 3],
    files: [String; 3],
    directories: [Arc<TempDir>; 3],
    links: [String; 3],
    /// Where they run, if not on one machine. It ends after them.
    network: Option<Network>,
}

/// The data directory of a node, in the directory of its own.
const DATA_DIR: &str = "data";

/// The names of the nodes.
pub const TRIO: [&str; 3] = ["foo1@127.0.0.1", "foo2@127.0.0.1", "foo3@127.0.0.1"];

impl Trio {
    /// Starts the three and waits until each serves clients.
    pub fn start() -> Trio {
        Trio::start_with("lease")
    }

    /// The same, with these `reads` of the row.
    pub fn start_with(reads: &str) -> Trio {
        Trio::start_in(None, reads, build::binary("foo"))
    }

    /// As [`Trio::start`], of the version before this one, if there is a history to build it from.
    pub fn start_previous() -> Option<Trio> {
        Some(Trio::start_in(None, "lease", build::previous_foo()?))
    }

    /// As [`Trio::start`], with a machine of its own for each.
    pub fn start_on(network: Network) -> Trio {
        Trio::start_in(Some(network), "lease", build::binary("foo"))
    }

    /// As [`Trio::start_on`], of a build with a fault: a value of the `kv_fault` that is compiled in.
    pub fn start_with_fault(fault: &str, network: Network) -> Trio {
        Trio::start_in(Some(network), "lease", build::faulty_foo(fault))
    }

    fn start_in(network: Option<Network>, reads: &str, program: PathBuf) -> Trio {
        let directories = [(); 3].map(|()| Arc::new(TempDir::new()));
        let addresses = [0, 1, 2].map(|node| match &network {
            Some(network) => {
                let [clients, link] = [network.client_address(node), network.link_address(node)];
                (format!("{clients}:0"), format!("{link}:4061"))
            }
            None => {
                // The port is free again when the listener is dropped.
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                ("127.0.0.1:0".to_owned(), listener.local_addr().expect("bound").to_string())
            }
        });
        let files = [0, 1, 2].map(|node: usize| {
            let mut text = String::from("cookie = \"weknoweachotherwell\"\nallow_public_clients = true\n");
            let run_dir = directories[node].path().display().to_string();
            let mut line = |line: String| writeln!(text, "{line}").expect("a String can grow");
            line(format!("run_dir = {run_dir:?}"));
            for ((name, (clients, link)), directory) in TRIO.iter().zip(&addresses).zip(&directories) {
                let data_dir = directory.path().join(DATA_DIR).display().to_string();
                line(format!("[nodes.{name:?}]\nclients = {clients:?}"));
                line(format!("link = {link:?}\ndata_dir = {data_dir:?}"));
            }
            line(format!("[[routes]]\nbuckets = \"..\"\nnodes = {TRIO:?}\nreads = {reads:?}\n[links]\nheartbeat_ms = 500"));
            directories[node].write("cluster.toml", &text).display().to_string()
        });
        let programs = [(); 3].map(|()| program.clone());
        let links = addresses.map(|(_, link)| link);
        let mut trio = Trio { nodes: [const { None }; 3], programs, files, directories, links, network };
        (0..3).for_each(|node| trio.open(node));
        trio.wait_until_served();
        trio.wait_until_caught_up();
        trio
    }

    /// Starts a node that does not run.
    pub fn open(&mut self, node: usize) {
        self.open_with(node, &[]);
    }

    /// The same, with these flags.
    pub fn open_with(&mut self, node: usize, flags: &[&str]) {
        let flags = [&["--config", &*self.files[node], "--node", TRIO[node]], flags].concat();
        let machine = self.network.as_ref().map(|network| network.prefix(node));
        let prefix = machine.as_ref().map_or(&[][..], |machine| machine);
        let directory = &self.directories[node];
        self.nodes[node] = Some(Release::start_behind(prefix, &self.programs[node], directory, &flags));
    }

    /// Has a node start as this version from now on.
    pub fn upgrade(&mut self, node: usize) {
        self.programs[node] = build::binary("foo");
    }

    /// Has a node start as the version before from now on.
    pub fn downgrade(&mut self, node: usize) {
        self.programs[node] = build::previous_foo().expect("there is a history");
    }

    /// The machines that the nodes run on, if each has one of its own.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Kills a node, as `kill -9` does.
    pub fn kill(&mut self, node: usize) {
        self.node_mut(node).kill();
        self.nodes[node] = None;
    }

    /// Removes what a node that does not run has on disk.
    pub fn wipe(&self, node: usize) {
        fs::remove_dir_all(self.data_dir(node)).expect("it was made by the node");
    }

    /// Waits until a node has ended by itself.
    pub fn end(&mut self, node: usize) {
        let ended = self.node_mut(node).wait();
        assert!(ended.success(), "{ended}");
        self.nodes[node] = None;
    }

    /// Where a node has its copy.
    pub fn data_dir(&self, node: usize) -> PathBuf {
        self.directories[node].path().join(DATA_DIR)
    }

    /// Where a node has its links.
    pub fn link(&self, node: usize) -> &str {
        &self.links[node]
    }

    /// The configuration file of a node.
    pub fn file(&self, node: usize) -> &str {
        &self.files[node]
    }

    /// A node that runs.
    pub fn node(&self, node: usize) -> &Release {
        self.nodes[node].as_ref().expect("it runs")
    }

    /// Runs a verb with the configuration of a node, which need not run.
    pub fn verb(&self, node: usize, words: &[&str]) -> Output {
        verb("foo", &[words, &["--config", &self.files[node], "--node", TRIO[node]]].concat())
    }

    fn node_mut(&mut self, node: usize) -> &mut Release {
        self.nodes[node].as_mut().expect("it runs")
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Release> {
        self.nodes.iter().flatten()
    }

    /// Waits until each node that runs serves clients.
    pub fn wait_until_served(&self) {
        for node in self.running() {
            let mut client = node.resp();
            wait_until("a leader is known", || client.ask("SET ready 1") == "+OK\\r\\n");
        }
    }

    /// Waits until each node that runs has executed the same entries of the log.
    pub fn wait_until_caught_up(&self) {
        let last_entry = |node: &Release| {
            let output = node.verb(&["rpc", "ranges", "--json"]);
            let json = String::from_utf8(output.stdout).expect("a text");
            let number = json.split("\"last_entry\":").nth(1).expect("it has one range");
            number.split(',').next().expect("a number").trim().to_owned()
        };
        wait_until("all nodes have caught up", || {
            let mut entries: Vec<_> = self.running().map(last_entry).collect();
            entries.dedup();
            entries.len() == 1
        });
    }

    /// Checks that the copies of all nodes have the same contents: each as a backup of its node has it.
    pub fn check_copies(&self) {
        self.wait_until_caught_up();
        let copies = [0, 1, 2].map(|node| copy_of(self.node(node)));
        let contents = || copies.each_ref().map(|copy| sorted_lines(&copy.verb(&["export", "--to", "-"])));
        let (began, mut found) = (Instant::now(), contents());
        // Something may expire between two exports.
        while found != contents() && began.elapsed() < TIMEOUT {
            found = contents();
        }
        for (name, other) in TRIO.iter().zip(&found) {
            assert_eq!(found[0], *other, "{} and {name} have other contents", TRIO[0]);
        }
    }

    /// The node that leads.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        wait_until("a node leads", || {
            let asked = self.running().next().expect("one runs").rpc("ranges");
            leader = TRIO.iter().position(|name| asked.contains(&format!("\n..: led by {name}")));
            leader.is_some_and(|leader| self.nodes[leader].is_some())
        });
        leader.expect("one leads")
    }
}

/// A node alone that is restored from what another one has, whichever leads.
fn copy_of(node: &Release) -> Release {
    let directory = TempDir::new();
    let file = directory.path().join("backup").display().to_string();
    let copy = Release::durable();
    for (release, verb) in [(node, "backup"), (&copy, "restore")] {
        let done = release.verb(&[verb, &file]);
        assert!(done.status.success(), "{done:?}");
    }
    copy
}
