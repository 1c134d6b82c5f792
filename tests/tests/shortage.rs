//! A node outlives every shortage of descriptors, and what strangers do fills no log.
#![cfg(target_os = "linux")]

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};
use tests::{Client, Pair, Release, wait_until};

const REFUSAL: &str = "-ERR max number of clients reached\r\n";

/// Connects idle clients and returns those that the node keeps; the others have been refused.
fn idle_clients(node: &Release, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| node.client()).collect();
    // Served in the order of their arrival: a refused one can be read from until the end.
    clients.retain_mut(|client| client.ask_if_open("PING") == Some("+PONG".to_owned()));
    clients
}

#[test]
fn more_clients_than_descriptors_are_refused_and_the_node_goes_on() {
    let mut node = Release::alone_with_open_files(200);
    let kept = idle_clients(&node, 220);
    assert!(!kept.is_empty() && kept.len() < 200, "{}", kept.len());
    let mut refused = Client::connect(node.clients());
    assert_eq!(String::from_utf8(refused.read_until_closed()).expect("a text"), REFUSAL);

    // The control socket has descriptors of its own.
    assert!(node.rpc("status").contains("foo@127.0.0.1"));
    assert!(node.still_runs());
    let lowered = node.log().lines().filter(|line| line.contains("max_connections is lowered")).count();
    let refusals = node.log().lines().filter(|line| line.contains("client refused")).count();
    assert_eq!((lowered, refusals), (1, 1), "{}", node.log());

    drop(kept);
    wait_until("the node takes clients again", || node.client().ask_if_open("PING").is_some());
}

/// Each file of a log is open until the log is cut.
#[test]
fn clients_leave_the_files_that_logs_need_and_a_log_of_many_files_is_cut() {
    let mut node = Release::durable_with_open_files(300, "[storage]\nlog_cache_bytes = \"1mb\"\n");
    let mut writer = node.resp();
    let _kept = idle_clients(&node, 300);
    let value = "x".repeat(300_000);
    for _ in 0..60 {
        assert_eq!(writer.ask(&format!("SET large {value}")), r"+OK\r\n");
    }
    wait_until("the log is cut", || log_files(&node) < 33);
    assert!(node.still_runs());
}

fn log_files(node: &Release) -> usize {
    fs::read_dir(node.data_dir().join("ranges/1-1/log")).expect("the log").count()
}

/// A limit that sinks while the node runs, as that of a whole system can.
#[test]
fn clients_and_verbs_wait_while_there_is_no_descriptor_at_all() {
    let mut node = Release::alone();
    let mut client = node.client();
    assert_eq!(client.ask("CREATE shopping"), "OK");
    wait_until("every reactor has its descriptors", || clocks_of_threads(&node) == reactors());
    let usual = set_open_files(&node, Rlimit { current: Some(highest_descriptor(&node) + 1), maximum: None });
    let mut kept = Vec::new();
    let mut refused = loop {
        let mut next = node.client();
        match next.ask_if_open("PING") {
            Some(_) => kept.push(next),
            None => break node.client(),
        }
    };
    assert_eq!(String::from_utf8(refused.read_until_closed()).expect("a text"), REFUSAL);
    node.wait_for_log(&["cannot accept clients", "LimitNOFILE="]);
    thread::scope(|scope| {
        let status = scope.spawn(|| node.rpc("status"));
        node.wait_for_log(&["cannot accept control connections", "LimitNOFILE="]);
        assert_eq!(client.ask("PUT shopping milk 1"), "OK");
        set_open_files(&node, usual);
        assert!(status.join().expect("the verb is answered").contains("foo@127.0.0.1"));
    });
    node.client().assert_in_sync();
    assert_eq!(client.get("shopping", "milk"), "1");
    assert!(node.still_runs());
}

/// A reactor opens the clock of its thread when it has opened everything else.
fn clocks_of_threads(node: &Release) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("our own child");
    let is_clock =
        |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|file| file.ends_with("schedstat"));
    descriptors.flatten().filter(is_clock).count()
}

fn reactors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn highest_descriptor(node: &Release) -> u64 {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("our own child");
    let number = |entry: fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse().ok());
    descriptors.flatten().filter_map(number).max().expect("an open descriptor")
}

/// Sets the soft limit of open files and returns the limits as they were.
fn set_open_files(node: &Release, limit: Rlimit) -> Rlimit {
    let pid = Pid::from_raw(node.pid().try_into().expect("a pid"));
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { maximum, ..limit }).expect("our own child")
}

#[test]
fn strangers_at_the_link_port_are_counted() {
    const STRANGERS: usize = 200;
    let pair = Pair::start();
    for _ in 0..STRANGERS {
        knock(pair.bar.link());
    }
    pair.bar.wait_for_log(&["link refused"]);
    let lines = pair.bar.log().lines().filter(|line| line.contains("link")).count();
    assert!(lines < STRANGERS / 4, "{}", pair.bar.log());
}

/// Says something that no node says, and waits until the node closes the connection.
fn knock(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("the node accepts connections");
    // The node may have refused it already.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_node_that_may_lock_little_memory_serves_by_epoll() {
    // Enough for one ring, and too little for one on each thread; then too little for any.
    for limit in [128, 60, 0] {
        let node = Release::alone_with_locked_memory(limit);
        assert_eq!(node.client().ask("CREATE shopping"), "OK");
        let log = node.log();
        assert!(!log.contains("child crashed"), "{limit} KiB: {log}");
    }
}
