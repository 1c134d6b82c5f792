//! Transactions: several requests as one step, on the one node that owns all their buckets.

use crate::{
    cluster::Cluster,
    error::Error,
    forward::{Owner, reply_of},
    link::codec::TransactionResult,
    peer::Peer,
};
use kv::{Reply, Request};

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

    /// Executes all requests as one step, unless one of the watched buckets has changed since
    /// [`kv::Op::Watch`] returned its version. Returns `false` if one has; then nothing was done. Otherwise
    /// `reply` has been passed the reply to each request, or why that could not cross the link.
    pub async fn transact(
        &self,
        watched: &[(&[u8], u64)],
        requests: &[Request<'_>],
        mut reply: impl FnMut(Result<Reply<'_>, Error>),
    ) -> Result<bool, Error> {
        let names = watched.iter().map(|(name, _)| *name).chain(requests.iter().flat_map(Request::names));
        let peer = match self.single_owner(names)? {
            Owner::Remote(peer) => peer,
            Owner::Local(_) | Owner::Refused(_) => {
                let now_ms = kv::time::now_ms();
                return Ok(self.local.transact(watched, requests, now_ms, |local| reply(Ok(local))));
            }
        };
        let (result, mut replies) = peer.transact(watched, requests).await?;
        match result {
            TransactionResult::Aborted => return Ok(false),
            TransactionResult::NotOwner => return Err(Error::NotOwner { node: peer.name().shared() }),
            TransactionResult::Executed => {}
        }
        while let Some(forwarded) = replies.next() {
            reply(reply_of(forwarded, peer));
        }
        Ok(true)
    }
}
