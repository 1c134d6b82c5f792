//! Requests whose replies come later: from another node, or from a durable range of this one. All requests of
//! a batch to one owner are sent together, and resolved in order.
//!
//! Another node executes or refuses what it is sent; none takes a second hop. A reply message may be full
//! before all requests of a call are in it: the rest, and a read whose reply did not fit, go into the next
//! call. A write whose link is lost has an unknown outcome, and is not sent again.
//!
//! Of a row with replicas the leader is asked, whichever node that is. What was certainly not done, because
//! the node that was asked does not lead, is asked again until the leader is found; only the first of the
//! unresolved requests, and those after it, so that they keep their order.
//!
//! A durable range executes what only reads at once, or when a majority has confirmed that it leads. A batch
//! that writes to it takes its reads of that range along, so that they see what was written before them.

use crate::{
    error::{Error, Outcome, RangeFailure},
    limits::{CALL_REQUESTS, COPY_BYTES, MESSAGE_BYTES, STEP_REQUESTS},
    link::{codec::ForwardedReply, replies::CallReplies},
    peer::{Peer, calls::PendingCall},
    replicas::{Replicas, ReplicasList, Search, Server},
};
use kv::{Reply, Request};
use kv_raft::{Confirmation, Range, RangeError, RangeReply, Ticket, is_immediate, is_large};
use std::ptr;

/// Who replies later.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Another node.
    Peer(&'a Peer),
    /// A durable range of this node alone. It replies at once to what only reads.
    Range(&'a Range),
    /// The leader of a row with replicas: this node, which then replies at once to what only reads if it has
    /// a lease for that, or another one.
    Replicas(&'a Replicas),
}

impl<'a> Target<'a> {
    /// Whether both are the same.
    pub fn is_same(self, other: Target<'_>) -> bool {
        match (self, other) {
            (Target::Peer(one), Target::Peer(other)) => ptr::eq(one, other),
            (Target::Range(one), Target::Range(other)) => ptr::eq(one, other),
            (Target::Replicas(one), Target::Replicas(other)) => ptr::eq(one, other),
            _ => false,
        }
    }

    /// The durable range of this node that serves the requests now, if one does.
    #[inline]
    pub fn range(self) -> Option<&'a Range> {
        match self {
            Target::Range(range) => Some(range),
            Target::Replicas(replicas) => replicas.served_here(),
            Target::Peer(_) => None,
        }
    }

    /// The durable range of this node that executes at once what only reads, if one does.
    #[inline]
    pub fn range_to_read(self) -> Option<&'a Range> {
        match self {
            Target::Range(range) => Some(range),
            Target::Replicas(replicas) => replicas.read_here(),
            Target::Peer(_) => None,
        }
    }

    /// Whether a request that this node has refused like this is sent to another one.
    pub fn is_retried_after(self, failure: &RangeFailure) -> bool {
        matches!(self, Target::Replicas(_)) && failure.is_misdirected()
    }

    /// Who is asked next, as far as that is known without waiting.
    pub(crate) fn server(self, search: &Search<'a>) -> Option<Server<'a>> {
        match self {
            Target::Peer(peer) => Some(Server::Peer(peer)),
            Target::Range(range) => Some(Server::Here(range)),
            Target::Replicas(replicas) => search.server(replicas),
        }
    }

    /// Whether so little waits for it that one client may send much at once. What it refuses for want of room
    /// is then refused because of many clients, each of which sends a batch.
    pub fn has_ample_room(self) -> bool {
        match self.server(&Search::default()) {
            Some(Server::Peer(peer)) => peer.has_ample_room(),
            Some(Server::Here(range)) => range.has_ample_room(),
            None => false,
        }
    }
}

/// Requests to which one owner replies later: sent together, then resolved in order.
#[derive(Debug)]
pub struct ForwardedBatch<'a> {
    target: Target<'a>,
    rows: &'a ReplicasList,
    /// Whether the row of the target was split meanwhile: some of the requests may go to another one.
    is_split: bool,
    requests: Vec<Request<'a>>,
    resolved: usize,
    /// How many requests the next call has at most.
    call_requests: usize,
    /// Who was asked last.
    server: Option<Server<'a>>,
    search: Search<'a>,
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
    Replied(CallReplies),
    /// The first `n` wait until the log of the range is on disk.
    Proposed(usize, Ticket),
    /// They only read, and wait until a majority has confirmed that the range leads.
    Confirming(Confirmation),
    /// The first of them have been executed by the range.
    Executed(kv_raft::Replies),
    /// The first `n` failed with this error.
    Failed(usize, Error),
    /// No leader was found: all fail.
    NoLeader(Error),
}

