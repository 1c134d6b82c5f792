//! How a node that is none of the cluster learns of it: one whose configuration only names another node, and
//! one that was removed, or has not run while all others were replaced.

use crate::{
    cluster::{Cluster, Settings},
    error::Error,
    local::membership::Membership,
    peer::dialer,
    routing::nodes::ClusterNode,
};

/// Asks the nodes of the configuration to have this one join their cluster. An error says why it may not yet.
pub async fn ask_to_join(settings: &Settings) -> Result<Membership, Error> {
    let (name, me) = (&settings.name, (&settings.name, &settings.cookie));
    let mut problems = Vec::new();
    for (peer, address) in settings.peers.iter().filter(|(peer, _)| peer != name) {
        match dialer::ask(me, peer, address).await {
            Ok(membership) if membership.has(name) => return Ok(membership),
            Ok(_) => {
                let link = settings.link.as_deref().unwrap_or_default();
                let address = ClusterNode::reachable(name.clone(), link).link;
                return Err(Error::NotAdmitted { node: name.shared(), address });
            }
            Err(error) => problems.push(format!("{peer}: {error}")),
        }
    }
    Err(Error::NobodyAsked { problems: problems.join("; ") })
}

impl Cluster {
    /// Asks the other nodes which ones the cluster has, if there is a link to none of them. They may have
    /// removed this one, or have other nodes by now.
    pub(super) async fn ask_if_alone(&self) -> Result<(), Error> {
        let peers: Vec<_> = self.peers.iter().cloned().collect();
        if !self.local.is_in_cluster() || peers.iter().any(|peer| peer.is_up()) {
            return Ok(());
        }
        let me = (&self.local.name, &self.local.cookie);
        for peer in peers {
            let Ok(asked) = dialer::ask(me, peer.name(), &peer.address()).await else { continue };
            if asked.placements.cluster == self.local.replicated.table.borrow().cluster {
                self.follow_nodes(Some(asked.nodes)).await?;
                return self.follow_table(Some(asked.placements)).await;
            }
        }
        Ok(())
    }
}
