//! Nodes whose releases speak different versions of the link protocol.

use super::{links::Log, *};
use crate::{limits::LINK_VERSION, peer::dialer};
use tokio::{net::TcpListener, sync::broadcast};

/// Those of a release after this one.
fn newer() -> Versions {
    Versions::OWN.up_to(LINK_VERSION + 1)
}

/// Dials `foo` as `bar`, in one of these versions.
async fn dial(foo: SocketAddr, versions: Versions) -> Result<u8, String> {
    let bar = Cluster::new(bar_settings(foo)).unwrap();
    let peer = Peer::new(0, name("foo"), &foo.to_string(), &name("bar"), broadcast::channel(1).0);
    let dialed = soon(dialer::dial(bar.local(), &peer, versions)).await;
    dialed.map(|socket| socket.version).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_newer_dialer_speaks_the_version_of_the_older_listener() {
    let foo = Node::start(foo_settings()).await;
    assert_eq!(dial(foo.address(), newer()).await, Ok(LINK_VERSION));
}

#[tokio::test]
async fn a_newer_listener_speaks_the_version_of_the_older_dialer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let foo = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = handshake::receive_hello(&mut stream, newer()).await.unwrap();
        let (foo, cookie) = (name("foo"), Cookie::new("weknoweachother"));
        let me = Identity { name: &foo, cookie: &cookie, routes: &foo_settings().routes, cluster: 0 };
        handshake::accept(&mut stream, &hello, me).await.unwrap();
        hello.version
    };
    let (dialed, accepted) = tokio::join!(dial(address, Versions::OWN), foo);
    assert_eq!((dialed, accepted), (Ok(LINK_VERSION), LINK_VERSION));
}

#[tokio::test]
async fn releases_without_a_version_in_common_are_refused_with_the_versions_of_both() {
    let log = Log::default();
    let _guard = log.install();
    let foo = Node::start(foo_settings()).await;
    let newer = LINK_VERSION + 1;
    let says = |theirs, ours: Versions| {
        format!("the peer speaks link protocol version {theirs}, this node {ours}; run releases of")
    };
    let error = dial(foo.address(), Versions::only(newer)).await.unwrap_err();
    assert!(error.contains(&says(LINK_VERSION, Versions::only(newer))), "{error}");
    assert!(log.text().contains(&says(newer, Versions::OWN)), "{}", log.text());
}
