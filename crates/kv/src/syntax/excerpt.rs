//! What an error or a log line quotes of a name: its start, since a name can be as large as a request.

use crate::limits::QUOTED_BYTES;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// The start of a word that a client has sent, in an error. The bytes are kept as they are; shown as text,
/// those that are none are marked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt(#[serde(with = "crate::bounded_serde")] Box<[u8]>);

impl Excerpt {
    /// The start of a word.
    pub fn new(word: &[u8]) -> Excerpt {
        Excerpt(excerpt(word).into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&excerpt_text(&self.0))
    }
}

/// The start of a name: whole characters, if it begins with text.
pub fn excerpt(name: &[u8]) -> &[u8] {
    let Some(start) = name.get(..QUOTED_BYTES) else { return name };
    if start.len() == name.len() {
        return name;
    }
    match std::str::from_utf8(start) {
        // The last character is cut.
        Err(error) if error.error_len().is_none() => &start[..error.valid_up_to()],
        _ => start,
    }
}

/// The start of a name as text, with a mark in place of each byte that is none.
pub fn excerpt_text(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(excerpt(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_whole_and_long_ones_end_after_a_character() {
        let bytes = [0xff; QUOTED_BYTES + 1];
        assert_eq!(excerpt(&bytes[..QUOTED_BYTES]), &bytes[..QUOTED_BYTES]);
        assert_eq!(excerpt(&bytes), &bytes[..QUOTED_BYTES]);
        let text = format!("a{}", "ü".repeat(QUOTED_BYTES));
        assert_eq!(excerpt_text(text.as_bytes()), text[..QUOTED_BYTES - 1]);
        assert_eq!(excerpt(b"milk"), b"milk");
    }
}
