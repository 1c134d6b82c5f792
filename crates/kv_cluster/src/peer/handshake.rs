//! The handshake of a link: before anything else, two nodes prove to each other that they know the cookie.
//! Then they exchange their routes.
//!
//! ```text
//! dialer                              listener
//!   Hello { from, to, nonce }   ->
//!                               <-   Challenge { nonce }
//!   Proof(dialer's)             ->
//!                               <-   Proof(listener's)
//!   Routes(dialer's)            ->
//!                               <-   Routes(listener's)
//! ```
//! Either side may send `Refused` instead. Each message is one byte with the sender's version and a frame as
//! on the link that follows: checksum, length, message.

use crate::{
    cookie::Cookie,
    cookie::{self, Nonce, Proof, Role, Transcript},
    error::ProtocolError,
    limits::{HANDSHAKE_BYTES, LINK_VERSION, ROUTES_BYTES},
    link::codec::{self, FrameHeader, HEADER_BYTES},
    local::LocalNode,
    node_name::NodeName,
    routing::Routes,
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
    Routes(AnnouncedRoutes),
}

/// The routes that a node is configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnnouncedRoutes {
    pub(crate) routes: Routes,
    /// The cluster whose nodes have agreed on where replicas are; 0 if the node knows of none.
    pub(crate) cluster: u64,
}

/// What a node says of itself in a handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) cookie: &'a Cookie,
    pub(crate) routes: &'a Routes,
    pub(crate) cluster: u64,
}

impl<'a> Identity<'a> {
    /// What this node says of itself.
    pub(crate) fn of(local: &'a LocalNode) -> Identity<'a> {
        let cluster = local.replicated.table.borrow().cluster;
        Identity { name: &local.name, cookie: &local.cookie, routes: local.table.routes(), cluster }
    }

    fn announced(&self) -> HandshakeMessage {
        HandshakeMessage::Routes(AnnouncedRoutes { routes: self.routes.clone(), cluster: self.cluster })
    }
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
            Rejection::UnknownNode => {
                "the dialing node is not one of the other's: add it, with `add-node` or to the configuration"
            }
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

/// Performs the handshake with the listener of `peer`. Returns the routes of the peer.
pub(crate) async fn dial(
    stream: &mut TcpStream,
    me: Identity<'_>,
    peer: &NodeName,
) -> Result<AnnouncedRoutes, HandshakeError> {
    let announced = me.announced();
    let Identity { name: me, cookie, .. } = me;
    let dialer_nonce = cookie::nonce();
    let hello = Hello { from: me.clone(), to: peer.clone(), nonce: dialer_nonce };
    send(stream, &HandshakeMessage::Hello(hello)).await?;
    let HandshakeMessage::Challenge { nonce: listener_nonce } = receive(stream).await? else {
        return Err(protocol_error());
    };
    let transcript = Transcript { dialer: me.clone(), listener: peer.clone(), dialer_nonce, listener_nonce };
    send(stream, &HandshakeMessage::Proof(cookie.prove(Role::Dialer, &transcript))).await?;
    let HandshakeMessage::Proof(proof) = receive(stream).await? else { return Err(protocol_error()) };
    if !cookie.verify(Role::Listener, &transcript, &proof) {
        return Err(HandshakeError::Refused(Rejection::WrongCookie));
    }
    send(stream, &announced).await?;
    receive_routes(stream).await
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

/// Verifies that the dialer knows the cookie, and proves the same to it. Returns the routes of the dialer.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    hello: &Hello,
    me: Identity<'_>,
) -> Result<AnnouncedRoutes, HandshakeError> {
    let announced = me.announced();
    let Identity { name: me, cookie, .. } = me;
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
    // One after the other: if both sent first, long routes could fill the buffers between them.
    let dialer_routes = receive_routes(stream).await?;
    send(stream, &announced).await?;
    Ok(dialer_routes)
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
    let mut bytes = vec![LINK_VERSION];
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    codec::encode(&mut bytes, message);
    FrameHeader::write(&mut bytes[1..]);
    stream.write_all(&bytes).await
}

/// Receives a message of a peer that may be anyone.
async fn receive(stream: &mut TcpStream) -> Result<HandshakeMessage, HandshakeError> {
    receive_within::<HANDSHAKE_BYTES>(stream).await
}

/// Receives the routes of a peer that has proved that it knows the cookie.
async fn receive_routes(stream: &mut TcpStream) -> Result<AnnouncedRoutes, HandshakeError> {
    match receive_within::<ROUTES_BYTES>(stream).await? {
        HandshakeMessage::Routes(announced) if announced.routes.is_ordered() => Ok(announced),
        _ => Err(protocol_error()),
    }
}

async fn receive_within<const LIMIT: usize>(
    stream: &mut TcpStream,
) -> Result<HandshakeMessage, HandshakeError> {
    let version = stream.read_u8().await?;
    if version != LINK_VERSION {
        return Err(HandshakeError::Version { theirs: version });
    }
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame).await?;
    let header =
        FrameHeader::read(&frame).filter(|header| header.length <= LIMIT).ok_or_else(protocol_error)?;
    frame.resize(HEADER_BYTES + header.length, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..]).await?;
    header.verify(&frame)?;
    match codec::decode_whole::<_, LIMIT>(&frame[HEADER_BYTES..])? {
        HandshakeMessage::Refused(rejection) => Err(HandshakeError::RefusedByPeer(rejection)),
        message => Ok(message),
    }
}
