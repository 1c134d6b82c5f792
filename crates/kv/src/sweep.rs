//! How far the search for what has expired has come in a shard.

/// Where the search stands. It goes round and round, as long as a round comes upon something that will expire.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// There is something that will expire.
    pub(crate) is_wanted: bool,
    /// The round under way has come upon something that will expire.
    pub(crate) has_found: bool,
    /// The line of the registry that is looked at next.
    pub(crate) line: usize,
}

impl Sweep {
    /// Notes that something will expire.
    pub(crate) fn expect(&mut self) {
        self.is_wanted = true;
        self.has_found = true;
    }
}
