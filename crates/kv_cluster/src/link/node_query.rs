//! Queries to a node as a whole, such as its number of buckets, and the replies to them.

use crate::{
    error::RangeFailure,
    limits::{NODES_VERSION, OLDEST_LINK_VERSION},
    node_name::NodeName,
    routing::{
        nodes::{NodeChange, NodeTable},
        placement::{PlacementTable, TableChange},
    },
};
use kv::{Database, NamePage, ScanFilter, StoreStats, TopicKind, TopicPage};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// A query to a node. Those with a `range` are about the buckets of the range with replicas that begins with
/// this name, and the leader replies; without it, about all that the node owns alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeQuery<'a> {
    /// One page of bucket names.
    Scan {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
        cursor: u64,
        #[serde(borrow)]
        filter: ScanFilter<'a>,
    },
    /// The name of a bucket chosen by `seed`, and the number of buckets it was chosen from.
    RandomName {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
        database: Database,
        seed: u64,
    },
    /// The number of buckets of each database.
    BucketCounts {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
    },
    /// How much it is.
    Stats {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
    },
    /// Ends all buckets of a database, or of all of them.
    Flush {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
        database: Option<Database>,
    },
    /// Publishes a message to the node's own subscribers. The reply is the number of receivers.
    Publish {
        #[serde(with = "serde_bytes")]
        channel: &'a [u8],
        #[serde(with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// One page of the channels or patterns that have subscribers: of those after `after`, the ones that
    /// match a pattern.
    Topics {
        kind: TopicKind,
        #[serde(borrow, with = "serde_bytes")]
        after: Option<&'a [u8]>,
        #[serde(borrow, with = "serde_bytes")]
        pattern: Option<&'a [u8]>,
    },
    /// The number of subscribers of each channel.
    SubscriberCounts {
        #[serde(borrow)]
        channels: Vec<&'a Bytes>,
    },
    /// The supervision tree as text, with up to this number of passive children of each child.
    Tree { children: u64 },
    /// The table of the meta group, of which the node is to be the leader, if it is newer than this epoch.
    Placements { epoch: u64 },
    /// Changes that table. The node is to be the leader of the meta group.
    ChangePlacements { change: TableChange },
    /// Has another node lead the range with replicas that begins with this name, or the meta group. The node
    /// is to lead it now.
    HandOver {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
        to: NodeName,
    },
    /// Whether the node can have replicas.
    MayHaveReplicas,
    /// The nodes that are to have a replica of the range that begins with this name, or of the meta group,
    /// and have none that counts for a majority yet. The node is to lead it now.
    MissingReplicas {
        #[serde(borrow, with = "serde_bytes")]
        range: Option<&'a [u8]>,
    },
    /// The nodes of the cluster, as the leader of the meta group has them, if that is newer than this epoch.
    Nodes { epoch: u64 },
    /// Adds a node, or removes one. The node is to be the leader of the meta group.
    ChangeNodes { change: NodeChange },
    /// Notifies a node of those that the cluster has. If it is none of them any more, nobody links with it to
    /// say so later.
    LearnNodes { table: NodeTable },
    /// What the node shows of itself, as text, with its samples after this Unix time in seconds.
    Report { since: u64 },
}

impl NodeQuery<'_> {
    /// The range with replicas that it is about, if it reads one.
    pub(crate) fn range_to_read(&self) -> Option<&[u8]> {
        match self {
            NodeQuery::Scan { range, .. }
            | NodeQuery::RandomName { range, .. }
            | NodeQuery::BucketCounts { range }
            | NodeQuery::Stats { range } => *range,
            _ => None,
        }
    }

    /// The first version of the link protocol that has it.
    pub(crate) fn version(&self) -> u8 {
        match self {
            NodeQuery::Nodes { .. }
            | NodeQuery::ChangeNodes { .. }
            | NodeQuery::LearnNodes { .. }
            | NodeQuery::Report { .. } => NODES_VERSION,
            _ => OLDEST_LINK_VERSION,
        }
    }

    /// Whether it changes nothing, so that a lost reply does no harm.
    pub(crate) fn is_read(&self) -> bool {
        !matches!(
            self,
            NodeQuery::Flush { .. }
                | NodeQuery::Publish { .. }
                | NodeQuery::ChangePlacements { .. }
                | NodeQuery::HandOver { .. }
                | NodeQuery::ChangeNodes { .. }
        )
    }
}

