//! The share of a batch that belongs to one other node: sent at once, answered one by one.

use crate::{
    error::Error,
    limits::MESSAGE_BYTES,
    peer::{Call, Peer},
    replies::Replies,
    wire::Answer,
};
use kv::{Reply, Request};

/// Requests for one node, in their order.
#[derive(Debug)]
pub struct ForwardedBatch<'a> {
    peer: &'a Peer,
    requests: Vec<Request<'a>>,
    answered: usize,
    state: State,
}

/// What is known of the requests that are not answered yet.
#[derive(Debug)]
enum State {
    /// None has been sent.
    Unsent,
    /// The first so many are on their way.
    Called(Call),
    /// The answers to the first so many are here.
    Answered(Replies),
    /// The first so many met this error.
    Failed(usize, Error),
}

impl<'a> ForwardedBatch<'a> {
    /// An batch of one request so far.
    pub fn new(peer: &'a Peer, request: Request<'a>) -> ForwardedBatch<'a> {
        ForwardedBatch { peer, requests: vec![request], answered: 0, state: State::Unsent }
    }

    /// The node that it goes to.
    pub fn peer(&self) -> &'a Peer {
        self.peer
    }

    /// Adds a request.
    pub fn add(&mut self, request: Request<'a>) {
        self.requests.push(request);
    }

    /// Sends as many of the unanswered requests as one call takes.
    pub fn send(&mut self) {
        self.state = match self.peer.call(&self.requests[self.answered..]) {
            Ok(call) => State::Called(call),
            Err(error) => State::Failed(1, error),
        };
    }

    /// The outcome of the next request.
    pub async fn next(&mut self) -> Result<Reply<'_>, Error> {
        self.settle().await;
        let request = &self.requests[self.answered];
        self.answered += 1;
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
            State::Unsent | State::Called(_) => unreachable!("settled"),
        }
    }

    /// Waits until the outcome of the next request is known.
    async fn settle(&mut self) {
        loop {
            match &mut self.state {
                State::Called(call) => {
                    let taken = call.taken();
                    self.state = match call.await {
                        Ok(replies) => State::Answered(replies),
                        Err(error) => State::Failed(taken, error),
                    };
                }
                State::Answered(replies) if replies.is_empty() => self.send(),
                State::Unsent | State::Failed(0, _) => self.send(),
                State::Answered(_) | State::Failed(..) => return,
            }
        }
    }
}
