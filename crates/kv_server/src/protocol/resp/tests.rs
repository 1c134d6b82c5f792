//! Tests with a client of a real server: what it sends, and the exact bytes that it receives.

mod docs;
mod info;
mod limits;
mod pipelines;
mod replies;

use crate::{acceptor::bind, limits::Limits};
use kv_cluster::{Cluster, Cookie, LinkSettings, NodeName, Routes, Settings, StoreSettings};
use kv_metrics::MetricsRegistry;
use otp::{Stop, SupervisorHandle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A node with a port for clients; dropping it stops the node.
struct Node {
    address: std::net::SocketAddr,
    registry: MetricsRegistry,
    _tree: SupervisorHandle,
}

impl Node {
    async fn start(limits: Limits) -> Node {
        let me: NodeName = "foo@127.0.0.1".parse().expect("a name");
        let settings = Settings {
            routes: Routes::all(me.clone()),
            name: me,
            link: None,
            peers: Vec::new(),
            cookie: Cookie::new("none"),
            links: LinkSettings::default(),
            store: StoreSettings::default(),
            data_dir: None,
            joined: None,
            logs: Default::default(),
        };
        let cluster = Cluster::new(settings).expect("a cluster");
        let registry = MetricsRegistry::default();
        let server =
            bind("127.0.0.1:0", cluster, limits, None, Stop::new(), &registry).await.expect("a port");
        Node { address: server.address, registry, _tree: server.supervisor().start() }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("the port is open"))
    }
}

/// A command as RESP encodes it; blanks separate its arguments.
fn encode(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| kv::args::push(&mut bytes, word.as_bytes()));
    bytes
}

struct Client(TcpStream);

impl Client {
    /// Sends a command; blanks separate its arguments.
    async fn send(&mut self, line: &str) {
        self.send_bytes(&encode(line)).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the server reads");
    }

    /// Reads as many bytes as `reply` has, and asserts that they are equal.
    async fn expect(&mut self, reply: &str, what: &str) {
        let mut bytes = vec![0; reply.len()];
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.read_exact(&mut bytes));
        let read = read.await;
        assert_eq!(String::from_utf8_lossy(&bytes), reply, "{what}: {read:?}");
    }

    /// Reads one whole reply.
    async fn reply(&mut self) -> String {
        let (mut reply, mut left) = (String::new(), 1_usize);
        while left > 0 {
            let line = self.line().await;
            let count = line[1..].trim_end().parse::<usize>();
            left -= 1;
            match (&line[..1], count) {
                ("*" | "~" | ">", Ok(items)) => left += items,
                ("%", Ok(pairs)) => left += 2 * pairs,
                ("$" | "=", Ok(bytes)) => {
                    reply.push_str(&line);
                    reply.push_str(&self.read(bytes + 2).await);
                    continue;
                }
                _ => {}
            }
            reply.push_str(&line);
        }
        reply
    }

    /// Reads a bulk string, without its header.
    async fn bulk(&mut self) -> String {
        let header = self.line().await;
        let bytes: usize = header[1..].trim_end().parse().expect("a length");
        self.read(bytes + 2).await
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push_str(&self.read(1).await);
        }
        line
    }

    async fn read(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.read_exact(&mut bytes));
        read.await.expect("a reply in time").expect("an open connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until the server closes the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A connection that is closed with unread input may be reset.
        let _ = self.0.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
