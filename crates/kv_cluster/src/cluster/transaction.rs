//! Transactions: several requests as one step, on the one node that owns all their buckets.

use crate::{
    cluster::Cluster,
    error::Error,
    forward::{Owner, Refusal, reply_of},
    link::codec::TransactionResult,
    peer::Peer,
};
use kv::{FullName, Op, Reply, Request, Watcher};
use std::ops::ControlFlow::Continue;

impl Cluster {
    /// The one node that owns all buckets of these names; this node if there are no names.
    pub fn single_owner<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>) -> Result<Owner<'_>, Error> {
        let mut single: Option<Option<&Peer>> = None;
        for name in names {
            let owner = match self.owner(name) {
                Owner::Local(_) => None,
                Owner::Remote(peer) => Some(peer),
                Owner::Refused(refusal) => return Err(refusal.error(name)),
            };
            let first = *single.get_or_insert(owner);
            if first.map(Peer::name) != owner.map(Peer::name) {
                let node = |owner: Option<&Peer>| owner.map_or(self.node_name(), Peer::name).shared();
                return Err(Error::SeveralNodes { one: node(first), other: node(owner) });
            }
        }
        Ok(single.flatten().map_or(Owner::Local(&self.local), Owner::Remote))
    }

    /// The watcher of a connection of this node, for [`kv::Op::Watch`].
    pub fn watcher(connection: u64) -> Watcher {
        Watcher { link: 0, connection }
    }

    /// Ends watches of a connection of this node, without waiting for the owners of the buckets. A peer whose
    /// link cannot take the requests ends them with the link.
    pub fn unwatch<'n>(&self, watcher: Watcher, names: impl IntoIterator<Item = FullName<'n>>) {
        let mut remote: Vec<(&Peer, Vec<Request<'_>>)> = Vec::new();
        for FullName { database, name: bucket } in names {
            let request = Request { database, bucket, op: Op::Unwatch { watcher } };
            match self.owner(bucket) {
                Owner::Local(local) | Owner::Refused(Refusal::RoutesDiffer(local, _)) => {
                    local.execute(&[request], kv::time::now_ms(), |_| Continue(()));
                }
                Owner::Remote(peer) => {
                    match remote.iter_mut().find(|(known, _)| std::ptr::eq(*known, peer)) {
                        Some((_, requests)) => requests.push(request),
                        None => remote.push((peer, vec![request])),
                    }
                }
                Owner::Refused(Refusal::NoRoute) => {}
            }
        }
        for (peer, requests) in remote {
            let mut rest = &requests[..];
            while let Some(call) = (!rest.is_empty()).then(|| peer.call(rest)).and_then(Result::ok) {
                rest = &rest[call.request_count()..];
            }
        }
    }

    /// Executes all requests as one step, unless one of the watched buckets has changed since
    /// [`kv::Op::Watch`] returned its version. Returns `false` if one has; then nothing was done, and neither
    /// if the error is [`Error::Refused`] or [`Error::AtLimit`]. Otherwise `reply` has been passed the reply
    /// to each request, or why that could not cross the link.
    pub async fn transact(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
        mut reply: impl FnMut(Result<Reply<'_>, Error>),
    ) -> Result<bool, Error> {
        let names = watched.iter().map(|(full, _)| full.name).chain(requests.iter().flat_map(Request::names));
        let peer = match self.single_owner(names)? {
            Owner::Remote(peer) => peer,
            Owner::Local(_) | Owner::Refused(_) => {
                let now_ms = kv::time::now_ms();
                let executed = self.local.transact(watched, requests, now_ms, |local| reply(Ok(local)));
                return executed.map_err(Error::Refused);
            }
        };
        let (result, mut replies) = peer.transact(watched, requests).await?;
        match result {
            TransactionResult::Aborted => return Ok(false),
            TransactionResult::NotOwner => return Err(Error::NotOwner { node: peer.name().shared() }),
            TransactionResult::Refused(error) => {
                return Err(Error::of_limit(peer.name().as_str(), &error).unwrap_or(Error::Refused(error)));
            }
            TransactionResult::Executed => {}
        }
        while let Some(forwarded) = replies.next() {
            reply(reply_of(forwarded, peer));
        }
        Ok(true)
    }
}
