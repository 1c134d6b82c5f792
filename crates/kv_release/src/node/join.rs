//! A node without routes: before it is brought up, it learns those of its cluster, and waits until it is one
//! of its nodes.

use super::{
    boot::{cluster_settings, start_error},
    signals::{SignalEvent, Signals},
};
use crate::{
    config::Settings,
    error::Error,
    limits::{JOIN_PAUSE, REJOIN_WAIT},
};
use kv_cluster::{Membership, ask_to_join};
use tokio::time::{sleep, timeout};

/// What the node knows of its cluster once it is one of its nodes; `None` if a signal ends it before that.
pub(super) async fn join(
    release: &str,
    settings: &Settings,
    signals: &mut Signals,
) -> Result<Option<Membership>, Error> {
    let asking = cluster_settings(settings);
    let saved = Membership::load(settings.node.data_dir.as_deref()).map_err(start_error)?;
    if saved.has_joined() {
        // Others may have newer routes. It starts without them, too.
        let asked = timeout(REJOIN_WAIT, ask_to_join(&asking)).await;
        return Ok(Some(match asked {
            Ok(Ok(asked)) => saved.updated(asked),
            Ok(Err(_)) | Err(_) => saved,
        }));
    }
    let join = async {
        let mut last = String::new();
        loop {
            let error = match ask_to_join(&asking).await {
                Ok(joined) => return joined,
                Err(error) => error,
            };
            let problem = match error {
                kv_cluster::Error::NotAdmitted { node, address } => format!(
                    "the cluster does not have this node yet: type {release} rpc \"add-node {node} {address}\" at \
                     one of its nodes"
                ),
                error => error.to_string(),
            };
            if problem != last {
                tracing::warn!("{problem}; trying again");
            }
            last = problem;
            sleep(JOIN_PAUSE).await;
        }
    };
    let ended =
        async { while !matches!(signals.next().await, SignalEvent::Terminate | SignalEvent::Interrupt) {} };
    tokio::select! {
        joined = join => {
            tracing::info!("this node is one of the cluster");
            Ok(Some(joined))
        }
        () = ended => Ok(None),
    }
}
