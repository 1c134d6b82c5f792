//! A value of a bucket, apart from it.

use crate::{memory::large::LargeValue, reply::Reply};

/// A value that does not borrow from the store.
#[derive(Debug)]
pub(crate) enum OwnedValue {
    Bytes(Vec<u8>),
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

impl From<OwnedValue> for Reply<'_> {
    fn from(value: OwnedValue) -> Self {
        match value {
            OwnedValue::Bytes(bytes) => Reply::OwnedValue(bytes),
            OwnedValue::Large(value) => Reply::Large(value),
        }
    }
}
