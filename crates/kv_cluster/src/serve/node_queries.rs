//! Replies to queries to this node as a whole, from peers and from this node itself.

use crate::{
    error::{RangeFailure, RangeFailureKind},
    limits::{FRAME_BYTES, TREE_CHILDREN},
    link::{
        codec::Message,
        node_query::{NodeQuery, NodeReply, RandomName},
        send_queue::{MessageWriter, SendQueue},
    },
    local::{LocalNode, Scope},
};

/// Writes the reply to a peer's query.
pub(crate) fn write_reply(local: &LocalNode, id: u32, query: &NodeQuery<'_>, queue: &mut SendQueue) {
    write(id, reply(local, query), queue);
}

/// Writes a reply, or that it is too large.
pub(crate) fn write(id: u32, reply: NodeReply, queue: &mut SendQueue) {
    let frame = MessageWriter::begin(queue, &Message::NodeReply { id, reply });
    if frame.size() <= FRAME_BYTES {
        frame.finish();
        return;
    }
    frame.rollback();
    MessageWriter::begin(queue, &Message::NodeReply { id, reply: NodeReply::TooLarge }).finish();
}

/// The reply of this node, to any query but those to publish and to flush, and those that take a while.
pub(crate) fn reply(local: &LocalNode, query: &NodeQuery<'_>) -> NodeReply {
    try_reply(local, query).unwrap_or_else(NodeReply::Failed)
}

fn try_reply(local: &LocalNode, query: &NodeQuery<'_>) -> Result<NodeReply, RangeFailure> {
    let now_ms = kv::time::now_ms();
    Ok(match query {
        NodeQuery::Scan { range, cursor, filter } => {
            NodeReply::page(local.scan(local.scope(*range)?, *cursor, filter, now_ms)?)
        }
        NodeQuery::RandomName { range, database, seed } => {
            let scope = local.served_scope(*range)?;
            NodeReply::random_name(RandomName {
                name: local.random_name(scope, *database, *seed, now_ms),
                bucket_count: local.bucket_counts(scope)[database.index()],
            })
        }
        NodeQuery::BucketCounts { range } => {
            NodeReply::Counts(local.bucket_counts(local.served_scope(*range)?).into())
        }
        NodeQuery::Stats { range: None } => NodeReply::Stats(Box::new(local.stats_of(Scope::Own))),
        NodeQuery::Stats { range } => NodeReply::Stats(Box::new(local.stats_of(local.served_scope(*range)?))),
        NodeQuery::Flush { .. } | NodeQuery::Publish { .. } => unreachable!("they go on step by step"),
        NodeQuery::ChangePlacements { .. } | NodeQuery::ChangeNodes { .. } | NodeQuery::HandOver { .. } => {
            unreachable!("they take a while")
        }
        NodeQuery::Placements { epoch } => local.placements_since(*epoch)?,
        NodeQuery::Nodes { epoch } => local.nodes_since(*epoch)?,
        NodeQuery::LearnNodes { table } => match local.learn_nodes(table.clone()) {
            Ok(()) => NodeReply::Done,
            Err(error) => return Err(RangeFailure::new(RangeFailureKind::Invalid, error.to_string())),
        },
        NodeQuery::MayHaveReplicas => local.may_have_replicas(),
        NodeQuery::MissingReplicas { range } => local.missing_replicas(*range)?,
        NodeQuery::Topics { kind, after, pattern } => {
            NodeReply::topics(local.channels.page(*kind, *after, *pattern))
        }
        NodeQuery::SubscriberCounts { channels } => {
            let counts = channels.iter().map(|channel| local.channels.subscriber_count(channel) as u64);
            NodeReply::Counts(counts.collect())
        }
        NodeQuery::Tree { children } => {
            let children = usize::try_from(*children).unwrap_or(usize::MAX).min(TREE_CHILDREN);
            NodeReply::names(local.tree(children).into_iter().collect())
        }
        NodeQuery::Report { since } => NodeReply::names(local.report(*since).into_iter().collect()),
    })
}
