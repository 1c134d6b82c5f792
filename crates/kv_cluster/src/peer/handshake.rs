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
//! A node that is none of the cluster yet, or with which none of the others links, begins with `Join` instead
//! of `Hello`. After the proofs it is sent `Cluster`: which nodes there are, and where replicas are.
//!
//! Either side may send `Refused` instead. Each message is one byte with the version that is spoken and a
//! frame as on the link that follows: checksum, length, message. The dialer's first one proposes the version;
//! a listener that does not speak it refuses with its own newest one.

use crate::{
    cookie::Cookie,
    cookie::{self, Nonce, Proof, Role, Transcript},
    error::ProtocolError,
    limits::{HANDSHAKE_BYTES, MEMBERSHIP_BYTES, ROUTES_BYTES},
    link::codec::{self, FrameHeader, HEADER_BYTES},
    local::{LocalNode, membership::Membership},
    node_name::NodeName,
    peer::versions::Versions,
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
    Challenge {
        nonce: Nonce,
    },
    Proof(Proof),
    Refused(Rejection),
    Routes(AnnouncedRoutes),
    /// As `Hello`, of a node that asks which nodes the cluster has.
    Join(Hello),
    Cluster(Box<Membership>),
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
    NoCluster,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::WrongCookie => "wrong cookie: give both nodes the same one",
            Rejection::VersionMismatch => {
                "link protocol version mismatch: run releases of which one follows the other"
            }
            Rejection::UnknownNode => {
                "the dialing node is not one of the other's: add it, with `add-node` or to the configuration"
            }
            Rejection::NameMismatch => "the node at that address has a different name",
            Rejection::WrongDirection => "of two nodes the one with the lower name dials",
            Rejection::ProtocolError => "not the link protocol",
            Rejection::NoCluster => "the other node is in no cluster whose rows have replicas",
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
        "refused: the peer speaks link protocol version {theirs}, this node {ours}; run releases of which one follows the other"
    )]
    Version { theirs: u8, ours: Versions },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("timed out")]
    TimedOut,
}

/// Performs the handshake with the listener of `peer`, in the newest of these versions. Returns the routes of
/// the peer.
pub(crate) async fn dial(
    stream: &mut TcpStream,
    versions: Versions,
    me: Identity<'_>,
    peer: &NodeName,
) -> Result<AnnouncedRoutes, HandshakeError> {
    let announced = me.announced();
    prove(stream, versions, (me.name, me.cookie), peer, HandshakeMessage::Hello).await?;
    send(stream, versions.newest, &announced).await?;
    receive_routes(stream, versions).await
}

/// Asks the listener of `peer` which nodes its cluster has.
pub(crate) async fn ask(
    stream: &mut TcpStream,
    versions: Versions,
    me: (&NodeName, &Cookie),
    peer: &NodeName,
) -> Result<Membership, HandshakeError> {
    prove(stream, versions, me, peer, HandshakeMessage::Join).await?;
    match receive_within::<MEMBERSHIP_BYTES>(stream, versions).await? {
        (_, HandshakeMessage::Cluster(membership)) => Ok(*membership),
        _ => Err(protocol_error()),
    }
}

/// Begins a handshake, and has both nodes prove that they know the cookie.
async fn prove(
    stream: &mut TcpStream,
    versions: Versions,
    (me, cookie): (&NodeName, &Cookie),
    peer: &NodeName,
    first: fn(Hello) -> HandshakeMessage,
) -> Result<(), HandshakeError> {
    let version = versions.newest;
    let dialer_nonce = cookie::nonce();
    let hello = Hello { from: me.clone(), to: peer.clone(), nonce: dialer_nonce, version, joins: false };
    send(stream, version, &first(hello)).await?;
    let HandshakeMessage::Challenge { nonce: listener_nonce } = receive(stream, versions).await? else {
        return Err(protocol_error());
    };
    let transcript = Transcript { dialer: me.clone(), listener: peer.clone(), dialer_nonce, listener_nonce };
    send(stream, version, &HandshakeMessage::Proof(cookie.prove(Role::Dialer, &transcript))).await?;
    let HandshakeMessage::Proof(proof) = receive(stream, versions).await? else {
        return Err(protocol_error());
    };
    if !cookie.verify(Role::Listener, &transcript, &proof) {
        return Err(HandshakeError::Refused(Rejection::WrongCookie));
    }
    Ok(())
}

/// The first message of a dialer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The name that it claims.
    pub(crate) from: NodeName,
    to: NodeName,
    nonce: Nonce,
    /// The version that it proposes, which every message begins with.
    #[serde(skip)]
    pub(crate) version: u8,
    /// Whether it asks which nodes the cluster has, and no link is to follow.
    #[serde(skip)]
    pub(crate) joins: bool,
}

/// Receives the first message of a dialer, in one of these versions.
pub(crate) async fn receive_hello(
    stream: &mut TcpStream,
    versions: Versions,
) -> Result<Hello, HandshakeError> {
    match receive_within::<HANDSHAKE_BYTES>(stream, versions).await? {
        (version, HandshakeMessage::Hello(hello)) => Ok(Hello { version, ..hello }),
        (version, HandshakeMessage::Join(hello)) => Ok(Hello { version, joins: true, ..hello }),
        _ => Err(protocol_error()),
    }
}

