//! Owned bytes and text, read from what another node has sent: they take memory once all their bytes are known to be
//! there, not at the word of a length.

use serde::{Deserialize, Deserializer};

pub(crate) use serde_bytes::serialize;

/// Reads bytes.
pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<&'de [u8]>,
{
    serde_bytes::deserialize::<&[u8], _>(deserializer).map(T::from)
}

/// Reads text.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    <&str>::deserialize(deserializer).map(str::to_owned)
}
