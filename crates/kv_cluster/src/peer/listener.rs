//! Takes the links of the peers that dial this node.

use crate::{
    limits::{ACCEPT_PAUSE, HANDSHAKE_TIMEOUT},
    local::LocalNode,
    node_name::NodeName,
    peer::Peer,
    peer::handshake::{self, HandshakeError, Rejection},
    peer::link_task,
};
use otp::{Stop, TaskSupervisor};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

/// Who may come: the peers of this node.
pub(crate) type Peers = Arc<[Arc<Peer>]>;

/// Accepts until this node stops. Each newcomer has a task of its own until it has proved itself.
pub(crate) async fn run(
    listener: &TcpListener,
    local: &Arc<LocalNode>,
    peers: &Peers,
    handshakes: &TaskSupervisor,
) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a link");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (local, peers) = (local.clone(), peers.clone());
        let welcome = move |stop: Stop| async move {
            stop.run_until_cancelled(welcome(stream, from, &local, &peers)).await;
        };
        if let Err(error) = handshakes.spawn(from, welcome) {
            warn!(%from, %error, "link not taken");
        }
    }
}

/// Shakes hands with a newcomer, and hands its socket to the peer that it proves to be.
async fn welcome(mut stream: TcpStream, from: SocketAddr, local: &LocalNode, peers: &Peers) {
    let mut claims = None;
    let shaken = timeout(HANDSHAKE_TIMEOUT, shake_hands(&mut stream, local, peers, &mut claims)).await;
    let error = match shaken {
        Ok(Ok(peer)) => return peer.arrive(stream),
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::TimedOut,
    };
    let claims = claims.as_ref().map(NodeName::as_str);
    warn!(%from, claims, %error, "link refused");
    if let Ok(Err(error)) = timeout(HANDSHAKE_TIMEOUT, handshake::refuse(&mut stream, &error)).await {
        debug!(%from, %error, "the refusal was not heard");
    }
}

async fn shake_hands<'a>(
    stream: &mut TcpStream,
    local: &LocalNode,
    peers: &'a Peers,
    claims: &mut Option<NodeName>,
) -> Result<&'a Peer, HandshakeError> {
    let hello = handshake::hear_hello(stream).await?;
    let name = claims.insert(hello.from.clone());
    let Some(peer) = peers.iter().find(|peer| peer.name() == name) else {
        return Err(HandshakeError::Refused(Rejection::UnknownNode));
    };
    if peer.is_dialled_by_us() {
        return Err(HandshakeError::Refused(Rejection::WrongDirection));
    }
    handshake::accept(stream, &hello, &local.name, &local.cookie).await?;
    Ok(peer)
}

/// Keeps the link to a peer that dials this node. A newer socket of the peer replaces the older one, which may be half
/// dead.
pub(crate) async fn keep(local: Arc<LocalNode>, peer: Arc<Peer>, stop: Stop) -> Result<(), String> {
    let Some(mut stream) = stop.run_until_cancelled(peer.arrival()).await else { return Ok(()) };
    loop {
        tokio::select! {
            newer = peer.arrival() => stream = newer,
            () = link_task::serve(stream, &peer, &local, &stop) => {
                let Some(next) = stop.run_until_cancelled(peer.arrival()).await else { return Ok(()) };
                stream = next;
            }
        }
    }
}
