//! Keeps the link to a peer that this node dials: for ever, with growing pauses while that fails.

use crate::{
    limits::{DIAL_TIMEOUT, HANDSHAKE_TIMEOUT, RETRY_REFUSED, RETRY_UNREACHABLE, SOUND_AFTER},
    local::LocalNode,
    peer::Peer,
    peer::backoff::Backoff,
    peer::handshake::{self, HandshakeError},
    peer::link_task,
};
use otp::Stop;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot reach {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("no link with {address}: {error}")]
    NoLink { address: String, error: HandshakeError },
}

/// Dials until this node stops.
pub(crate) async fn run(local: Arc<LocalNode>, peer: Arc<Peer>, stop: Stop) -> Result<(), String> {
    let mut backoff = Backoff::default();
    loop {
        peer.dialling();
        let Some(dialled) = stop.run_until_cancelled(dial(&local, &peer)).await else { return Ok(()) };
        let longest = match dialled {
            Ok(stream) => {
                let since = Instant::now();
                link_task::serve(stream, &peer, &local, &stop).await;
                if since.elapsed() >= SOUND_AFTER {
                    backoff = Backoff::default();
                }
                RETRY_UNREACHABLE
            }
            Err(error) => failed(&peer, &error),
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = peer.dial_wanted() => {}
            () = sleep(backoff.pause(longest)) => {}
        }
    }
}

async fn dial(local: &LocalNode, peer: &Peer) -> Result<TcpStream, DialError> {
    let unreachable = |reason| DialError::Unreachable { address: peer.address().into(), reason };
    let connected = timeout(DIAL_TIMEOUT, TcpStream::connect(peer.address())).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("no answer in time".into())),
    };
    let shaken = handshake::dial(&mut stream, &local.name, peer.name(), &local.cookie);
    let error = match timeout(HANDSHAKE_TIMEOUT, shaken).await {
        Ok(Ok(())) => return Ok(stream),
        // Silence is no refusal: behind a proxy, or while it hangs, an absent node is connected to all the same.
        Ok(Err(HandshakeError::Io(error))) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("no answer in time".into())),
        Ok(Err(error)) => error,
    };
    drop(timeout(HANDSHAKE_TIMEOUT, handshake::refuse(&mut stream, &error)).await);
    Err(DialError::NoLink { address: peer.address().into(), error })
}

/// Notes the failure, and returns the longest pause before the next attempt.
fn failed(peer: &Peer, error: &DialError) -> Duration {
    let node = peer.name();
    let is_new = peer.not_reached(error.to_string());
    match error {
        DialError::NoLink { .. } => {
            warn!(%node, %error, "link refused");
            RETRY_REFUSED
        }
        DialError::Unreachable { .. } if is_new => {
            warn!(%node, %error, "node not reached; trying on");
            RETRY_UNREACHABLE
        }
        DialError::Unreachable { .. } => {
            debug!(%node, %error, "node not reached");
            RETRY_UNREACHABLE
        }
    }
}
