//! Errors between nodes, and what to do about them.

use kv::{CommandError, Reply, syntax::excerpt::excerpt};
use kv_raft::RangeError;
use serde::{Deserialize, Serialize};
use std::{io, sync::Arc};

/// Why a request could not be forwarded or executed.
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
    /// Too many requests to the node are in flight; nothing was sent.
    #[error("node {node} is overloaded: too many requests in flight; retry")]
    Busy {
        /// The node.
        node: Arc<str>,
    },
    /// The link was lost after the request was sent and before its reply arrived.
    #[error(
        "outcome unknown: the link to {node} was lost before the reply; the request may have been applied"
    )]
    LinkLost {
        /// The node.
        node: Arc<str>,
    },
    /// The request was sent, and its reply did not arrive in time.
    #[error(
        "outcome unknown: node {node} did not reply within links.call_timeout_ms; the request may have been applied"
    )]
    NoReply {
        /// The node.
        node: Arc<str>,
    },
    /// The request was executed, but its reply exceeds the link limit.
    #[error("executed, but the reply exceeds the link limit of {limit} bytes (node {node})")]
    ReplyTooLarge {
        /// The node.
        node: Arc<str>,
        /// Bytes of one message.
        limit: usize,
    },
    /// The request was executed, but the replies of the range to all that was executed with it are too large.
    #[error(
        "executed, but the replies of range {range} to requests at once are too large: ask for less at once"
    )]
    RangeReplyTooLarge {
        /// The span of the range.
        range: Box<str>,
    },
    /// The request exceeds the link limit; nothing was sent.
    #[error("request exceeds the link limit of {limit} bytes (node {node}); nothing was sent")]
    TooLarge {
        /// The node.
        node: Arc<str>,
        /// Bytes of one message.
        limit: usize,
    },
    /// The transaction exceeds the link limit; nothing was sent.
    #[error(
        "transaction exceeds the link limit of {requests} requests or {bytes} bytes (node {node}); nothing was sent"
    )]
    TransactionTooLarge {
        /// The node.
        node: Arc<str>,
        /// Requests of one transaction.
        requests: usize,
        /// Bytes of one message.
        bytes: usize,
    },
    /// Another node has reached a limit of its own; nothing was done.
    #[error("{}", describe_limit(node, error))]
    AtLimit {
        /// The node.
        node: Arc<str>,
        /// The limit.
        error: CommandError,
    },
    /// A command or transaction that runs on one node names buckets of several.
    #[error(
        "these buckets are on different nodes, {one} and {other}; a command or transaction runs on one node: \
         give the names one row in [[routes]], or send the commands one by one, without MULTI"
    )]
    SeveralNodes {
        /// One of the nodes.
        one: Arc<str>,
        /// Another one.
        other: Arc<str>,
    },
    /// A command or transaction that runs in one range names buckets of several.
    #[error(
        "these buckets are in different ranges, {one} and {other}; a command or transaction runs in one range: \
         give the names one row in [[routes]], or send the commands one by one, without MULTI"
    )]
    SeveralRanges {
        /// One of the ranges.
        one: Box<str>,
        /// Another one.
        other: Box<str>,
    },
    /// A durable range has not answered.
    #[error(transparent)]
    Range(#[from] RangeFailure),
    /// This node has a replica of a row, and no place for it.
    #[error(
        "node {node} has a replica of {row}, and no data_dir; give it one, such as data_dir = \"data/{node}\""
    )]
    NoDataDir {
        /// This node.
        node: Arc<str>,
        /// The row.
        row: String,
    },
    /// The nodes have agreed on the replicas of a row that the configuration does not have.
    #[error(
        "the configuration has no row {row:?} with replicas, and there are some, on {nodes}: write the row back, with several nodes"
    )]
    RowMissing {
        /// The row.
        row: Box<str>,
        /// The nodes with replicas.
        nodes: Box<str>,
    },
    /// The data directory cannot be used.
    #[error("{0}")]
    DataDir(String),
    /// Not all nodes have removed their buckets.
    #[error("not all nodes were flushed: {failed}; flushed: {flushed}")]
    PartlyFlushed {
        /// Why which nodes may not have been.
        failed: String,
        /// The nodes that have been.
        flushed: String,
    },
    /// A node's reply is not of the kind that the query asks for.
    #[error("unexpected reply from node {node}: run the same version on all nodes")]
    UnexpectedNodeReply {
        /// The node.
        node: Arc<str>,
    },
    /// A node without routes is none of the cluster yet whose nodes its configuration names.
    #[error(
        "node {node} is not one of the cluster yet: type `add-node {node} {address}` at one of its nodes"
    )]
    NotAdmitted {
        /// The node.
        node: Arc<str>,
        /// The address of its links.
        address: Box<str>,
    },
    /// None of the nodes that a node without routes names says which ones its cluster has.
    #[error("no node can be asked to join its cluster: {problems}")]
    NobodyAsked {
        /// Why not.
        problems: String,
    },
    /// The node is of a release that does not know the query; nothing was sent.
    #[error("node {node} is of an older release, which does not know this: upgrade it first")]
    OlderRelease {
        /// The node.
        node: Arc<str>,
    },
    /// The reply is not of a kind that the request can have.
    #[error("unexpected reply from the owner: run the same version on all nodes")]
    UnexpectedReply,
    /// By this node's routes the other node owns the bucket, by its own routes it does not.
    #[error(
        "node {node} does not own this bucket: the routes of the two nodes differ; give both the same configuration"
    )]
    NotOwner {
        /// The node.
        node: Arc<str>,
    },
    /// By this node's routes and those of a linked node the bucket has different owners; nothing was done.
    #[error("routes of {one} and {other} differ for \"{bucket}\": give both the same configuration")]
    RoutesDiffer {
        /// This node.
        one: Arc<str>,
        /// The linked node.
        other: Arc<str>,
        /// The bucket's name, escaped.
        bucket: String,
    },
    /// The transaction was refused as a whole; nothing was done.
    #[error("transaction refused: {0}")]
    Refused(CommandError),
    /// No route covers the bucket.
    #[error("no route for bucket \"{bucket}\"")]
    NoRoute {
        /// The bucket's name, escaped.
        bucket: String,
    },
    /// A route names a node that is not configured.
    #[error("node {node} is not configured; the configured nodes are: {known}")]
    UnknownNode {
        /// The node.
        node: Arc<str>,
        /// The configured nodes.
        known: String,
    },
    /// The node is none of those on which the nodes of the cluster have agreed.
    #[error("node {node} is not one of the cluster, which has {nodes}: `add-node {node} HOST:PORT` adds it")]
    NotInCluster {
        /// The node.
        node: Arc<str>,
        /// Those of the cluster.
        nodes: Box<str>,
    },
    /// There are peers, but no address where this node accepts their links.
    #[error("node {node} has peers but no link address; give it one, such as link = \"127.0.0.1:4051\"")]
    NoLinkAddress {
        /// This node.
        node: Arc<str>,
    },
    /// Listening on the link address failed.
    #[error("cannot listen for links on {address}: {reason}")]
    Bind {
        /// The configured address.
        address: String,
        /// The system's error.
        reason: String,
    },
}

