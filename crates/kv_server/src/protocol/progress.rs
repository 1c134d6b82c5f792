//! What a conversation in any language tells its connection.

/// How a conversation goes on after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There may be more whole requests.
    More,
    /// More input is needed.
    Starved,
    /// The conversation is over.
    Close,
}