impl<'a> ForwardedBatch<'a> {
    /// A batch of one request.
    pub(crate) fn new(
        target: Target<'a>,
        rows: &'a ReplicasList,
        request: Request<'a>,
    ) -> ForwardedBatch<'a> {
        ForwardedBatch {
            target,
            rows,
            is_split: false,
            requests: vec![request],
            resolved: 0,
            call_requests: CALL_REQUESTS,
            server: None,
            search: Search::default(),
            state: State::Unsent,
        }
    }

    /// Whether its requests go to this target.
    pub fn goes_to(&self, target: Target<'_>) -> bool {
        self.target.is_same(target)
    }

    /// The range, if it executes all requests at once, because they only read.
    pub(crate) fn immediate_range(&self) -> Option<&'a Range> {
        self.target.range_to_read().filter(|_| self.requests.iter().all(|request| is_immediate(&request.op)))
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, request: Request<'a>) {
        self.requests.push(request);
    }

    /// Sends as many of the unresolved requests as fit in one call or one entry of the log, if it is known to
    /// whom. A large one is copied, and sent, when its result is awaited.
    pub(crate) fn send(&mut self) {
        self.state = State::Unsent;
        self.server = self.target.server(&self.search);
        if let Some(server) = self.server
            && !is_large_for(server, &self.requests[self.resolved])
        {
            self.send_to(server);
        }
    }

    /// The end of the unresolved requests that the next call may have: the first one that is for another row
    /// than the next one, if the row was split.
    fn unresolved_end(&self) -> usize {
        let all = self.requests.len();
        let Target::Replicas(replicas) = self.target else { return all };
        if !self.is_split {
            return all;
        }
        let mut others = self.requests[self.resolved + 1..].iter();
        let is_of_other = |request: &Request<'_>| !replicas.row().has_name(request.bucket);
        others.position(is_of_other).map_or(all, |other| self.resolved + 1 + other)
    }

    /// Sends what is left to the row that has the next request, if that was split. Returns whether that is
    /// another one.
    fn redirect(&mut self) -> bool {
        let Target::Replicas(replicas) = self.target else { return false };
        let name = self.requests[self.resolved].bucket;
        if replicas.row().has_name(name) {
            return false;
        }
        let Some(next) = self.rows.of_name(name) else { return false };
        (self.target, self.search, self.is_split) = (Target::Replicas(next), Search::default(), true);
        true
    }

    fn send_to(&mut self, server: Server<'a>) {
        let unresolved = &self.requests[self.resolved..self.unresolved_end()];
        self.state = match server {
            Server::Peer(peer) => match peer.call(&unresolved[..unresolved.len().min(self.call_requests)]) {
                Ok(call) => State::InFlight(call),
                Err(error) => {
                    self.call_requests = STEP_REQUESTS;
                    State::Failed(1, error)
                }
            },
            Server::Here(range) if unresolved.iter().all(|request| is_immediate(&request.op)) => {
                self.search.begin();
                State::Confirming(range.confirm())
            }
            Server::Here(range) => match range.propose(unresolved) {
                Ok((count, ticket)) => State::Proposed(count, ticket),
                Err(error) => State::Failed(1, error.into()),
            },
        };
    }

    /// Sends what is next, when it is known to whom. Other tasks run while a large request is copied.
    async fn send_next(&mut self) {
        self.redirect();
        let server = match self.target {
            Target::Peer(peer) => Server::Peer(peer),
            Target::Range(range) => Server::Here(range),
            Target::Replicas(replicas) => match self.search.find(replicas).await {
                Ok(server) => server,
                Err(error) => {
                    self.state = State::NoLeader(error);
                    return;
                }
            },
        };
        self.server = Some(server);
        let request = self.requests[self.resolved];
        if !is_large_for(server, &request) {
            return self.send_to(server);
        }
        self.state = match server {
            Server::Peer(peer) => match peer.call_large(&request).await {
                Ok(call) => State::InFlight(call),
                Err(error) => State::Failed(1, error),
            },
            Server::Here(range) => match range.propose_large(&request).await {
                Ok(ticket) => State::Proposed(1, ticket),
                Err(error) => State::Failed(1, error.into()),
            },
        };
    }

    /// The result of the next request.
    pub async fn resolve_next(&mut self) -> Result<Reply<'_>, Error> {
        self.wait_for_next().await;
        let request = &self.requests[self.resolved];
        self.resolved += 1;
        match (&mut self.state, self.server) {
            (State::Replied(replies), Some(Server::Peer(peer))) => {
                self.search.found();
                match replies.next().expect("waited for") {
                    ForwardedReply::Failed(failure) if request.op.is_read() => {
                        Err(failure.of_read().on_node(peer.name().as_str()).into())
                    }
                    reply => reply_of(reply, peer),
                }
            }
            (State::Executed(replies), Some(Server::Here(range))) => {
                self.search.found();
                reply_of_range(replies.next_reply().expect("waited for"), range)
            }
            (State::Failed(count, error), _) => {
                *count -= 1;
                let error = error.clone();
                Err(if request.op.is_read() { error.of_read() } else { error })
            }
            (State::NoLeader(error), _) => Err(error.clone()),
            _ => unreachable!("waited for"),
        }
    }

    /// Waits until the result of the next request is known, if there is one, and returns how many bytes of
    /// memory it holds, with those that have arrived along with it.
    pub async fn arrived_bytes(&mut self) -> usize {
        if self.resolved == self.requests.len() {
            return 0;
        }
        self.wait_for_next().await;
        match &self.state {
            State::Replied(replies) => replies.held_bytes(),
            State::Executed(replies) => replies.held_bytes(),
            State::Unsent
            | State::InFlight(_)
            | State::Proposed(..)
            | State::Confirming(_)
            | State::Failed(..)
            | State::NoLeader(_) => 0,
        }
    }

    /// Waits until the result of the next request is known.
    async fn wait_for_next(&mut self) {
        loop {
            self.wait_for_answer().await;
            let Target::Replicas(replicas) = self.target else { return };
            let Some(failure) = self.misdirected() else { return };
            if failure.is_split_off() && self.redirect() {
                self.state = State::Unsent;
                continue;
            }
            if let Err(error) = self.search.go_on(replicas, self.server, failure).await {
                self.state = State::NoLeader(error);
                return;
            }
            self.state = State::Unsent;
        }
    }

    /// Why the next request was not done, if another node may do it, or if it only reads, and all that was
    /// sent with it.
    fn misdirected(&mut self) -> Option<Error> {
        let failure = match (&self.state, self.server) {
            (State::Replied(replies), Some(Server::Peer(peer))) => replies.next_failure(peer.name())?,
            (State::Failed(count, error), _) => {
                let unresolved = self.requests[self.resolved..].iter().take(*count);
                let may_repeat = error.outcome() == Outcome::Unknown
                    && unresolved.clone().all(|request| request.op.is_read());
                return (may_repeat || error.is_misdirected()).then(|| error.clone());
            }
            _ => None?,
        };
        failure.is_misdirected().then_some(failure)
    }

    /// Waits until the one that was asked has answered the next request, or has failed.
    async fn wait_for_answer(&mut self) {
        loop {
            match &mut self.state {
                State::InFlight(call) => {
                    let sent = call.request_count();
                    self.state = match call.await {
                        Ok(replies) => {
                            // What has no reply is sent again: not all of it each time.
                            if replies.len() < sent {
                                self.call_requests = STEP_REQUESTS;
                            }
                            State::Replied(replies)
                        }
                        Err(error) => State::Failed(sent, error),
                    };
                }
                State::Proposed(count, ticket) => {
                    let count = *count;
                    self.state = match ticket.await {
                        Ok(replies) => State::Executed(replies),
                        Err(error) => State::Failed(count, error.into()),
                    };
                }
                State::Confirming(confirmation) => {
                    let confirmed = confirmation.await;
                    self.state = self.read(confirmed);
                }
                State::Replied(replies) if replies.is_empty() => self.send_next().await,
                State::Executed(replies) if replies.is_empty() => self.send_next().await,
                State::Unsent | State::Failed(0, _) => self.send_next().await,
                State::Replied(_) | State::Executed(_) | State::Failed(..) | State::NoLeader(_) => return,
            }
        }
    }

    /// Executes the unresolved requests, which only read, in the range of this node if it leads.
    fn read(&self, confirmed: Result<(), RangeError>) -> State<'a> {
        let Some(Server::Here(range)) = self.server else { unreachable!("it was asked") };
        let unresolved = &self.requests[self.resolved..self.unresolved_end()];
        match confirmed.and_then(|()| range.read_confirmed(unresolved)) {
            Ok(replies) => State::Executed(replies),
            Err(error) => State::Failed(unresolved.len(), error.into()),
        }
    }
}

/// Whether a request is copied for so long that it is sent when its result is awaited.
fn is_large_for(server: Server<'_>, request: &Request<'_>) -> bool {
    match server {
        Server::Peer(_) => request.op.payload_bytes() > COPY_BYTES,
        Server::Here(_) => is_large(request) && !is_immediate(&request.op),
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
        ForwardedReply::Failed(failure) => Err(failure.on_node(peer.name().as_str()).into()),
        ForwardedReply::NotOwner => Err(Error::NotOwner { node: node() }),
        ForwardedReply::TooLarge => Err(Error::ReplyTooLarge { node: node(), limit: MESSAGE_BYTES }),
    }
}

/// What a durable range of this node replied to one request.
pub(crate) fn reply_of_range<'r>(reply: RangeReply<'r>, range: &Range) -> Result<Reply<'r>, Error> {
    match reply {
        RangeReply::Reply(reply) => Ok(reply),
        RangeReply::TooLarge => Err(Error::RangeReplyTooLarge { range: range.span().text.clone() }),
    }
}