/// Verifies that the dialer knows the cookie, and proves the same to it. Returns the routes of the dialer.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    hello: &Hello,
    me: Identity<'_>,
) -> Result<AnnouncedRoutes, HandshakeError> {
    verify(stream, hello, (me.name, me.cookie)).await?;
    // One after the other: if both sent first, long routes could fill the buffers between them.
    let dialer_routes = receive_routes(stream, Versions::only(hello.version)).await?;
    send(stream, hello.version, &me.announced()).await?;
    Ok(dialer_routes)
}

/// Replies to a node that asks which nodes the cluster has, once it has proved that it knows the cookie.
pub(crate) async fn reply(
    stream: &mut TcpStream,
    hello: &Hello,
    local: &LocalNode,
) -> Result<(), HandshakeError> {
    verify(stream, hello, (&local.name, &local.cookie)).await?;
    let membership = local.membership().ok_or(HandshakeError::Refused(Rejection::NoCluster))?;
    Ok(send(stream, hello.version, &HandshakeMessage::Cluster(membership.into())).await?)
}

/// Has both nodes prove that they know the cookie.
async fn verify(
    stream: &mut TcpStream,
    hello: &Hello,
    (me, cookie): (&NodeName, &Cookie),
) -> Result<(), HandshakeError> {
    let (version, versions) = (hello.version, Versions::only(hello.version));
    if hello.to != *me {
        return Err(HandshakeError::Refused(Rejection::NameMismatch));
    }
    let listener_nonce = cookie::nonce();
    send(stream, version, &HandshakeMessage::Challenge { nonce: listener_nonce }).await?;
    let (dialer, listener) = (hello.from.clone(), me.clone());
    let transcript = Transcript { dialer, listener, dialer_nonce: hello.nonce, listener_nonce };
    let HandshakeMessage::Proof(proof) = receive(stream, versions).await? else {
        return Err(protocol_error());
    };
    if !cookie.verify(Role::Dialer, &transcript, &proof) {
        return Err(HandshakeError::Refused(Rejection::WrongCookie));
    }
    Ok(send(stream, version, &HandshakeMessage::Proof(cookie.prove(Role::Listener, &transcript))).await?)
}

/// Sends the peer, which speaks this version, the reason, and waits until it has been read.
pub(crate) async fn refuse(stream: &mut TcpStream, version: u8, error: &HandshakeError) -> io::Result<()> {
    let (version, rejection) = match error {
        HandshakeError::Refused(rejection) => (version, *rejection),
        HandshakeError::Version { ours, .. } => (ours.newest, Rejection::VersionMismatch),
        HandshakeError::Protocol(_) => (version, Rejection::ProtocolError),
        HandshakeError::RefusedByPeer(_) | HandshakeError::Io(_) | HandshakeError::TimedOut => return Ok(()),
    };
    send(stream, version, &HandshakeMessage::Refused(rejection)).await?;
    stream.shutdown().await?;
    // Closing with bytes unread would reset the connection, and the refusal with it.
    let mut unread = [0; HANDSHAKE_BYTES];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn protocol_error() -> HandshakeError {
    HandshakeError::Refused(Rejection::ProtocolError)
}

async fn send(stream: &mut TcpStream, version: u8, message: &HandshakeMessage) -> io::Result<()> {
    let mut bytes = vec![version];
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    codec::encode(&mut bytes, message);
    FrameHeader::write(&mut bytes[1..]);
    stream.write_all(&bytes).await
}

/// Receives a message of a peer that may be anyone.
async fn receive(stream: &mut TcpStream, versions: Versions) -> Result<HandshakeMessage, HandshakeError> {
    Ok(receive_within::<HANDSHAKE_BYTES>(stream, versions).await?.1)
}

/// Receives the routes of a peer that has proved that it knows the cookie.
async fn receive_routes(
    stream: &mut TcpStream,
    versions: Versions,
) -> Result<AnnouncedRoutes, HandshakeError> {
    match receive_within::<ROUTES_BYTES>(stream, versions).await?.1 {
        HandshakeMessage::Routes(announced) if announced.routes.is_ordered() => Ok(announced),
        _ => Err(protocol_error()),
    }
}

/// Receives a message, and its version.
async fn receive_within<const LIMIT: usize>(
    stream: &mut TcpStream,
    versions: Versions,
) -> Result<(u8, HandshakeMessage), HandshakeError> {
    let version = stream.read_u8().await?;
    let mismatch = HandshakeError::Version { theirs: version, ours: versions };
    if !versions.has(version) {
        return Err(mismatch);
    }
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame).await?;
    let header =
        FrameHeader::read(&frame).filter(|header| header.length <= LIMIT).ok_or_else(protocol_error)?;
    frame.resize(HEADER_BYTES + header.length, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..]).await?;
    header.verify(&frame)?;
    match codec::decode_whole::<_, LIMIT>(&frame[HEADER_BYTES..])? {
        HandshakeMessage::Refused(Rejection::VersionMismatch) => Err(mismatch),
        HandshakeMessage::Refused(rejection) => Err(HandshakeError::RefusedByPeer(rejection)),
        message => Ok((version, message)),
    }
}
