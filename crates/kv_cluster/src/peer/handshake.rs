//! Two nodes prove to each other that they know the cookie, before anything else is said on a link.
//!
//! ```text
//! dialer                              listener
//!   Hello { from, to, nonce }   ->
//!                               <-   Challenge { nonce }
//!   Proof(dialer's)             ->
//!                               <-   Proof(listener's)
//! ```
//! Either side may say `Refused` instead. Each message follows a byte with the speaker's version and two with its length.

use crate::{
    cookie::Cookie,
    cookie::{self, Meeting, Nonce, Proof, Role},
    error::Malformed,
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
enum Word {
    Hello(Hello),
    Challenge { nonce: Nonce },
    Proof(Proof),
    Refused(Rejection),
}

/// Why one side wants no link with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rejection {
    WrongCookie,
    OtherVersion,
    UnknownNode,
    OtherName,
    WrongDirection,
    Nonsense,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::WrongCookie => "wrong cookie: give both nodes the same one",
            Rejection::OtherVersion => {
                "another version of the link protocol: run the same release on both nodes"
            }
            Rejection::UnknownNode => "the dialling node is not in the other's configuration",
            Rejection::OtherName => "the node at that address has another name",
            Rejection::WrongDirection => "of two nodes the one with the lower name dials",
            Rejection::Nonsense => "not the link protocol",
        })
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("refused: {0}")]
    Refused(Rejection),
    #[error("it refused: {0}")]
    RefusedByPeer(Rejection),
    #[error(
        "refused: it speaks version {theirs} of the link protocol, this node version {LINK_VERSION}; run the same release on both nodes"
    )]
    Version { theirs: u8 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    TimedOut,
}

/// Introduces this node to the listener of `peer`.
pub(crate) async fn dial(
    stream: &mut TcpStream,
    me: &NodeName,
    peer: &NodeName,
    cookie: &Cookie,
) -> Result<(), HandshakeError> {
    let dialer_nonce = cookie::nonce();
    let hello = Hello { from: me.clone(), to: peer.clone(), nonce: dialer_nonce };
    say(stream, &Word::Hello(hello)).await?;
    let Word::Challenge { nonce: listener_nonce } = hear(stream).await? else { return Err(nonsense()) };
    let meeting = Meeting { dialer: me.clone(), listener: peer.clone(), dialer_nonce, listener_nonce };
    say(stream, &Word::Proof(cookie.prove(Role::Dialer, &meeting))).await?;
    let Word::Proof(proof) = hear(stream).await? else { return Err(nonsense()) };
    match cookie.verify(Role::Listener, &meeting, &proof) {
        true => Ok(()),
        false => Err(HandshakeError::Refused(Rejection::WrongCookie)),
    }
}

/// How a dialer introduces itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The name that it claims.
    pub(crate) from: NodeName,
    to: NodeName,
    nonce: Nonce,
}

/// Hears who wants a link.
pub(crate) async fn hear_hello(stream: &mut TcpStream) -> Result<Hello, HandshakeError> {
    match hear(stream).await? {
        Word::Hello(hello) => Ok(hello),
        _ => Err(nonsense()),
    }
}

/// Lets the dialer prove that it knows the cookie, and proves the same to it.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    hello: &Hello,
    me: &NodeName,
    cookie: &Cookie,
) -> Result<(), HandshakeError> {
    if hello.to != *me {
        return Err(HandshakeError::Refused(Rejection::OtherName));
    }
    let listener_nonce = cookie::nonce();
    say(stream, &Word::Challenge { nonce: listener_nonce }).await?;
    let (dialer, listener) = (hello.from.clone(), me.clone());
    let meeting = Meeting { dialer, listener, dialer_nonce: hello.nonce, listener_nonce };
    let Word::Proof(proof) = hear(stream).await? else { return Err(nonsense()) };
    if !cookie.verify(Role::Dialer, &meeting, &proof) {
        return Err(HandshakeError::Refused(Rejection::WrongCookie));
    }
    say(stream, &Word::Proof(cookie.prove(Role::Listener, &meeting))).await?;
    Ok(())
}

/// Tells the dialer why it gets no link, and waits until it has read that.
pub(crate) async fn refuse(stream: &mut TcpStream, error: &HandshakeError) -> io::Result<()> {
    let refusal = match error {
        HandshakeError::Refused(refusal) => *refusal,
        HandshakeError::Version { .. } => Rejection::OtherVersion,
        HandshakeError::Malformed(_) => Rejection::Nonsense,
        HandshakeError::RefusedByPeer(_) | HandshakeError::Io(_) | HandshakeError::TimedOut => return Ok(()),
    };
    say(stream, &Word::Refused(refusal)).await?;
    stream.shutdown().await?;
    // Closing with bytes unread would reset the connection, and the refusal with it.
    let mut unread = [0; HANDSHAKE_BYTES];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn nonsense() -> HandshakeError {
    HandshakeError::Refused(Rejection::Nonsense)
}

async fn say(stream: &mut TcpStream, word: &Word) -> io::Result<()> {
    let mut bytes = vec![LINK_VERSION, 0, 0];
    codec::encode(&mut bytes, word);
    let length = (bytes.len() - 3) as u16;
    bytes[1..3].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes).await
}

async fn hear(stream: &mut TcpStream) -> Result<Word, HandshakeError> {
    let version = stream.read_u8().await?;
    if version != LINK_VERSION {
        return Err(HandshakeError::Version { theirs: version });
    }
    let length = usize::from(stream.read_u16_le().await?);
    if length > HANDSHAKE_BYTES {
        return Err(nonsense());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    match codec::decode_handshake(&bytes)? {
        Word::Refused(refusal) => Err(HandshakeError::RefusedByPeer(refusal)),
        word => Ok(word),
    }
}
