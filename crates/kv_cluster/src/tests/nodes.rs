//! Nodes that are added to a cluster, and removed from it, while all of them serve clients.

use super::{
    placement::names,
    replicas::{Nodes, put},
    *,
};
use crate::{cluster::ask_to_join, local::membership::Membership};
use std::time::Instant;

impl Nodes {
    /// Adds the outsider, of which no other node knows, and waits until a node has a link to it.
    async fn add_outsider(&self, asked: usize) {
        let cluster = &self.node(asked).cluster;
        // It may have been another leader that noted it.
        while soon(cluster.add_node(&name("qux"), self.address(3))).await != Ok(true) {}
        assert!(cluster.connect(&name("qux")).await, "{:?}", cluster.nodes());
    }

    /// Waits until each of these nodes knows exactly the others of them, and has links to them.
    async fn wait_until_linked(&self, nodes: &[usize]) {
        let began = Instant::now();
        for node in nodes {
            let mut others = names(nodes);
            others.retain(|other| other != self.node(*node).cluster.node_name());
            others.sort();
            let known = || self.node(*node).cluster.nodes();
            let is_linked = || {
                known().iter().map(|node| (&node.name, node.up)).eq(others.iter().map(|node| (node, true)))
            };
            while !is_linked() {
                assert!(began.elapsed() < SOON, "{:?}", known());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until a node reads what was written.
    async fn wait_until_read(&self, node: usize) {
        let began = Instant::now();
        while self.read(node).await != Ok("1".into()) {
            assert!(began.elapsed() < SOON, "{:?}", self.read(node).await);
        }
    }

    async fn read(&self, node: usize) -> Result<String, Error> {
        self.node(node).execute("shopping", Op::Get { key: b"milk" }).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_added_takes_copies_and_one_without_copies_is_removed_and_added_again() {
    let mut nodes = Nodes::start_members().await;
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    nodes.node(0).execute("shopping", put("1")).await.unwrap();
    nodes.open(3).await;
    assert!(!nodes.node(3).cluster.connect(&name("foo")).await, "an unknown node is refused");
    nodes.add_outsider(1).await;
    nodes.wait_until_linked(&[0, 1, 2, 3]).await;
    assert_eq!(soon(nodes.node(2).cluster.add_node(&name("qux"), nodes.address(3))).await, Ok(true));
    nodes.place(0, "..", &[1, 2, 3]).await;
    nodes.place(3, "meta", &[1, 2, 3]).await;
    nodes.wait_until_only(&[1, 2, 3]).await;

    soon(nodes.node(0).cluster.remove_node(&name("foo"))).await.unwrap();
    nodes.wait_until_linked(&[1, 2, 3]).await;
    let removed = &nodes.node(0).cluster;
    assert!(removed.is_removed());
    let expected = "this node was removed from the cluster: connect to another one, or add this one again";
    let problems = soon(removed.problems()).await;
    assert!(problems[0].starts_with(expected), "{problems:?}");
    let began = Instant::now();
    while !nodes.read(0).await.is_err_and(|error| error.to_string().starts_with(expected)) {
        assert!(began.elapsed() < SOON, "{:?}", nodes.read(0).await);
    }
    assert_eq!(nodes.read(3).await, Ok("1".into()));

    // The files of the others still name it, and not the one that was added.
    for node in 1..4 {
        nodes.stop(node).await;
    }
    for node in 1..4 {
        nodes.open(node).await;
    }
    nodes.wait_until_linked(&[1, 2, 3]).await;
    nodes.stop(0).await;
    nodes.open(0).await;
    nodes.ready_but(0).await;
    assert!(nodes.read(0).await.is_err());
    soon(nodes.node(2).cluster.add_node(&name("foo"), nodes.address(0))).await.unwrap();
    nodes.wait_until_linked(&[0, 1, 2, 3]).await;
    while nodes.read(0).await != Ok("1".into()) || nodes.node(0).cluster.is_removed() {
        assert!(began.elapsed() < SOON, "{:?}", nodes.read(0).await);
    }
    nodes.place(0, "..", &[0]).await;
    assert_eq!(nodes.read(3).await, Ok("1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_configuration_names_one_other_joins_when_it_is_added_and_then_starts_without_asking() {
    let mut nodes = Nodes::start_members().await;
    nodes.ready().await;
    nodes.node(0).execute("shopping", Op::Create).await.unwrap();
    nodes.node(0).execute("shopping", put("1")).await.unwrap();
    let began = Instant::now();
    while nodes.node(0).cluster.local().membership().is_none() {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let joins = Settings {
        peers: vec![(name("foo"), nodes.address(0).into())],
        routes: Routes::all(name("qux")),
        ..nodes.settings(3)
    };
    // Of two nodes the one with the lower name dials, but for one that joins.
    for node in ["alice", "qux"] {
        let asking = Settings { name: name(node), ..joins.clone() };
        let refused = soon(ask_to_join(&asking)).await.unwrap_err().to_string();
        let command = format!("type `add-node {} {}` at", name(node), nodes.address(3));
        assert!(refused.contains(&command), "{refused}");
    }
    soon(nodes.node(2).cluster.add_node(&name("qux"), nodes.address(3))).await.unwrap();
    let joined = loop {
        match soon(ask_to_join(&joins)).await {
            Ok(joined) => break joined,
            Err(error) => assert!(began.elapsed() < SOON, "{error}"),
        }
    };
    nodes.run(3, Settings { joined: Some(joined), ..joins.clone() }).await;
    nodes.wait_until_linked(&[0, 1, 2, 3]).await;
    nodes.wait_until_read(3).await;
    nodes.place(3, "..", &[0, 1, 3]).await;

    for node in 0..4 {
        nodes.stop(node).await;
    }
    let saved = Membership::load(joins.data_dir.as_deref()).unwrap();
    assert!(saved.has_joined());
    nodes.run(3, Settings { joined: Some(saved), ..joins }).await;
    for node in 0..3 {
        nodes.open(node).await;
    }
    nodes.wait_until_read(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_down_when_it_was_removed_learns_of_it_and_one_that_was_wiped_comes_back() {
    let mut nodes = Nodes::start_members().await;
    nodes.ready().await;
    nodes.open(3).await;
    nodes.add_outsider(0).await;
    nodes.place(0, "..", &[3]).await;
    nodes.place(0, "meta", &[3]).await;
    nodes.stop(1).await;
    soon(nodes.node(0).cluster.remove_node(&name("bar"))).await.unwrap();
    nodes.wait_until_linked(&[0, 2, 3]).await;
    nodes.open(1).await;
    let began = Instant::now();
    while !nodes.node(1).cluster.is_removed() {
        assert!(began.elapsed() < SOON, "{:?}", nodes.node(1).cluster.nodes());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    nodes.stop(1).await;
    nodes.wipe(1);
    nodes.open(1).await;
    soon(nodes.node(0).cluster.add_node(&name("bar"), nodes.address(1))).await.unwrap();
    nodes.wait_until_linked(&[0, 1, 2, 3]).await;
    nodes.place(1, "..", &[0, 1, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_or_removed_is_refused_with_what_to_type() {
    let mut nodes = Nodes::start_members().await;
    nodes.ready().await;
    let cluster = &nodes.node(0).cluster;
    while !cluster.nodes().iter().all(|node| node.up) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let taken = format!("{} is the address of node bar@127.0.0.1: ", nodes.address(1));
    for (node, link, expected) in [
        ("qux", "10.0.0.4", "\"10.0.0.4\" is no address: write that of its links, as in 10.0.0.4:4051"),
        ("qux", "10.0.0.4:0", "\"10.0.0.4:0\" is no address"),
        ("qux", nodes.address(1), &taken),
        ("bar", "10.0.0.4:4051", "node bar@127.0.0.1 is up, at 127.0.0.1:"),
    ] {
        let refused = soon(cluster.add_node(&name(node), link)).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    for (node, expected) in [
        (
            "qux",
            "node qux@127.0.0.1 is not one of the cluster, which has bar@127.0.0.1, baz@127.0.0.1, foo@127.0.0.1: `add-node",
        ),
        ("bar", "node bar@127.0.0.1 has copies of meta, ..: move them first, with `replicas meta "),
    ] {
        let refused = soon(cluster.remove_node(&name(node))).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    nodes.wait_until_linked(&[0, 1, 2]).await;
    let refused = soon(nodes.node(1).cluster.place("..", names(&[0, 1, 3]))).await.unwrap_err().to_string();
    assert!(refused.starts_with("node qux@127.0.0.1 is not "), "{refused}");
    // One that is down may get another address.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nodes.stop(2).await;
    let cluster = &nodes.node(0).cluster;
    while cluster.nodes().iter().all(|node| node.up) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(soon(cluster.add_node(&name("baz"), &port.to_string())).await, Ok(false));
    let address = cluster.nodes().into_iter().find(|node| node.name == name("baz")).unwrap().address;
    assert_eq!(address, port.to_string());

    let (foo, _bar) = pair().await;
    let refused = soon(foo.cluster.add_node(&name("qux"), "10.0.0.4:4051")).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("no row has replicas, so the nodes are those of the configuration: "),
        "{refused}"
    );
}
