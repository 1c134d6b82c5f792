//! What a bucket answers.

use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// The answer to one request. It borrows from the store and lives only while the batch is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// It is done.
    Done,
    /// The value of the key.
    Value(#[serde(with = "serde_bytes")] &'a [u8]),
    /// The bucket is there, the key is not.
    NoKey,
    /// There is no such bucket.
    NoBucket,
    /// One page of keys.
    Keys {
        /// Keys, in no particular order.
        #[serde(borrow)]
        keys: Vec<&'a Bytes>,
        /// The cursor of the next page; 0 when this one is the last.
        next: u64,
    },
    /// The bucket crashed while this request was worked on; it is gone, and so is all that it held.
    Crashed,
    /// There is no memory left for it; nothing was changed.
    OutOfMemory,
    /// The store is being restarted by its supervisor; ask again in a moment.
    Restarting,
}
