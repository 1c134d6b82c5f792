//! What can be asked of a node as a whole, and what it says.

use crate::local::LocalNode;
use kv::{NamePage, ScanFilter, StoreStats};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// A question to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question<'a> {
    /// One page of the names of its buckets.
    Names {
        cursor: u64,
        #[serde(borrow)]
        wanted: ScanFilter<'a>,
    },
    /// The name of some bucket, and how many buckets there are.
    Random { seed: u64 },
    /// How many buckets it has.
    Count,
    /// How much it holds.
    Stats,
    /// That it ends all its buckets.
    Flush,
    /// That it tells its listeners; how many heard it.
    Publish {
        #[serde(with = "serde_bytes")]
        channel: &'a [u8],
        #[serde(with = "serde_bytes")]
        payload: &'a [u8],
    },
    /// The channels that its listeners listen to.
    Channels {
        #[serde(borrow, with = "serde_bytes")]
        pattern: Option<&'a [u8]>,
    },
    /// How many listen to each of these channels.
    Listeners {
        #[serde(borrow)]
        channels: Vec<&'a Bytes>,
    },
    /// The patterns that its listeners listen to.
    Patterns,
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It is done.
    Done,
    /// Names, and a number that goes with them.
    Names {
        #[serde(with = "names")]
        names: Vec<Box<[u8]>>,
        number: u64,
    },
    Numbers(Vec<u64>),
    Stats(StoreStats),
    /// It would say more than a link carries.
    TooLarge,
}

impl Question<'_> {
    /// Whether it leaves the node as it was, so that nobody minds when the answer is lost.
    pub(crate) fn is_read(&self) -> bool {
        !matches!(self, Question::Flush | Question::Publish { .. })
    }
}

/// What this node says.
pub(crate) fn answer(local: &LocalNode, question: &Question<'_>) -> Told {
    let names = |names| Told::Names { names, number: 0 };
    match question {
        Question::Names { cursor, wanted } => {
            let NamePage { names, next } = local.scan(*cursor, wanted, kv::time::now_ms());
            Told::Names { names, number: next }
        }
        Question::Random { seed } => Told::Names {
            names: local.random_name(*seed, kv::time::now_ms()).into_iter().collect(),
            number: local.bucket_count(),
        },
        Question::Count => Told::Numbers(vec![local.bucket_count()]),
        Question::Stats => Told::Stats(local.stats()),
        Question::Flush => {
            local.flush();
            Told::Done
        }
        Question::Publish { channel, payload } => {
            Told::Numbers(vec![local.channels.publish(channel, payload) as u64])
        }
        Question::Channels { pattern } => names(local.channels.names(*pattern)),
        Question::Listeners { channels } => {
            Told::Numbers(channels.iter().map(|channel| local.channels.listeners(channel) as u64).collect())
        }
        Question::Patterns => names(local.channels.patterns()),
    }
}

/// Names as bytes, not as lists of numbers.
mod names {
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
