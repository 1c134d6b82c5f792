//! Two linked nodes whose routes differ.

use super::*;
use crate::{cluster::Refusal, tests::links::Log};

/// `foo`, and a `bar` with these routes.
async fn pair_with(bar_routes: Routes) -> (Node, Node) {
    let foo = Node::start(foo_settings()).await;
    let bar = Node::start(Settings { routes: bar_routes, ..bar_settings(foo.address()) }).await;
    assert!(soon(foo.cluster.connect(&name("bar"))).await);
    assert!(soon(bar.cluster.connect(&name("foo"))).await);
    (foo, bar)
}

fn differ(one: &str, other: &str, bucket: &str) -> Error {
    Error::RoutesDiffer { one: name(one).shared(), other: name(other).shared(), bucket: bucket.into() }
}

#[tokio::test]
async fn names_with_two_owners_are_refused_on_both_nodes_and_all_others_go_on() {
    let (foo, bar) = pair_with(routes(&[row("a..k", "foo"), row("l..z", "bar")])).await;
    let error = foo.execute("lemon", Op::Create).await.unwrap_err();
    assert_eq!(error, differ("foo", "bar", "lemon"));
    assert_eq!(
        error.to_string(),
        "routes of foo@127.0.0.1 and bar@127.0.0.1 differ for \"lemon\": give both the same configuration"
    );
    assert_eq!(bar.execute("mango", Op::Create).await, Err(differ("bar", "foo", "mango")));
    assert!(foo.cluster.subscribe(b"lemon", &backlog()).await.is_err());
    let requests = [Request::new(b"lemon", Op::Create)];
    assert!(foo.cluster.transact(&[], &requests, |_| {}).await.is_err());
    for node in [&foo, &bar] {
        for bucket in ["kiwis", "nuts"] {
            assert_eq!(node.execute(bucket, Op::Create).await.as_deref(), Ok("Done"), "{bucket}");
        }
    }
    assert_eq!((foo.own_buckets(), bar.own_buckets()), (vec!["kiwis".into()], vec!["nuts".into()]));
}

#[tokio::test]
async fn a_node_that_owns_all_by_its_own_routes_refuses_what_the_other_owns_too() {
    let (foo, bar) = pair_with(Routes::all(name("bar"))).await;
    assert!(!bar.cluster.owns_every_bucket());
    for bucket in ["apples", "1abc"] {
        assert_eq!(bar.execute(bucket, Op::Create).await, Err(differ("bar", "foo", bucket)));
    }
    assert_eq!(bar.execute("shopping", Op::Create).await.as_deref(), Ok("Done"));
    tokio::join!(foo.supervisor.stop(), bar.peer_goes_down());
    assert!(bar.cluster.owns_every_bucket(), "a difference ends with its link");
    assert_eq!(bar.execute("apples", Op::Create).await.as_deref(), Ok("Done"));
}

#[tokio::test]
async fn a_difference_is_logged_by_both_nodes_and_part_of_their_status() {
    let log = Log::default();
    let _guard = log.install();
    let (foo, bar) = pair_with(routes(&[row("a..k", "foo"), row("l..", "bar")])).await;
    let names = "from \"l\" to below \"n\", from \"{\" on";
    for (node, other) in [(&foo, "bar"), (&bar, "foo")] {
        let status = &node.cluster.nodes()[0];
        assert_eq!(status.disputed_names.as_deref(), Some(names));
        let node = format!("node={other}@127.0.0.1");
        let is_warning = |line: &str| line.contains("WARN") && line.contains(&node) && line.contains(names);
        assert!(log.text().lines().any(is_warning), "{}", log.text());
    }
    let (foo, _bar) = pair().await;
    assert_eq!(foo.cluster.nodes()[0].disputed_names, None);
    assert!(!matches!(foo.cluster.owner(b"lemon"), Owner::Refused(Refusal::RoutesDiffer(..))));
}

#[tokio::test]
async fn routes_that_are_not_in_order_get_no_link() {
    let foo = Node::start(foo_settings()).await;
    let (bar, cookie) = (name("bar"), Cookie::new("weknoweachother"));
    let unordered = routes(&[row("a..m", "foo"), row("n..z", "bar")]).reversed();
    let me = Identity { name: &bar, cookie: &cookie, routes: &unordered, cluster: 0 };
    let mut stream = TcpStream::connect(foo.address()).await.unwrap();
    let error =
        soon(handshake::dial(&mut stream, Versions::OWN, me, &name("foo"))).await.unwrap_err().to_string();
    assert!(error.contains("not the link protocol"), "{error}");
}
