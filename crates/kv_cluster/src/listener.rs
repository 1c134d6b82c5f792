//! Takes the links of the peers that dial this node.

use crate::{
    connection,
    handshake::{self, HandshakeError, Refusal},
    limits::{ACCEPT_PAUSE, HANDSHAKE_TIMEOUT},
    local::Local,
    peer::Peer,
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
    local: &Arc<Local>,
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
async fn welcome(mut stream: TcpStream, from: SocketAddr, local: &Local, peers: &Peers) {
    let find = |name: &_| peers.iter().find(|peer| peer.name() == name);
    let admit = |name: &_| match find(name) {
        Some(peer) if peer.is_dialled_by_us() => Err(Refusal::WrongDirection),
        Some(_) => Ok(()),
        None => Err(Refusal::UnknownNode),
    };
    let shaken = handshake::accept(&mut stream, &local.me, &local.cookie, admit);
    let error = match timeout(HANDSHAKE_TIMEOUT, shaken).await {
        Ok(Ok(name)) => {
            if let Some(peer) = find(&name) {
                peer.arrive(stream);
            }
            return;
        }
        Ok(Err(error)) => error,
        Err(_) => HandshakeError::TimedOut,
    };
    warn!(%from, %error, "link refused");
    if let Ok(Err(error)) = timeout(HANDSHAKE_TIMEOUT, handshake::refuse(&mut stream, &error)).await {
        debug!(%from, %error, "the refusal was not heard");
    }
}

/// Keeps the link to a peer that dials this node. A newer socket of the peer replaces the older one, which may be half
/// dead.
pub(crate) async fn keep(local: Arc<Local>, peer: Arc<Peer>, stop: Stop) -> Result<(), String> {
    let Some(mut stream) = stop.run_until_cancelled(peer.arrival()).await else { return Ok(()) };
    loop {
        tokio::select! {
            newer = peer.arrival() => stream = newer,
            () = connection::serve(stream, &peer, &local, &stop) => {
                let Some(next) = stop.run_until_cancelled(peer.arrival()).await else { return Ok(()) };
                stream = next;
            }
        }
    }
}
