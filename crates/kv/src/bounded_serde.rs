//! Deserializes owned bytes, text and lists from a peer, and allocates only for bytes that have arrived,
//! never for an announced length.

use crate::limits::LISTED_ITEMS;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

pub(crate) use serde_bytes::serialize;

/// Deserializes bytes.
pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<&'de [u8]>,
{
    serde_bytes::deserialize::<&[u8], _>(deserializer).map(T::from)
}

/// Deserializes text.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    <&str>::deserialize(deserializer).map(str::to_owned)
}

/// Deserializes a list of up to [`LISTED_ITEMS`] items, because an item may take many times the memory of its
/// encoding.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {LISTED_ITEMS} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Vec<T>, A::Error> {
        match items.size_hint() {
            Some(..=LISTED_ITEMS) => Vec::deserialize(SeqAccessDeserializer::new(items)),
            len => Err(A::Error::invalid_length(len.unwrap_or(usize::MAX), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, SeqDeserializer};
    use std::iter::repeat_n;

    #[test]
    fn a_list_is_bounded() {
        let read = |len| list::<_, u8>(SeqDeserializer::<_, Error>::new(repeat_n(7_u8, len)));
        assert_eq!(read(3), Ok(vec![7; 3]));
        assert!(read(LISTED_ITEMS + 1).is_err());
    }
}
