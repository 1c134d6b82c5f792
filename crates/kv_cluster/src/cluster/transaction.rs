//! Transactions: several requests as one step, on the one node that owns all their buckets.

use crate::{
    cluster::{Cluster, Owner, Refusal},
    error::Error,
    forward::{Target, reply_of, reply_of_range},
    link::codec::TransactionResult,
    local::Place,
    peer::Peer,
    replicas::{Search, Server},
};
use kv::{FullName, Op, Reply, Request, Watcher};
use kv_raft::{ProposalOutcome, Range};
use std::{ops::ControlFlow::Continue, slice};

impl Cluster {
    /// The one node that owns all buckets of these names; this node if there are no names.
    pub fn single_owner<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>) -> Result<Owner<'_>, Error> {
        let mut single: Option<Owner<'_>> = None;
        for name in names {
            let owner = self.owner(name);
            if let Owner::Refused(refusal) = owner {
                return Err(refusal.error(name));
            }
            let first = *single.get_or_insert(owner);
            if !first.is_same(&owner) {
                return Err(self.several(first, owner));
            }
        }
        Ok(single.unwrap_or(Owner::Local(&self.local)))
    }

    /// The error of a command or transaction with buckets of two owners.
    fn several(&self, one: Owner<'_>, other: Owner<'_>) -> Error {
        let place = |owner| match owner {
            Owner::Local(_) => Some(Place::Volatile.text()),
            Owner::Later(Target::Range(range)) => Some(Place::Range(range).text()),
            Owner::Later(Target::Replicas(replicas)) => Some(replicas.text()),
            Owner::Later(Target::Peer(_)) | Owner::Refused(_) => None,
        };
        if let (Some(one), Some(other)) = (place(one), place(other)) {
            return Error::SeveralRanges { one: one.into(), other: other.into() };
        }
        let node = |owner| match owner {
            Owner::Later(Target::Peer(peer)) => peer.name().shared(),
            Owner::Later(Target::Replicas(replicas)) => replicas.row().node_names().into(),
            Owner::Local(_) | Owner::Later(Target::Range(_)) | Owner::Refused(_) => self.node_name().shared(),
        };
        Error::SeveralNodes { one: node(one), other: node(other) }
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
                    match local.configured_place(bucket) {
                        Some(Place::Range(range)) => drop(range.propose(&[request])),
                        _ => drop(local.execute(&[request], kv::time::now_ms(), |_| Continue(()))),
                    }
                }
                Owner::Later(target) => match target.server(&Search::default()) {
                    // A range that refuses this ends all watches when it accepts requests again.
                    Some(Server::Here(range)) => drop(range.propose(&[request])),
                    Some(Server::Peer(peer)) => {
                        match remote.iter_mut().find(|(known, _)| std::ptr::eq(*known, peer)) {
                            Some((_, requests)) => requests.push(request),
                            None => remote.push((peer, vec![request])),
                        }
                    }
                    None => {}
                },
                Owner::Refused(Refusal::NoRoute) => {}
            }
        }
        for (peer, requests) in remote {
            // Of a call with several, the peer may leave some to be sent again, and nobody waits for that.
            for request in &requests {
                if peer.call(slice::from_ref(request)).is_err() {
                    break;
                }
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
        let names =
            || watched.iter().map(|(full, _)| full.name).chain(requests.iter().flat_map(Request::names));
        let mut search = Search::default();
        loop {
            let replicas = match self.single_owner(names())? {
                Owner::Later(Target::Replicas(replicas)) => replicas,
                Owner::Later(Target::Peer(peer)) => {
                    return transact_at(peer, watched, requests, &mut reply).await;
                }
                Owner::Later(Target::Range(range)) => {
                    return transact_in(range, watched, requests, &mut reply).await;
                }
                Owner::Local(_) | Owner::Refused(_) => {
                    let preparation =
                        self.local.prepare_transaction(requests).await.map_err(Error::Refused)?;
                    let executed =
                        self.local.transact(watched, requests, preparation, |local| reply(Ok(local)));
                    return executed.map_err(Error::Refused);
                }
            };
            let server = search.find(replicas).await?;
            let executed = match server {
                Server::Here(range) => transact_in(range, watched, requests, &mut reply).await,
                Server::Peer(peer) => transact_at(peer, watched, requests, &mut reply).await,
            };
            match executed {
                // After a split another row may be asked.
                Err(failure) if failure.is_misdirected() => {
                    search.go_on(replicas, Some(server), failure).await?;
                }
                executed => return executed,
            }
        }
    }
}

/// Executes a transaction on another node.
async fn transact_at(
    peer: &Peer,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    reply: &mut impl FnMut(Result<Reply<'_>, Error>),
) -> Result<bool, Error> {
    let (result, mut replies) = peer.transact(watched, requests).await?;
    match result {
        TransactionResult::Aborted => return Ok(false),
        TransactionResult::NotOwner => return Err(Error::NotOwner { node: peer.name().shared() }),
        TransactionResult::Refused(error) => {
            return Err(Error::of_limit(peer.name().as_str(), &error).unwrap_or(Error::Refused(error)));
        }
        TransactionResult::Failed(failure) => return Err(failure.on_node(peer.name().as_str()).into()),
        TransactionResult::Executed => {}
    }
    while let Some(forwarded) = replies.next() {
        reply(reply_of(forwarded, peer));
    }
    Ok(true)
}

/// Executes a transaction in a durable range of this node.
async fn transact_in(
    range: &Range,
    watched: &[(FullName<'_>, u64)],
    requests: &[Request<'_>],
    reply: &mut impl FnMut(Result<Reply<'_>, Error>),
) -> Result<bool, Error> {
    let is_read = requests.iter().all(|request| request.op.is_read());
    let executed = range.transact_large(watched, requests).await?.await.map_err(Error::from);
    let mut replies = executed.map_err(|error| if is_read { error.of_read() } else { error })?;
    match replies.outcome() {
        ProposalOutcome::Aborted => return Ok(false),
        ProposalOutcome::Refused(error) => return Err(Error::Refused(error.clone())),
        ProposalOutcome::Executed => {}
    }
    while let Some(executed) = replies.next_reply() {
        reply(reply_of_range(executed, range));
    }
    Ok(true)
}
