//! The replies to requests.

use crate::{error::CommandError, memory::large::LargeValue};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_bytes::Bytes;
use std::cell::Cell;

/// The reply to one request. It borrows from the store and lives only while the batch is executed.
/// Links carry the variants by position: append new ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// Success without a value.
    Done,
    /// A value.
    Value(#[serde(with = "serde_bytes")] &'a [u8]),
    /// A value that does not come from the store as it is.
    OwnedValue(OwnedValue),
    /// A word of the protocol, such as the name of a type.
    Status(&'a str),
    /// An integer.
    Number(i64),
    /// A list.
    List(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// Alternating keys and values.
    Map(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// Alternating keys and values, sent as pairs if the protocol has pairs.
    PairList(#[serde(borrow, deserialize_with = "items")] Vec<Reply<'a>>),
    /// Too large for one reply; [`Op::Entries`](crate::request::Op::Entries) lists it in pages.
    TooLarge(Projection),
    /// One page of a scan.
    Page {
        /// The items, in no particular order.
        #[serde(borrow, deserialize_with = "items")]
        items: Vec<Reply<'a>>,
        /// The cursor of the next page; 0 after the last one.
        next: u64,
    },
    /// One page of keys.
    Keys {
        /// The keys, in no particular order.
        #[serde(borrow, deserialize_with = "crate::bounded_serde::list")]
        keys: Vec<&'a Bytes>,
        /// The cursor of the next page; 0 after the last one.
        next: u64,
    },
    /// The bucket exists, the key does not.
    NoKey,
    /// The bucket does not exist.
    NoBucket,
    /// The request failed.
    Error(CommandError),
    /// The bucket crashed while it executed this request, and is gone with all its contents.
    Crashed,
    /// The store's supervisor is restarting it; retry in a moment.
    Restarting,
    /// More random fields than one step picks; [`Op::RandomEntries`](crate::request::Op::RandomEntries) picks
    /// them in pages.
    LargeSample,
    /// A bucket with fields.
    Bucket {
        /// How many fields it has.
        fields: u64,
        /// How long it will still live, in milliseconds; `None` without an expiry.
        ttl_ms: Option<u64>,
    },
}

/// A value that does not borrow from the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnedValue {
    /// Its bytes.
    Bytes(#[serde(with = "crate::bounded_serde")] Vec<u8>),
    /// A large one, which shares its bytes.
    Large(Box<LargeValue>),
}

impl From<OwnedValue> for Box<[u8]> {
    fn from(value: OwnedValue) -> Self {
        match value {
            OwnedValue::Bytes(bytes) => bytes.into(),
            OwnedValue::Large(value) => value.to_vec().into(),
        }
    }
}

impl From<LargeValue> for Reply<'_> {
    fn from(value: LargeValue) -> Self {
        Reply::OwnedValue(OwnedValue::Large(value.into()))
    }
}

/// The part of each entry that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// The key.
    Keys,
    /// The value.
    Values,
    /// Key and value, alternating.
    Both,
}

/// The result of a command.
pub type CommandResult<'a> = Result<Reply<'a>, CommandError>;

/// Deserializes the items of a list. Rejects nested lists: no command replies with one, and a peer could nest
/// them until the stack overflows.
fn items<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Reply<'a>>, D::Error> {
    thread_local!(static IN_LIST: Cell<bool> = const { Cell::new(false) });
    if IN_LIST.replace(true) {
        return Err(D::Error::custom("a nested list"));
    }
    let items = crate::bounded_serde::list(deserializer);
    IN_LIST.set(false);
    items
}
