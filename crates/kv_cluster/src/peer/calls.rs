//! Calls to a peer: requests, transactions, subscriptions and queries, sent over its link if that is up.

use crate::{
    error::Error,
    limits::{COPY_BYTES, FRAME_BYTES, MESSAGE_BYTES, REQUEST_OVERHEAD_BYTES},
    link::{
        Link,
        codec::{SubscribeResult, TransactionResult},
        node_query::{NodeQuery, NodeReply},
        pending::{CallResult, CallTimedOut, ReplyReceiver},
        replies::CallReplies,
    },
    peer::Peer,
};
use kv::{Backlog, FullName, Op, Request, Subscription};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot::error::RecvError;

impl Peer {
    /// Sends the first requests as one call: [`PendingCall::request_count`] of them, at least one.
    pub(crate) fn call(&self, requests: &[Request<'_>]) -> Result<PendingCall<'_>, Error> {
        let (request_count, reply) = self.with_link(|link| link.call(requests))?;
        Ok(PendingCall { peer: self, request_count, reply })
    }

    /// Sends one request as one call. Other tasks run while it is copied.
    pub(crate) async fn call_large(&self, request: &Request<'_>) -> Result<PendingCall<'_>, Error> {
        let link = self.with_link(|link| Ok(link.clone()))?;
        Ok(PendingCall { peer: self, request_count: 1, reply: link.call_large(request).await? })
    }

    /// Subscribes to a bucket of the peer; `None` if there is no such bucket.
    pub(crate) async fn subscribe(
        &self,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<Option<Subscription>, Error> {
        let (changes, reply) = self.with_link(|link| link.subscribe(bucket, backlog))?;
        let node = self.name.shared();
        match self.received(reply.await).map_err(Error::of_read)? {
            SubscribeResult::Subscribed => Ok(Some(changes)),
            SubscribeResult::NoBucket => Ok(None),
            SubscribeResult::NotOwner => Err(Error::NotOwner { node }),
            SubscribeResult::TooMany => Err(Error::Busy { node }),
            SubscribeResult::Failed(failure) => Err(failure.on_node(&node).into()),
        }
    }

    /// Executes all requests as one step, or none. Other tasks run while large ones are copied.
    pub(crate) async fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<(TransactionResult, CallReplies), Error> {
        let is_large = requests.iter().map(|request| request.op.payload_bytes()).sum::<usize>() > COPY_BYTES;
        let reply = if is_large {
            let link = self.with_link(|link| Ok(link.clone()))?;
            link.transact_large(watched, requests).await?
        } else {
            self.with_link(|link| link.transact(watched, requests))?
        };
        let is_read = requests.iter().all(|request| request.op.is_read());
        self.received(reply.await).map_err(|error| if is_read { error.of_read() } else { error })
    }

    /// Sends what a replica says to that of the peer. It is lost if the peer is down.
    pub(crate) fn send_of_replica(&self, frame: &[u8]) {
        if let Some(link) = &self.state.borrow().link {
            link.send_of_replica(frame);
        }
    }

    /// Sends a query to the peer as a whole.
    pub(crate) fn query(self: &Arc<Self>, query: &NodeQuery<'_>) -> Result<PendingNodeReply, Error> {
        self.check_version(query.version())?;
        let reply = self.with_link(|link| link.query(query))?;
        Ok(PendingNodeReply { peer: self.clone(), is_read: query.is_read(), reply })
    }

    /// Checks that the request fits in a message.
    pub(crate) fn check_size(&self, request: &Request<'_>) -> Result<(), Error> {
        let args = if let Op::Command { args, .. } = &request.op { args.bulks().len() } else { 0 };
        match request.bucket.len() + args + REQUEST_OVERHEAD_BYTES <= MESSAGE_BYTES {
            true => Ok(()),
            false => Err(Error::TooLarge { node: self.name.shared(), limit: MESSAGE_BYTES }),
        }
    }

    /// Whether few bytes are in flight to the peer, which is up.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.with_link(|link| Ok(link.has_ample_room())).unwrap_or(false)
    }

    /// Why the peer is down, if it is.
    pub(crate) fn down_error(&self) -> Option<Error> {
        self.with_link(|_| Ok(())).err()
    }

    /// What a caller has received, or why it has received no reply.
    fn received<T>(&self, received: Result<CallResult<T>, RecvError>) -> Result<T, Error> {
        let node = || self.name.shared();
        match received {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(CallTimedOut)) => Err(Error::NoReply { node: node() }),
            Err(_) => Err(Error::LinkLost { node: node() }),
        }
    }

    fn with_link<T>(&self, send: impl FnOnce(&Arc<Link>) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state.borrow();
        match &state.link {
            Some(link) => send(link),
            None => Err(Error::NodeDown { node: self.name.shared(), reason: state.down_reason.clone() }),
        }
    }
}

/// A call in flight: ready when its replies have arrived, when they are late, or when its link is lost.
#[derive(Debug)]
pub(crate) struct PendingCall<'a> {
    peer: &'a Peer,
    request_count: usize,
    reply: ReplyReceiver<CallReplies>,
}

impl PendingCall<'_> {
    /// How many of the first requests it carries; at least one.
    pub(crate) fn request_count(&self) -> usize {
        self.request_count
    }
}

impl Future for PendingCall<'_> {
    type Output = Result<CallReplies, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|received| self.peer.received(received))
    }
}

/// A node query in flight.
#[derive(Debug)]
pub(crate) struct PendingNodeReply {
    peer: Arc<Peer>,
    is_read: bool,
    reply: ReplyReceiver<NodeReply>,
}

impl PendingNodeReply {
    /// Waits for the reply.
    pub(crate) async fn reply(self) -> Result<NodeReply, Error> {
        match self.peer.received(self.reply.await) {
            Ok(NodeReply::TooLarge) => {
                Err(Error::ReplyTooLarge { node: self.peer.name.shared(), limit: FRAME_BYTES })
            }
            Err(error) if self.is_read => Err(error.of_read()),
            received => received,
        }
    }
}
