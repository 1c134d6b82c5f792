//! Accepts links from the peers that dial this node, at the port that `cluster/mod.rs` has bound, and runs
//! them, each as a child of its peer.

use crate::{
    limits::{HANDSHAKE_TIMEOUT, REFUSAL_LINES},
    local::LocalNode,
    node_name::NodeName,
    peer::{
        AuthenticatedSocket, Peer,
        handshake::{self, AnnouncedRoutes, HandshakeError, Hello, Identity, Rejection},
        link_task,
        list::PeerList,
        versions::Versions,
    },
};
use otp::{AcceptErrors, LogLimiter, Stop, TaskSupervisor};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::{debug, warn};

/// Accepts sockets until it is cancelled. Each has its own task until its handshake is complete.
pub(crate) async fn run(
    listener: &TcpListener,
    local: &Arc<LocalNode>,
    peers: &PeerList,
    handshakes: &TaskSupervisor,
) {
    let errors = AcceptErrors::new("links");
    let not_accepted = LogLimiter::new("links were not accepted", 1);
    let refusals = Refusals::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                errors.pause(&error).await;
                continue;
            }
        };
        let (local, peers, refusals) = (local.clone(), peers.clone(), refusals.clone());
        let handshake = move |stop: Stop| async move {
            stop.run_until_cancelled(handshake_inbound(stream, from, &local, &peers, &refusals)).await;
        };
        if let Err(error) = handshakes.spawn(from, handshake)
            && not_accepted.admit()
        {
            warn!(%from, %error, "link not accepted");
        }
    }
}

/// Limits the log lines about refused links. Those that claim to come from a peer are limited apart from the
/// rest, so that strangers do not hide a wrong cookie.
#[derive(Debug, Clone)]
struct Refusals {
    of_peers: LogLimiter,
    of_strangers: LogLimiter,
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals {
            of_peers: LogLimiter::new("links that claim to come from peers were refused", REFUSAL_LINES),
            of_strangers: LogLimiter::new("links from strangers were refused", REFUSAL_LINES),
        }
    }
}

/// Performs the handshake on a socket, and hands the socket to the peer that has authenticated on it, unless
/// that only asks.
async fn handshake_inbound(
    mut stream: TcpStream,
    from: SocketAddr,
    local: &LocalNode,
    peers: &PeerList,
    refusals: &Refusals,
) {
    let mut hello = None;
    let authenticated = timeout(HANDSHAKE_TIMEOUT, authenticate(&mut stream, local, peers, &mut hello)).await;
    let error = match authenticated {
        Ok(Ok(Some((peer, routes, version)))) => {
            return peer.offer_socket(AuthenticatedSocket { stream, routes, version });
        }
        Ok(Ok(None)) => return,
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::TimedOut,
    };
    let claimed_name = hello.as_ref().map(|hello| &hello.from);
    let peer = claimed_name.and_then(|name| peers.find(name.as_str()));
    if let Some(peer) = peer {
        peer.record_refusal(from, &error);
    }
    let limiter = if peer.is_some() { &refusals.of_peers } else { &refusals.of_strangers };
    if limiter.admit() {
        let claimed_name = claimed_name.map(NodeName::as_str);
        warn!(%from, claimed_name, %error, "link refused");
    }
    let version = hello.map_or(Versions::OWN.newest, |hello| hello.version);
    let refused = timeout(HANDSHAKE_TIMEOUT, handshake::refuse(&mut stream, version, &error)).await;
    if let Ok(Err(error)) = refused {
        debug!(%from, %error, "cannot send the refusal");
    }
}

async fn authenticate<'a>(
    stream: &mut TcpStream,
    local: &LocalNode,
    peers: &'a PeerList,
    hello: &mut Option<Hello>,
) -> Result<Option<(&'a Peer, AnnouncedRoutes, u8)>, HandshakeError> {
    let hello = hello.insert(handshake::receive_hello(stream, Versions::OWN).await?);
    if hello.joins {
        handshake::reply(stream, hello, local).await?;
        return Ok(None);
    }
    let Some(peer) = peers.find(hello.from.as_str()) else {
        return Err(HandshakeError::Refused(Rejection::UnknownNode));
    };
    if peer.is_dialed() {
        return Err(HandshakeError::Refused(Rejection::WrongDirection));
    }
    let routes = handshake::accept(stream, hello, Identity::of(local)).await?;
    Ok(Some((peer, routes, hello.version)))
}

/// Runs the link to a peer that dials this node. A newer socket replaces the older one, which may be
/// half-open.
pub(crate) async fn serve_inbound(local: Arc<LocalNode>, peer: Arc<Peer>, stop: Stop) -> Result<(), String> {
    let Some(mut socket) = stop.run_until_cancelled(peer.take_socket()).await else { return Ok(()) };
    loop {
        tokio::select! {
            newer = peer.take_socket() => socket = newer,
            () = link_task::run(socket, &peer, &local, &stop) => {
                let accepted = stop.run_until_cancelled(peer.take_socket()).await;
                let Some(newer) = accepted else { return Ok(()) };
                socket = newer;
            }
        }
    }
}