impl Error {
    /// [`Error::NoRoute`] for the bucket of this name.
    pub fn no_route(bucket: &[u8]) -> Error {
        Error::NoRoute { bucket: escape_name(bucket) }
    }

    /// What is known of the request that failed.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Range(failure) if failure.kind == RangeFailureKind::Unknown => Outcome::Unknown,
            Error::LinkLost { .. } | Error::NoReply { .. } | Error::PartlyFlushed { .. } => Outcome::Unknown,
            Error::ReplyTooLarge { .. }
            | Error::RangeReplyTooLarge { .. }
            | Error::UnexpectedNodeReply { .. }
            | Error::UnexpectedReply => Outcome::Done,
            Error::NodeDown { .. }
            | Error::Busy { .. }
            | Error::TooLarge { .. }
            | Error::TransactionTooLarge { .. }
            | Error::AtLimit { .. }
            | Error::SeveralNodes { .. }
            | Error::SeveralRanges { .. }
            | Error::Range(_)
            | Error::DataDir(_)
            | Error::NoDataDir { .. }
            | Error::RowMissing { .. }
            | Error::NotAdmitted { .. }
            | Error::NobodyAsked { .. }
            | Error::OlderRelease { .. }
            | Error::NotOwner { .. }
            | Error::RoutesDiffer { .. }
            | Error::Refused(_)
            | Error::NoRoute { .. }
            | Error::UnknownNode { .. }
            | Error::NotInCluster { .. }
            | Error::NoLinkAddress { .. }
            | Error::Bind { .. } => Outcome::NotDone,
        }
    }

    /// Whether nothing was done, and another node that has a replica, or the same one in a moment, may serve
    /// the request.
    pub(crate) fn is_misdirected(&self) -> bool {
        match self {
            Error::NodeDown { .. } | Error::NotOwner { .. } => true,
            Error::Range(failure) => failure.is_misdirected(),
            _ => false,
        }
    }

    /// Whether the range was split, and the bucket is in another one now.
    pub(crate) fn is_split_off(&self) -> bool {
        matches!(self, Error::Range(RangeFailure { kind: RangeFailureKind::SplitOff, .. }))
    }

    /// A command failed on another node: the error if that is because of a limit which is that node's own.
    pub(crate) fn of_limit(node: &str, error: &CommandError) -> Option<Error> {
        let is_limit = matches!(
            error,
            CommandError::OutOfMemory
                | CommandError::WatchesFull
                | CommandError::TransactionTooLarge { .. }
                | CommandError::CommandTooLarge { .. }
                | CommandError::StepTooLarge
        );
        is_limit.then(|| Error::AtLimit { node: node.into(), error: error.clone() })
    }

    /// The error of a request that changes nothing: whether or not it was executed, nothing happened.
    pub(crate) fn of_read(self) -> Error {
        match self {
            Error::LinkLost { node } => Error::NodeDown { node, reason: "its link was lost".into() },
            Error::NoReply { node } => {
                Error::NodeDown { node, reason: "it did not reply within links.call_timeout_ms".into() }
            }
            Error::Range(failure) => Error::Range(failure.of_read()),
            error => error,
        }
    }
}