/// The reply to a node query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeReply {
    Done,
    /// A page, a random name or a plain list; the three share this shape on the wire, and the query decides
    /// which it is. [`NodeReply::page`], [`NodeReply::random_name`] or [`NodeReply::names`] makes it, and
    /// the `into_` function of the same name reads it.
    Names {
        #[serde(with = "name_list")]
        names: Vec<Box<[u8]>>,
        cursor_or_count: u64,
    },
    Counts(Vec<u64>),
    Stats(Box<StoreStats>),
    /// The reply exceeds the link limit.
    TooLarge,
    /// One page of channels or patterns, in order, and the name after which the next one begins.
    Topics {
        #[serde(with = "name_list")]
        names: Vec<Box<[u8]>>,
        #[serde(with = "serde_bytes")]
        next: Option<Box<[u8]>>,
    },
    /// A durable range has not answered.
    Failed(RangeFailure),
    /// The table of the meta group.
    Placements(PlacementTable),
    /// The nodes of the cluster.
    Nodes(NodeTable),
}

/// A bucket's name, and the number of buckets it was chosen from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RandomName {
    /// `None` if there is no bucket.
    pub(crate) name: Option<Box<[u8]>>,
    pub(crate) bucket_count: u64,
}

impl NodeReply {
    /// The reply to [`NodeQuery::Scan`].
    pub(crate) fn page(NamePage { names, next }: NamePage) -> NodeReply {
        NodeReply::Names { names, cursor_or_count: next }
    }

    /// The reply to [`NodeQuery::RandomName`].
    pub(crate) fn random_name(RandomName { name, bucket_count }: RandomName) -> NodeReply {
        NodeReply::Names { names: name.into_iter().collect(), cursor_or_count: bucket_count }
    }

    /// The reply to [`NodeQuery::Tree`] or [`NodeQuery::Report`], of one item or none.
    pub(crate) fn names(names: Vec<Box<[u8]>>) -> NodeReply {
        NodeReply::Names { names, cursor_or_count: 0 }
    }

    /// Reads the reply to [`NodeQuery::Scan`].
    pub(crate) fn into_page(self) -> Option<NamePage> {
        match self {
            NodeReply::Names { names, cursor_or_count: next } => Some(NamePage { names, next }),
            _ => None,
        }
    }

    /// Reads the reply to [`NodeQuery::RandomName`].
    pub(crate) fn into_random_name(self) -> Option<RandomName> {
        match self {
            NodeReply::Names { names, cursor_or_count: bucket_count } => {
                Some(RandomName { name: names.into_iter().next(), bucket_count })
            }
            _ => None,
        }
    }

    /// The reply to [`NodeQuery::Topics`].
    pub(crate) fn topics(TopicPage { names, next }: TopicPage) -> NodeReply {
        NodeReply::Topics { names, next }
    }

    /// Reads the reply to [`NodeQuery::Topics`].
    pub(crate) fn into_topics(self) -> Option<TopicPage> {
        if let NodeReply::Topics { names, next } = self { Some(TopicPage { names, next }) } else { None }
    }

    /// Reads the reply to [`NodeQuery::Tree`], [`NodeQuery::Report`] or [`NodeQuery::MissingReplicas`].
    pub(crate) fn into_names(self) -> Option<Vec<Box<[u8]>>> {
        if let NodeReply::Names { names, .. } = self { Some(names) } else { None }
    }

    /// Reads the reply to [`NodeQuery::Placements`].
    pub(crate) fn into_placements(self) -> Option<Option<PlacementTable>> {
        match self {
            NodeReply::Done => Some(None),
            NodeReply::Placements(table) => Some(Some(table)),
            _ => None,
        }
    }

    /// Reads the reply to [`NodeQuery::Nodes`].
    pub(crate) fn into_nodes(self) -> Option<Option<NodeTable>> {
        match self {
            NodeReply::Done => Some(None),
            NodeReply::Nodes(table) => Some(Some(table)),
            _ => None,
        }
    }

    /// Reads `len` counts.
    pub(crate) fn into_counts(self, len: usize) -> Option<Vec<u64>> {
        if let NodeReply::Counts(counts) = self {
            Some(counts).filter(|counts| counts.len() == len)
        } else {
            None
        }
    }

    /// Reads the reply to [`NodeQuery::Stats`].
    pub(crate) fn into_stats(self) -> Option<StoreStats> {
        if let NodeReply::Stats(stats) = self { Some(*stats) } else { None }
    }
}

/// Names as byte strings rather than lists of numbers.
mod name_list {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    pub(super) fn serialize<S: Serializer>(names: &[Box<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(|name| Bytes::new(name)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Box<[u8]>>, D::Error> {
        let names = Vec::<ByteBuf>::deserialize(deserializer)?;
        Ok(names.into_iter().map(|name| name.into_vec().into()).collect())
    }
}
