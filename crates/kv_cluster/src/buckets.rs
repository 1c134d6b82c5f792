//! The names of the buckets of all nodes, page by page.

use crate::{error::Error, local::Local, peer::Peer};
use std::sync::Arc;

/// A listing under way: first this node's buckets, then those of each peer.
#[derive(Debug)]
pub struct Buckets {
    local: Arc<Local>,
    peers: Arc<[Arc<Peer>]>,
    /// How many nodes have been listed to their end; the first is this one.
    listed: usize,
    cursor: u64,
}

impl Buckets {
    pub(crate) fn new(local: Arc<Local>, peers: Arc<[Arc<Peer>]>) -> Buckets {
        Buckets { local, peers, listed: 0, cursor: 0 }
    }

    /// The next page of names, in no particular order; `None` after the last. An error names a node that could not be
    /// asked, and the listing goes on with the one after it.
    pub async fn next(&mut self) -> Option<Result<Vec<Box<[u8]>>, Error>> {
        let page = match self.listed.checked_sub(1) {
            None => Ok(self.local.store.buckets(self.cursor, &kv::Wanted::default(), kv::now())),
            Some(peer) => self.peers.get(peer)?.list(self.cursor).await,
        };
        self.cursor = page.as_ref().map_or(0, |page| page.next);
        if self.cursor == 0 {
            self.listed += 1;
        }
        Some(page.map(|page| page.names))
    }
}