/// Why a durable range has not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct RangeFailure {
    /// What clients may do about it.
    pub kind: RangeFailureKind,
    /// The reason in words.
    pub message: Box<str>,
    /// The node that leads the range, if it is another one that is known.
    pub leader: Option<Box<str>>,
}

/// What clients may do when a durable range has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeFailureKind {
    /// It loads what is on disk: ask again later. Nothing was done.
    Loading,
    /// Too much waits for the disk: ask again later. Nothing was done.
    Behind,
    /// The request is too large. Nothing was done.
    TooLarge,
    /// Another node leads the range. Nothing was done.
    NotLeader,
    /// No node leads it, as a majority does not answer, or none was elected yet. Nothing was done.
    NoLeader,
    /// The range cannot go on. Nothing was done.
    Stopped,
    /// The disk takes nothing, so only reads are answered. Nothing was done.
    CannotWrite,
    /// The buckets are in several ranges. Nothing was done.
    Several,
    /// It may have been done.
    Unknown,
    /// It makes no sense for the range as it is. Nothing was done.
    Invalid,
    /// The range was split, and the bucket is in another one now. Nothing was done.
    SplitOff,
}

impl RangeFailure {
    /// A failure without a leader who could be asked instead.
    pub fn new(kind: RangeFailureKind, message: impl Into<Box<str>>) -> RangeFailure {
        RangeFailure { kind, message: message.into(), leader: None }
    }

    /// Whether nothing was done, and another replica, or the same one in a moment, may serve the request.
    pub(crate) fn is_misdirected(&self) -> bool {
        matches!(
            self.kind,
            RangeFailureKind::NotLeader
                | RangeFailureKind::NoLeader
                | RangeFailureKind::Loading
                | RangeFailureKind::Stopped
                | RangeFailureKind::SplitOff
        )
    }

    /// The failure as another node reports it.
    pub(crate) fn on_node(self, node: &str) -> RangeFailure {
        RangeFailure { message: format!("{} (node {node})", self.message).into(), ..self }
    }

    /// The failure of a request that changes nothing: whether or not it was executed, nothing happened.
    pub(crate) fn of_read(self) -> RangeFailure {
        match self.kind {
            RangeFailureKind::Unknown => {
                RangeFailure::new(RangeFailureKind::Behind, "the range failed before the reply; retry")
            }
            _ => self,
        }
    }
}

