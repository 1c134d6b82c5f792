//! What a bucket answers.

use crate::CommandError;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_bytes::Bytes;
use std::cell::Cell;

/// The answer to one request. It borrows from the store and lives only while the batch is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// It is done.
    Done,
    /// A value.
    Value(#[serde(with = "serde_bytes")] &'a [u8]),
    /// A value that was made for this answer.
    OwnedValue(#[serde(with = "crate::bounded_serde")] Vec<u8>),
    /// A word that the protocol knows, such as a type's name.
    Status(&'a str),
    /// A number.
    Number(i64),
    /// A list.
    List(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// Keys and values by turns.
    Map(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// Keys and values by turns, listed in pairs where the protocol has them.
    PairList(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// There is too much to be listed at once. [`crate::Op::Entries`] lists it page by page.
    TooLarge(Projection),
    /// One page of a walk, and the cursor of the next page; 0 when this one is the last.
    Page {
        /// What the page lists, in no particular order.
        #[serde(borrow, deserialize_with = "items")]
        items: Vec<Reply<'a>>,
        /// Where the next page starts.
        next: u64,
    },
    /// One page of keys.
    Keys {
        /// Keys, in no particular order.
        #[serde(borrow, deserialize_with = "crate::bounded_serde::list")]
        keys: Vec<&'a Bytes>,
        /// The cursor of the next page; 0 when this one is the last.
        next: u64,
    },
    /// The bucket is there, the key is not.
    NoKey,
    /// There is no such bucket.
    NoBucket,
    /// The request was refused, and changed nothing.
    Error(CommandError),
    /// The bucket crashed while this request was worked on; it is gone, and so is all that it held.
    Crashed,
    /// The store is being restarted by its supervisor; ask again in a moment.
    Restarting,
}

/// What of a map's entries is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// Their keys.
    Keys,
    /// Their values.
    Values,
    /// Keys and values by turns.
    Both,
}

/// What a command comes to.
pub type CommandResult<'a> = Result<Reply<'a>, CommandError>;

/// Reads the items of a list. A list within a list is refused: no bucket answers with one, and what another node sends
/// must not nest them until the stack ends.
fn items<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Reply<'a>>, D::Error> {
    thread_local!(static WITHIN: Cell<bool> = const { Cell::new(false) });
    if WITHIN.replace(true) {
        return Err(D::Error::custom("a list within a list"));
    }
    let items = crate::bounded_serde::list(deserializer);
    WITHIN.set(false);
    items
}
