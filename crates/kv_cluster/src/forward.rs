//! Requests that this node does not answer itself: the owner of their buckets is asked, once. What it refuses is not
//! forwarded again, and a write whose link is lost has an unknown outcome: it is never repeated.

use crate::{
    error::Error,
    limits::MESSAGE_BYTES,
    link::codec::Answer,
    link::replies::Replies,
    local::LocalNode,
    peer::{Call, Peer},
};
use kv::{Reply, Request};

/// Who owns a bucket.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// This node, which answers at once.
    Local(&'a LocalNode),
    /// Another one, which answers later: by a [`ForwardedBatch`].
    Remote(&'a Peer),
    /// No route covers the bucket.
    Unrouted,
}

/// The requests of a batch that one owner answers later: dispatched together, then resolved in their order.
#[derive(Debug)]
pub struct ForwardedBatch<'a> {
    peer: &'a Peer,
    requests: Vec<Request<'a>>,
    resolved: usize,
    state: State,
}

/// What is known of the requests that are not resolved yet.
#[derive(Debug)]
enum State {
    /// None has been sent.
    Unsent,
    /// The first ones are on their way.
    InFlight(Call),
    /// The replies to the first ones are here.
    Answered(Replies),
    /// The first `n` met this error.
    Failed(usize, Error),
}

impl<'a> ForwardedBatch<'a> {
    /// A batch of one request.
    pub(crate) fn new(peer: &'a Peer, request: Request<'a>) -> ForwardedBatch<'a> {
        ForwardedBatch { peer, requests: vec![request], resolved: 0, state: State::Unsent }
    }

    /// Whether it goes to this owner.
    pub fn goes_to(&self, owner: &Owner<'_>) -> bool {
        matches!(owner, Owner::Remote(peer) if std::ptr::eq(*peer, self.peer))
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, request: Request<'a>) {
        self.requests.push(request);
    }

    /// Sends as many of the unresolved requests as one call takes.
    pub(crate) fn dispatch(&mut self) {
        self.state = match self.peer.call(&self.requests[self.resolved..]) {
            Ok(call) => State::InFlight(call),
            Err(error) => State::Failed(1, error),
        };
    }

    /// The result of the next request.
    pub async fn resolve_next(&mut self) -> Result<Reply<'_>, Error> {
        self.settle().await;
        let request = &self.requests[self.resolved];
        self.resolved += 1;
        let node = self.peer.name().shared();
        match &mut self.state {
            State::Answered(replies) => match replies.next().expect("settled") {
                Answer::Reply(reply) => Ok(reply),
                Answer::NotOwner => Err(Error::NotOwner { node }),
                Answer::TooLarge => Err(Error::ReplyTooLarge { node, limit: MESSAGE_BYTES }),
            },
            State::Failed(count, error) => {
                *count -= 1;
                match error {
                    Error::LinkLost { .. } => Err(self.peer.lost(request.op.is_read())),
                    error => Err(error.clone()),
                }
            }
            State::Unsent | State::InFlight(_) => unreachable!("settled"),
        }
    }

    /// Waits until the result of the next request is known.
    async fn settle(&mut self) {
        loop {
            match &mut self.state {
                State::InFlight(call) => {
                    let taken = call.taken();
                    self.state = match call.await {
                        Ok(replies) => State::Answered(replies),
                        Err(error) => State::Failed(taken, error),
                    };
                }
                State::Answered(replies) if replies.is_empty() => self.dispatch(),
                State::Unsent | State::Failed(0, _) => self.dispatch(),
                State::Answered(_) | State::Failed(..) => return,
            }
        }
    }
}
