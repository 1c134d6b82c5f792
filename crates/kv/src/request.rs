//! What can be asked of a bucket, as plain values that borrow their bytes from the read buffer.

use serde::{Deserialize, Serialize};

/// One operation on one bucket. Names, keys and values are bytes, never text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// The name of the bucket; its owner is found by it.
    #[serde(with = "serde_bytes")]
    pub bucket: &'a [u8],
    /// What is to be done there.
    pub op: Op<'a>,
}

/// The operations of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op<'a> {
    /// Starts the bucket; an existing one keeps its contents.
    Create,
    /// Sets `key` to `value`.
    Put {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Reads the value of `key`.
    Get {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Forgets `key`, whether or not it is there.
    Delete {
        /// The key.
        #[serde(with = "serde_bytes")]
        key: &'a [u8],
    },
    /// Ends the bucket and all that it holds.
    Drop,
    /// Lists one bounded page of keys, from `cursor` on (0: from the start).
    Keys {
        /// The `next` of the page before.
        cursor: u64,
    },
    /// Panics while the bucket is worked on: a drill for the supervision that ends that bucket alone.
    Crash,
}

impl Op<'_> {
    /// Whether the operation leaves the bucket as it was, so that an unknown outcome does no harm.
    pub fn is_read(&self) -> bool {
        match self {
            Op::Get { .. } | Op::Keys { .. } => true,
            Op::Create | Op::Put { .. } | Op::Delete { .. } | Op::Drop | Op::Crash => false,
        }
    }
}
