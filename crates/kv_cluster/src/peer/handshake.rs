//! The handshake of a link: before anything else, two nodes prove to each other that they know the cookie.
//!
//! ```text
//! dialer                              listener
//!   Hello { from, to, nonce }   ->
//!                               <-   Challenge { nonce }
//!   Proof(dialer's)             ->
//!                               <-   Proof(listener's)
//! ```
//! Either side may send `Refused` instead. Before each message are one byte with the sender's version and
//! two with the message's length.

use crate::{
    cookie::Cookie,
    cookie::{self, Nonce, Proof, Role, Transcript},
    error::ProtocolError,
    limits::{HANDSHAKE_BYTES, LINK_VERSION},
    link::codec,
    node_name::NodeName,
};
use serde::{Deserialize, Serialize};
use std::{fmt, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[derive(Debug, Serialize, Deserialize)]
enum HandshakeMessage {
    Hello(Hello),
    Challenge { nonce: Nonce },
    Proof(Proof),
    Refused(Rejection),
}

/// Why one side refuses a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rejection {
    WrongCookie,
    VersionMismatch,
    UnknownNode,
    NameMismatch,
    WrongDirection,
    ProtocolError,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::WrongCookie => "wrong cookie: give both nodes the same one",
            Rejection::VersionMismatch => {
                "link protocol version mismatch: run the same version on both nodes"
            }
            Rejection::UnknownNode => "the dialing node is not in the other's configuration",
            Rejection::NameMismatch => "the node at that address has a different name",
            Rejection::WrongDirection => "of two nodes the one with the lower name dials",
            Rejection::ProtocolError => "not the link protocol",
        })
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("refused: {0}")]
    Refused(Rejection),
    #[error("refused by the peer: {0}")]
    RefusedByPeer(Rejection),
    #[error(
        "refused: the peer speaks link protocol version {theirs}, this node version {LINK_VERSION}; run the same version on both nodes"
    )]
    Version { theirs: u8 },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("timed out")]
    TimedOut,
}

/// Performs the handshake with the listener of `peer`.
pub(crate) async fn dial(
    stream: &mut TcpStream,
    me: &NodeName,
    peer: &NodeName,
    cookie: &Cookie,
) -> Result<(), HandshakeError> {
    let dialer_nonce = cookie::nonce();
    let hello = Hello { from: me.clone(), to: peer.clone(), nonce: dialer_nonce };
    send(stream, &HandshakeMessage::Hello(hello)).await?;
    let HandshakeMessage::Challenge { nonce: listener_nonce } = receive(stream).await? else {
        return Err(protocol_error());
    };
    let transcript = Transcript { dialer: me.clone(), listener: peer.clone(), dialer_nonce, listener_nonce };
    send(stream, &HandshakeMessage::Proof(cookie.prove(Role::Dialer, &transcript))).await?;
    let HandshakeMessage::Proof(proof) = receive(stream).await? else { return Err(protocol_error()) };
    match cookie.verify(Role::Listener, &transcript, &proof) {
        true => Ok(()),
        false => Err(HandshakeError::Refused(Rejection::WrongCookie)),
    }
}

/// The first message of a dialer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The name that it claims.
    pub(crate) from: NodeName,
    to: NodeName,
    nonce: Nonce,
}

/// Receives the first message of a dialer.
pub(crate) async fn receive_hello(stream: &mut TcpStream) -> Result<Hello, HandshakeError> {
    match receive(stream).await? {
        HandshakeMessage::Hello(hello) => Ok(hello),
        _ => Err(protocol_error()),
    }
}

/// Verifies that the dialer knows the cookie, and proves the same to it.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    hello: &Hello,
    me: &NodeName,
    cookie: &Cookie,
) -> Result<(), HandshakeError> {
    if hello.to != *me {
        return Err(HandshakeError::Refused(Rejection::NameMismatch));
    }
    let listener_nonce = cookie::nonce();
    send(stream, &HandshakeMessage::Challenge { nonce: listener_nonce }).await?;
    let (dialer, listener) = (hello.from.clone(), me.clone());
    let transcript = Transcript { dialer, listener, dialer_nonce: hello.nonce, listener_nonce };
    let HandshakeMessage::Proof(proof) = receive(stream).await? else { return Err(protocol_error()) };
    if !cookie.verify(Role::Dialer, &transcript, &proof) {
        return Err(HandshakeError::Refused(Rejection::WrongCookie));
    }
    send(stream, &HandshakeMessage::Proof(cookie.prove(Role::Listener, &transcript))).await?;
    Ok(())
}

/// Sends the peer the reason, and waits until it has been read.
pub(crate) async fn refuse(stream: &mut TcpStream, error: &HandshakeError) -> io::Result<()> {
    let rejection = match error {
        HandshakeError::Refused(rejection) => *rejection,
        HandshakeError::Version { .. } => Rejection::VersionMismatch,
        HandshakeError::Protocol(_) => Rejection::ProtocolError,
        HandshakeError::RefusedByPeer(_) | HandshakeError::Io(_) | HandshakeError::TimedOut => return Ok(()),
    };
    send(stream, &HandshakeMessage::Refused(rejection)).await?;
    stream.shutdown().await?;
    // Closing with bytes unread would reset the connection, and the refusal with it.
    let mut unread = [0; HANDSHAKE_BYTES];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn protocol_error() -> HandshakeError {
    HandshakeError::Refused(Rejection::ProtocolError)
}

async fn send(stream: &mut TcpStream, message: &HandshakeMessage) -> io::Result<()> {
    let mut bytes = vec![LINK_VERSION, 0, 0];
    codec::encode(&mut bytes, message);
    let length = (bytes.len() - 3) as u16;
    bytes[1..3].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes).await
}

async fn receive(stream: &mut TcpStream) -> Result<HandshakeMessage, HandshakeError> {
    let version = stream.read_u8().await?;
    if version != LINK_VERSION {
        return Err(HandshakeError::Version { theirs: version });
    }
    let length = usize::from(stream.read_u16_le().await?);
    if length > HANDSHAKE_BYTES {
        return Err(protocol_error());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    match codec::decode_handshake(&bytes)? {
        HandshakeMessage::Refused(rejection) => Err(HandshakeError::RefusedByPeer(rejection)),
        message => Ok(message),
    }
}
