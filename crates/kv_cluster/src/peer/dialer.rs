//! Keeps the link up to a peer that this node dials: it retries forever, with growing pauses.

use crate::{
    cookie::Cookie,
    limits::{DIAL_TIMEOUT, HANDSHAKE_TIMEOUT, RETRY_REFUSED, RETRY_UNREACHABLE, STABLE_AFTER},
    local::{LocalNode, membership::Membership},
    node_name::NodeName,
    peer::{
        AuthenticatedSocket, Peer,
        backoff::Backoff,
        handshake::{self, HandshakeError, Identity},
        link_task,
        versions::Versions,
    },
};
use otp::Stop;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

/// Why a peer could not be dialed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot reach {address}: {reason}")]
    Unreachable { address: Arc<str>, reason: String },
    #[error("cannot link with {address}: {error}")]
    Handshake { address: Arc<str>, error: HandshakeError },
}

/// Dials until this node stops.
pub(crate) async fn run(local: Arc<LocalNode>, peer: Arc<Peer>, stop: Stop) -> Result<(), String> {
    let mut backoff = Backoff::default();
    loop {
        peer.record_dial();
        let Some(dialed) = stop.run_until_cancelled(dial(&local, &peer, Versions::OWN)).await else {
            return Ok(());
        };
        let longest = match dialed {
            Ok(socket) => {
                let since = Instant::now();
                link_task::run(socket, &peer, &local, &stop).await;
                if since.elapsed() >= STABLE_AFTER {
                    backoff = Backoff::default();
                }
                RETRY_UNREACHABLE
            }
            Err(error) => report_failure(&peer, &error),
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = peer.redial_requested() => {}
            () = sleep(backoff.pause(longest)) => {}
        }
    }
}

/// Dials once, or again if the peer is older and these versions have its newest one.
pub(crate) async fn dial(
    local: &LocalNode,
    peer: &Peer,
    versions: Versions,
) -> Result<AuthenticatedSocket, DialError> {
    match dial_once(local, peer, versions).await {
        Err(DialError::Handshake { error: HandshakeError::Version { theirs, .. }, .. })
            if versions.has(theirs) =>
        {
            dial_once(local, peer, versions.up_to(theirs)).await
        }
        dialed => dialed,
    }
}

/// Dials with the newest of these versions.
async fn dial_once(
    local: &LocalNode,
    peer: &Peer,
    versions: Versions,
) -> Result<AuthenticatedSocket, DialError> {
    let address = peer.address();
    let unreachable = |reason| DialError::Unreachable { address: address.clone(), reason };
    let connected = timeout(DIAL_TIMEOUT, connect(&address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("timed out".into())),
    };
    let handshake = handshake::dial(&mut stream, versions, Identity::of(local), peer.name());
    let error = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(routes)) => return Ok(AuthenticatedSocket { stream, routes, version: versions.newest }),
        // Silence is not a refusal: a proxy, or a node that hangs, accepts connections too.
        Ok(Err(HandshakeError::Io(error))) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("timed out".into())),
        Ok(Err(error)) => error,
    };
    drop(timeout(HANDSHAKE_TIMEOUT, handshake::refuse(&mut stream, versions.newest, &error)).await);
    Err(DialError::Handshake { address, error })
}

/// Asks a node which ones its cluster has.
pub(crate) async fn ask(
    me: (&NodeName, &Cookie),
    peer: &NodeName,
    address: &str,
) -> Result<Membership, DialError> {
    let unreachable = |reason: String| DialError::Unreachable { address: address.into(), reason };
    let asked = async {
        let mut stream = connect(address).await.map_err(|error| unreachable(error.to_string()))?;
        let asked = handshake::ask(&mut stream, Versions::OWN, me, peer).await;
        asked.map_err(|error| DialError::Handshake { address: address.into(), error })
    };
    timeout(DIAL_TIMEOUT, asked).await.unwrap_or_else(|_| Err(unreachable("timed out".into())))
}

/// Connects in a task of its own: tokio looks up names on a thread, and panics if the system has none left.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let address = address.to_owned();
    let mut task = JoinSet::new();
    task.spawn(async move { TcpStream::connect(address).await });
    let connected = task.join_next().await.expect("the set has one task");
    connected.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Records and logs the failure. Returns the longest pause before the next attempt.
fn report_failure(peer: &Peer, error: &DialError) -> Duration {
    let node = peer.name();
    let is_new = peer.record_dial_failure(error.to_string());
    match error {
        DialError::Handshake { .. } => {
            warn!(%node, %error, "link refused");
            RETRY_REFUSED
        }
        DialError::Unreachable { .. } if is_new => {
            warn!(%node, %error, "cannot connect to node; retrying");
            RETRY_UNREACHABLE
        }
        DialError::Unreachable { .. } => {
            debug!(%node, %error, "cannot connect to node");
            RETRY_UNREACHABLE
        }
    }
}
