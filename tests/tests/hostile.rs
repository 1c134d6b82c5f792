//! Malicious or random bytes do not stop the server.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use tests::{Pair, Release};

const PACKETS: usize = 10_000;
/// Packets on one connection, for speed and for the state that they leave behind.
const PACKETS_PER_CONNECTION: usize = 20;

/// Pseudorandom numbers, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than `end`, which fits")
    }

    /// Random bytes, sometimes with keywords of the protocols among them.
    fn packet(&mut self) -> Vec<u8> {
        const WORDS: [&[u8]; 10] = [
            b"PUT ",
            b"GET ",
            b"CREATE ",
            b"SUBSCRIBE ",
            b"KEYS ",
            b"\"",
            b"\\x",
            b"\r\n",
            b"shopping ",
            b"*3\r\n$3\r\n",
        ];
        let mut packet = Vec::new();
        for _ in 0..=self.below(12) {
            match self.below(3) {
                0 => packet.extend_from_slice(WORDS[self.below(WORDS.len())]),
                _ => packet.extend((0..self.below(60)).map(|_| self.next() as u8)),
            }
        }
        packet
    }
}

/// Sends the packets and returns how many were accepted.
fn flood(address: SocketAddr) -> usize {
    let mut accepted = 0;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..PACKETS / PACKETS_PER_CONNECTION {
        let mut stream = TcpStream::connect(address).expect("the node accepts connections");
        for _ in 0..PACKETS_PER_CONNECTION {
            // The node may have closed the connection after a protocol error.
            if stream.write_all(&random.packet()).is_err() {
                break;
            }
            accepted += 1;
        }
        // The replies do not matter, only that they end.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    accepted
}

#[test]
fn random_packets_leave_the_server_serving() {
    let mut node = Release::alone();
    let mut client = node.client();
    assert_eq!(client.ask("CREATE groceries"), "OK");
    client.put("groceries", "milk", "1");
    let accepted = flood(node.clients());
    assert!(accepted > PACKETS * 9 / 10, "only {accepted} packets were accepted");
    assert_eq!(client.get("groceries", "milk"), "1");
    assert!(node.still_runs());
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[test]
fn random_packets_on_the_link_leave_the_nodes_linked() {
    let mut pair = Pair::start();
    flood(pair.bar.link());
    pair.wait_until_linked();
    assert_eq!(pair.foo.client().ask("CREATE shopping"), "OK");
    assert!(pair.bar.still_runs());
    assert!(!pair.bar.log().contains("panicked"), "{}", pair.bar.log());
}

#[test]
fn a_browser_is_disconnected_unanswered() {
    let node = Release::alone();
    for request in [
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nCREATE shopping\r\n",
        "GET /shopping/milk HTTP/1.1\r\nCREATE shopping\r\n",
        "PUT http://localhost/ HTTP/1.1\r\nCREATE shopping\r\n",
        "OPTIONS * HTTP/1.1\r\nCREATE shopping\r\n",
        "hOsT: x\r\nCREATE shopping\r\n",
    ] {
        let mut client = node.client();
        client.send(request);
        assert_eq!(client.read_until_closed(), b"", "{request}");
    }
    assert_eq!(node.client().ask("GET shopping milk"), "NOT FOUND");
}

#[test]
fn quit_is_acknowledged() {
    let node = Release::alone();
    let mut client = node.client();
    client.send("QUIT\r\nPING\r\n");
    assert_eq!(client.read_until_closed(), b"OK\r\n");
}

#[test]
fn a_health_check_made_for_redis_works() {
    let node = Release::alone();
    let mut client = node.client();
    client.send("PING\r\ninfo replication\r\nQUIT\r\n");
    let reply = String::from_utf8(client.read_until_closed()).expect("text");
    assert!(reply.starts_with("+PONG\r\n$") && reply.ends_with("\r\n+OK\r\n"), "{reply}");
    assert!(reply.contains("role:master\r\n"), "{reply}");
}

#[test]
fn a_connection_that_turns_to_resp_forgets_its_subscriptions() {
    let node = Release::alone();
    let (mut client, mut other) = (node.client(), node.client());
    for (line, reply) in [("CREATE shopping", "OK"), ("SUBSCRIBE shopping", "OK"), ("WATCH apples", "+OK")] {
        assert_eq!(client.ask(line), reply);
    }
    other.put("shopping", "milk", "1");
    client.assert_in_sync();
    assert!(client.ask("PUT shopping milk 2").starts_with("-ERR unknown command 'PUT'"));
}

#[test]
fn hello_with_a_version_makes_the_connection_resp() {
    let node = Release::alone();
    let mut client = node.resp();
    client.send("HELLO 3\r\n");
    assert!(client.reply().starts_with(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"));
    assert_eq!(client.ask("HGETALL shopping"), r"%0\r\n");
}
