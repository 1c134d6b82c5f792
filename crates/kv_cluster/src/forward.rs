//! Requests for buckets of other nodes. Each goes to the bucket's owner, which executes or refuses it; none
//! takes a second hop. A reply message may be full before all requests of a call are in it: the rest, and a
//! read whose reply did not fit, go into the next call. A write whose link is lost has an unknown outcome,
//! and is not sent again.

use crate::{
    error::{Error, escape_name},
    limits::MESSAGE_BYTES,
    link::{codec::ForwardedReply, replies::Replies},
    local::LocalNode,
    peer::{Peer, calls::PendingCall},
};
use kv::{Reply, Request};

/// Who owns a bucket.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// This node. It replies at once.
    Local(&'a LocalNode),
    /// Another node. It replies later, to a [`ForwardedBatch`].
    Remote(&'a Peer),
    /// No node: the request is refused.
    Refused(Refusal<'a>),
}

/// Why no node serves a bucket.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'a> {
    /// No route covers it.
    NoRoute,
    /// By the routes of the two nodes it has different owners.
    RoutesDiffer(&'a LocalNode, &'a Peer),
}

impl Refusal<'_> {
    /// The error of a request for the bucket.
    pub fn error(&self, bucket: &[u8]) -> Error {
        match self {
            Refusal::NoRoute => Error::no_route(bucket),
            Refusal::RoutesDiffer(local, peer) => Error::RoutesDiffer {
                one: local.name.shared(),
                other: peer.name().shared(),
                bucket: escape_name(bucket),
            },
        }
    }
}

/// Requests to which one owner replies later: sent together, then resolved in order.
#[derive(Debug)]
pub struct ForwardedBatch<'a> {
    peer: &'a Peer,
    requests: Vec<Request<'a>>,
    resolved: usize,
    state: State<'a>,
}

/// The state of the unresolved requests.
#[derive(Debug)]
enum State<'a> {
    /// Nothing has been sent.
    Unsent,
    /// One call with the first of them is in flight.
    InFlight(PendingCall<'a>),
    /// The replies to the first of them have arrived.
    Replied(Replies),
    /// The first `n` failed with this error.
    Failed(usize, Error),
}

impl<'a> ForwardedBatch<'a> {
    /// A batch of one request.
    pub(crate) fn new(peer: &'a Peer, request: Request<'a>) -> ForwardedBatch<'a> {
        ForwardedBatch { peer, requests: vec![request], resolved: 0, state: State::Unsent }
    }

    /// Whether its requests go to this owner.
    pub fn goes_to(&self, owner: &Owner<'_>) -> bool {
        matches!(owner, Owner::Remote(peer) if std::ptr::eq(*peer, self.peer))
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, request: Request<'a>) {
        self.requests.push(request);
    }

    /// Sends as many of the unresolved requests as fit in one call.
    pub(crate) fn send(&mut self) {
        self.state = match self.peer.call(&self.requests[self.resolved..]) {
            Ok(call) => State::InFlight(call),
            Err(error) => State::Failed(1, error),
        };
    }

    /// The result of the next request.
    pub async fn resolve_next(&mut self) -> Result<Reply<'_>, Error> {
        self.wait_for_next().await;
        let request = &self.requests[self.resolved];
        self.resolved += 1;
        match &mut self.state {
            State::Replied(replies) => reply_of(replies.next().expect("waited for"), self.peer),
            State::Failed(count, error) => {
                *count -= 1;
                let error = error.clone();
                Err(if request.op.is_read() { error.of_read() } else { error })
            }
            State::Unsent | State::InFlight(_) => unreachable!("waited for"),
        }
    }

    /// Waits until the result of the next request is known.
    async fn wait_for_next(&mut self) {
        loop {
            match &mut self.state {
                State::InFlight(call) => {
                    let sent = call.request_count();
                    self.state = match call.await {
                        Ok(replies) => State::Replied(replies),
                        Err(error) => State::Failed(sent, error),
                    };
                }
                State::Replied(replies) if replies.is_empty() => self.send(),
                State::Unsent | State::Failed(0, _) => self.send(),
                State::Replied(_) | State::Failed(..) => return,
            }
        }
    }
}

/// What the peer replied to one request.
pub(crate) fn reply_of<'r>(reply: ForwardedReply<'r>, peer: &Peer) -> Result<Reply<'r>, Error> {
    let node = || peer.name().shared();
    match reply {
        ForwardedReply::Reply(Reply::Error(error)) => match Error::of_limit(peer.name().as_str(), &error) {
            Some(limit) => Err(limit),
            None => Ok(Reply::Error(error)),
        },
        ForwardedReply::Reply(reply) => Ok(reply),
        ForwardedReply::NotOwner => Err(Error::NotOwner { node: node() }),
        ForwardedReply::TooLarge => Err(Error::ReplyTooLarge { node: node(), limit: MESSAGE_BYTES }),
    }
}
