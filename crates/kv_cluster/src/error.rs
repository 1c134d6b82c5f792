//! What can go wrong between nodes, and what to do about it.

use std::{io, sync::Arc};

/// Why a request could not be asked or answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no link to the node now; nothing was sent.
    #[error("node {node} is down: {reason}")]
    NodeDown {
        /// The node.
        node: Arc<str>,
        /// Why its link is down.
        reason: Arc<str>,
    },
    /// Too much waits for the node already; nothing was sent.
    #[error("node {node} is busy: too many requests wait for it; try again in a moment")]
    Busy {
        /// The node.
        node: Arc<str>,
    },
    /// The link died after the request left and before its answer came.
    #[error(
        "outcome unknown: the link to {node} was lost after the request left, which may or may not have taken effect"
    )]
    LinkLost {
        /// The node.
        node: Arc<str>,
    },
    /// It was executed, and its answer is larger than a link carries.
    #[error("done, but the answer is too large for the link to {node}: it may have {limit} bytes")]
    ReplyTooLarge {
        /// The node.
        node: Arc<str>,
        /// Bytes that a link carries.
        limit: usize,
    },
    /// One request is larger than a link carries; nothing was sent.
    #[error("too large for the link to {node}: one request may have {limit} bytes")]
    TooLarge {
        /// The node.
        node: Arc<str>,
        /// Bytes that a link carries.
        limit: usize,
    },
    /// A transaction is larger than a link carries; nothing was sent.
    #[error(
        "too large for the link to {node}: one transaction may have {requests} requests and {bytes} bytes"
    )]
    TransactionTooLarge {
        /// The node.
        node: Arc<str>,
        /// Requests that one transaction may have.
        requests: usize,
        /// Bytes that a link carries.
        bytes: usize,
    },
    /// What must happen on one node names buckets of several.
    #[error(
        "these buckets live on several nodes, {one} and {other}; one command or transaction takes place on one"
    )]
    SeveralNodes {
        /// One of the nodes.
        one: Arc<str>,
        /// Another one.
        other: Arc<str>,
    },
    /// A node's answer does not fit the question.
    #[error("node {node} gave an answer to another question: run the same release on both nodes")]
    OtherAnswer {
        /// The node.
        node: Arc<str>,
    },
    /// What came back is no reply to the request.
    #[error("the answer is to another question: run the same release on all nodes")]
    UnexpectedReply,
    /// The node that our routes name says that the bucket is not its own.
    #[error(
        "node {node} does not own this bucket: the routes of the two nodes differ; give both the same configuration"
    )]
    NotOwner {
        /// The node.
        node: Arc<str>,
    },
    /// No route covers the bucket.
    #[error("no route for bucket \"{bucket}\"")]
    NoRoute {
        /// The bucket's name, escaped for people.
        bucket: String,
    },
    /// A node is named that the settings do not know.
    #[error("node {node} is not configured; known are: {known}")]
    UnknownNode {
        /// The node.
        node: Arc<str>,
        /// The configured nodes.
        known: String,
    },
    /// There are peers, and no address of our own where they could reach us.
    #[error("node {node} has peers but no link address; give it one, such as link = \"127.0.0.1:4051\"")]
    NoLinkAddress {
        /// This node.
        node: Arc<str>,
    },
    /// The link address cannot be listened on.
    #[error("cannot listen for links on {address}: {reason}")]
    Bind {
        /// The configured address.
        address: String,
        /// What the system said.
        reason: String,
    },
}

impl Error {
    /// No route covers the bucket of this name.
    pub fn no_route(bucket: &[u8]) -> Error {
        Error::NoRoute { bucket: escape_name(bucket) }
    }
}

/// A bucket's name for people: text as it is, and what is none escaped.
pub fn escape_name(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

/// A row of the routes that cannot be followed, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct RouteError {
    /// The row's index, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// A text that is no node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a node name: {problem}; write name@host, such as foo@127.0.0.1")]
pub struct NodeNameError {
    /// The text.
    pub given: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Bytes that are not what the link protocol allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the link protocol: {0}")]
pub(crate) struct Malformed(pub(crate) String);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    /// The peer closed it.
    #[error("the node closed the link")]
    Closed,
    /// This node is being stopped.
    #[error("this node is stopping")]
    Stopped,
    /// Nothing was heard for too long.
    #[error("nothing heard from it for too long")]
    Silent,
    /// The peer takes nothing of what we send.
    #[error("it takes nothing of what is sent to it")]
    Stuck,
    /// The peer asked for more at once than the protocol allows.
    #[error("it asked for more at once than a link allows")]
    Flooded,
    /// The peer sent what the protocol does not allow.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The socket failed.
    #[error("the link broke: {0}")]
    Io(#[from] io::Error),
}
