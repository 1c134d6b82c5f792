//! Several requests as one step. It happens on one node, which owns all buckets that are named.

use crate::{
    cluster::Cluster,
    error::Error,
    forward::Owner,
    limits::MESSAGE_BYTES,
    link::codec::{Answer, Verdict},
    peer::Peer,
};
use kv::{Reply, Request};

impl Cluster {
    /// The one node that owns all the buckets of these names; this node, if there are none.
    pub fn single_owner<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>) -> Result<Owner<'_>, Error> {
        let mut home: Option<Option<&Peer>> = None;
        for name in names {
            let owner = match self.owner(name) {
                Owner::Local(_) => None,
                Owner::Remote(peer) => Some(peer),
                Owner::Unrouted => return Err(Error::no_route(name)),
            };
            let first = *home.get_or_insert(owner);
            if first.map(Peer::name) != owner.map(Peer::name) {
                let node = |owner: Option<&Peer>| owner.map_or(self.node_name(), Peer::name).shared();
                return Err(Error::SeveralNodes { one: node(first), other: node(owner) });
            }
        }
        Ok(home.flatten().map_or(Owner::Local(self.local()), Owner::Remote))
    }

    /// Executes all requests as one step that nothing else comes between, unless one of the watched buckets has changed
    /// since [`kv::Op::Watch`] gave its number. `false`: one has, and nothing was done. Otherwise `reply` has taken the
    /// answer to each request, or why it could not be brought here.
    pub async fn transact(
        &self,
        watched: &[(&[u8], u64)],
        requests: &[Request<'_>],
        mut reply: impl FnMut(Result<Reply<'_>, Error>),
    ) -> Result<bool, Error> {
        let names = watched.iter().map(|(name, _)| *name).chain(requests.iter().flat_map(Request::names));
        let peer = match self.single_owner(names)? {
            Owner::Remote(peer) => peer,
            Owner::Local(_) | Owner::Unrouted => {
                let now_ms = kv::time::now_ms();
                return Ok(self.local.transact(watched, requests, now_ms, |answer| reply(Ok(answer))));
            }
        };
        let node = || peer.name().shared();
        let (verdict, mut replies) = peer.transact(watched, requests).await?;
        match verdict {
            Verdict::Aborted => return Ok(false),
            Verdict::NotOwner => return Err(Error::NotOwner { node: node() }),
            Verdict::Done => {}
        }
        while let Some(answer) = replies.next() {
            reply(match answer {
                Answer::Reply(answer) => Ok(answer),
                Answer::NotOwner => Err(Error::NotOwner { node: node() }),
                Answer::TooLarge => Err(Error::ReplyTooLarge { node: node(), limit: MESSAGE_BYTES }),
            });
        }
        Ok(true)
    }
}
