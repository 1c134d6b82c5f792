//! Three nodes with a copy of all keys each, of our release or of etcd, or one volatile node beside them.

use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
    workload::Protocol,
};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs::{self, Permissions},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};
use tempfile::{Builder, TempDir};

/// What is started.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Our release as three nodes, with these `reads`.
    Ours(PathBuf, &'static str),
    /// Our release as one node without a copy on disk.
    Volatile(PathBuf),
    Etcd(PathBuf),
}

impl Kind {
    fn program(&self) -> &Path {
        match self {
            Kind::Ours(program, _) | Kind::Volatile(program) | Kind::Etcd(program) => program,
        }
    }

    fn start_failed(&self, why: String) -> Error {
        Error::StartFailed { program: self.program().display().to_string(), why }
    }
}

/// Running nodes, killed on drop.
#[derive(Debug)]
pub(crate) struct Cluster {
    kind: Kind,
    nodes: Vec<Child>,
    clients: Vec<SocketAddr>,
    directory: TempDir,
}

impl Cluster {
    /// Starts it with its data below `disk`, and waits until it has a leader.
    pub(crate) fn start(kind: Kind, disk: &Path, interrupt: &Interrupt) -> Result<Cluster, Error> {
        let count = if matches!(kind, Kind::Volatile(_)) { 1 } else { 3 };
        let private = Permissions::from_mode(0o700);
        let directory =
            disk.canonicalize().and_then(|disk| Builder::new().permissions(private).tempdir_in(disk));
        let directory = directory.context(format!("cannot create a directory in {}", disk.display()))?;
        let mut addresses = free_addresses(2 * count)?;
        let links = addresses.split_off(count);
        let mut cluster = Cluster { kind, nodes: Vec::new(), clients: addresses, directory };
        if let Kind::Ours(_, reads) = cluster.kind {
            let file = configuration(cluster.directory.path(), &cluster.clients, &links, reads);
            fs::write(cluster.configuration(), file).context("cannot write the configuration")?;
        }
        for node in 0..count {
            let program = cluster.kind.program();
            let mut command = Command::new(program);
            command.args(cluster.arguments(node, &links)).stdin(Stdio::null());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let child = child.context(format!("cannot start {}", program.display()))?;
            cluster.nodes.push(child);
        }
        cluster.wait_until_led(interrupt)?;
        Ok(cluster)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("cluster.toml")
    }

    fn arguments(&self, node: usize, links: &[SocketAddr]) -> Vec<String> {
        let own = self.directory.path().join(node.to_string()).display().to_string();
        let clients = self.clients[node].to_string();
        match &self.kind {
            Kind::Ours(..) => [vec!["start".into()], self.flags(node)].concat(),
            Kind::Volatile(_) => {
                ["start", "--clients", &clients, "--run-dir", &own].map(str::to_owned).into()
            }
            Kind::Etcd(_) => {
                let (clients, link) = (format!("http://{clients}"), format!("http://{}", links[node]));
                let members = links.iter().enumerate().map(|(node, link)| format!("{node}=http://{link}"));
                let flags = [
                    ["--name", &node.to_string()],
                    ["--data-dir", &own],
                    ["--listen-client-urls", &clients],
                    ["--advertise-client-urls", &clients],
                    ["--listen-peer-urls", &link],
                    ["--initial-advertise-peer-urls", &link],
                    ["--initial-cluster", &members.collect::<Vec<_>>().join(",")],
                    ["--log-level", "error"],
                ];
                flags.into_iter().flatten().map(str::to_owned).collect()
            }
        }
    }

    /// What each verb of a node of ours needs.
    fn flags(&self, node: usize) -> Vec<String> {
        let configuration = self.configuration().display().to_string();
        vec!["--config".into(), configuration, "--node".into(), name(node)]
    }

    fn wait_until_led(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let deadline = Instant::now() + limits::START_TIMEOUT;
        while self.leader().is_none() {
            interrupt.check()?;
            if self.nodes.iter_mut().any(|node| matches!(node.try_wait(), Ok(Some(_)))) {
                return Err(self.kind.start_failed("a node has exited".into()));
            }
            if Instant::now() > deadline {
                let why = format!("no leader after {} s", limits::START_TIMEOUT.as_secs());
                return Err(self.kind.start_failed(why));
            }
            thread::sleep(limits::CONNECT_INTERVAL);
        }
        Ok(())
    }

    /// The node that leads, if it is known.
    fn leader(&self) -> Option<usize> {
        let nodes = 0..self.clients.len();
        match &self.kind {
            Kind::Volatile(_) => TcpStream::connect(self.clients[0]).is_ok().then_some(0),
            Kind::Ours(program, _) => {
                let ranges =
                    Command::new(program).args(["rpc", "ranges"]).args(self.flags(0)).output().ok()?;
                let ranges = String::from_utf8_lossy(&ranges.stdout).into_owned();
                nodes.into_iter().find(|node| ranges.contains(&format!("\n..: led by {} ", name(*node))))
            }
            Kind::Etcd(_) => nodes.into_iter().find(|node| {
                status(self.clients[*node])
                    .is_some_and(|status| status["leader"] == status["header"]["member_id"])
            }),
        }
    }

    /// Where clients reach the node that leads, or another one.
    pub(crate) fn address(&self, is_leader: bool) -> Result<SocketAddr, Error> {
        let leader = self.leader().ok_or_else(|| self.kind.start_failed("no node leads".into()))?;
        let node = if is_leader { leader } else { leader + 1 };
        Ok(self.clients[node % self.clients.len()])
    }

    /// Whether it has nodes that do not lead.
    pub(crate) fn has_others(&self) -> bool {
        self.clients.len() > 1
    }

    pub(crate) fn protocol(&self) -> Protocol {
        if let Kind::Etcd(_) = self.kind { Protocol::Etcd } else { Protocol::Resp }
    }

    /// The processes of its nodes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(Child::id).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn name(node: usize) -> String {
    format!("foo{node}@127.0.0.1")
}

/// As rel/cluster.toml.
fn configuration(directory: &Path, clients: &[SocketAddr], links: &[SocketAddr], reads: &str) -> String {
    let mut text = format!("cookie = \"weknoweachother\"\nrun_dir = {directory:?}\n");
    for (node, (clients, link)) in clients.iter().zip(links).enumerate() {
        let _ = write!(
            text,
            "[nodes.{:?}]\nclients = \"{clients}\"\nlink = \"{link}\"\ndata_dir = {:?}\n",
            name(node),
            directory.join(node.to_string())
        );
    }
    let nodes: Vec<_> = (0..clients.len()).map(name).collect();
    text + &format!("[[routes]]\nbuckets = \"..\"\nnodes = {nodes:?}\nreads = {reads:?}\n")
        + "[links]\nheartbeat_ms = 500\n"
}

/// What a member of etcd says of itself, by its JSON gateway.
fn status(member: SocketAddr) -> Option<Value> {
    let mut stream = TcpStream::connect(member).ok()?;
    stream.set_read_timeout(Some(limits::REPLY_TIMEOUT)).ok()?;
    let request = "POST /v3/maintenance/status HTTP/1.1\r\nHost: etcd\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\n{}";
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let json = reply.get(reply.find('{')?..=reply.rfind('}')?)?;
    serde_json::from_str(json).ok()
}

/// Addresses with ports that were free a moment ago.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Error> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port");
    let listeners = (0..count).map(bind).collect::<Result<Vec<_>, _>>()?;
    listeners.iter().map(|listener| listener.local_addr().context("cannot find a free port")).collect()
}