impl From<RangeError> for RangeFailure {
    fn from(error: RangeError) -> RangeFailure {
        let message = error.to_string().into();
        let kind = match error {
            RangeError::NotLeader { leader, .. } => {
                return RangeFailure {
                    kind: RangeFailureKind::NotLeader,
                    message,
                    leader: Some((*leader).into()),
                };
            }
            RangeError::NoLeader { .. } => RangeFailureKind::NoLeader,
            RangeError::Loading { .. } => RangeFailureKind::Loading,
            RangeError::Behind { .. } => RangeFailureKind::Behind,
            RangeError::TooLarge { .. } => RangeFailureKind::TooLarge,
            RangeError::Stopped { .. } => RangeFailureKind::Stopped,
            RangeError::CannotWrite { .. } => RangeFailureKind::CannotWrite,
            RangeError::Unknown { .. } => RangeFailureKind::Unknown,
            RangeError::SplitOff => RangeFailureKind::SplitOff,
        };
        RangeFailure::new(kind, message)
    }
}

impl From<RangeError> for Error {
    fn from(error: RangeError) -> Error {
        Error::Range(error.into())
    }
}

/// What is known of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was done.
    NotDone,
    /// It was executed.
    Done,
    /// It may have been executed.
    Unknown,
}

/// A bucket's name as an error shows it: text with its control characters and quotes escaped, and other
/// bytes escaped one by one. Of a long name, its start and three dots.
pub fn escape_name(name: &[u8]) -> String {
    let start = excerpt(name);
    let mut escaped = match std::str::from_utf8(start) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => start.escape_ascii().to_string(),
    };
    if start.len() < name.len() {
        escaped.push_str("...");
    }
    escaped
}

/// The error of every request while the store is restarting.
pub const RESTARTING: &str = "the store is restarting: ask again in a moment";

/// Why a request to a bucket of `node` failed, in words for people: for every reply other than the expected
/// ones.
pub fn describe_failure(node: &str, bucket: &[u8], reply: &Reply<'_>) -> String {
    match reply {
        Reply::Crashed => format!("bucket \"{}\" crashed", escape_name(bucket)),
        Reply::Error(CommandError::WrongType) => format!(
            "bucket \"{}\" holds a single value, not keys: SHOW it, use a Redis client, or drop it",
            escape_name(bucket)
        ),
        Reply::Error(error @ CommandError::OutOfMemory) => describe_limit(node, error),
        Reply::Error(error) => error.to_string(),
        Reply::Restarting => RESTARTING.into(),
        // Only Redis commands get other replies.
        _ => Error::UnexpectedReply.to_string(),
    }
}

/// Which limit a node has reached, and what to do.
fn describe_limit(node: &str, error: &CommandError) -> String {
    match error {
        CommandError::OutOfMemory => {
            format!("out of memory on node {node}: delete something there, or raise its storage.max_memory")
        }
        error => format!("{error} (node {node})"),
    }
}

/// A row of the routes that is invalid, and what to write instead.
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

/// A string that is not a node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a node name: {problem}; write name@host, such as foo@127.0.0.1")]
pub struct NodeNameError {
    /// The string.
    pub given: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Bytes that violate the link protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("link protocol error: {0}")]
pub(crate) struct ProtocolError(pub(crate) String);

/// Why a link was closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkClosed {
    /// By the peer.
    #[error("the peer closed the link")]
    ByPeer,
    /// This node is being stopped.
    #[error("this node is stopping")]
    Stopped,
    /// Nothing arrived for too long.
    #[error("heartbeat timeout")]
    HeartbeatTimeout,
    /// Nothing could be written for too long.
    #[error("peer is not reading")]
    NotReading,
    /// A frame or a large message did not arrive whole.
    #[error("a message stopped arriving before its end")]
    Stalled,
    /// Too many calls got no reply.
    #[error("{0} calls got no reply within links.call_timeout_ms")]
    Unresponsive(usize),
    /// The peer sent more requests at once than the protocol allows.
    #[error("peer exceeded the in-flight limit")]
    Flooded,
    /// The peer violated the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The socket failed.
    #[error("I/O error: {0}")]
    Io(#[from] io::Error),
}
