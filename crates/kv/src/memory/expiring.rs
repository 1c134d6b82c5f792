//! How many buckets of a shard will expire, and when on average.

/// Kept up to date with every change of a bucket's block.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// Buckets with an expiry of their own.
    pub(crate) buckets: usize,
    /// The sum of these expiries, in milliseconds since 1970.
    pub(crate) sum_ms: u128,
    /// Maps with inline entries of which at least one expires. Those with a table are in the expiry index.
    pub(crate) inline_maps: usize,
}

impl Expiring {
    /// The expiry of a bucket was `before`, and is `after`.
    #[inline]
    pub(crate) fn replace(&mut self, before: Option<u64>, after: Option<u64>) {
        if let Some(before) = before {
            self.buckets -= 1;
            self.sum_ms -= u128::from(before);
        }
        if let Some(after) = after {
            self.buckets += 1;
            self.sum_ms += u128::from(after);
        }
    }

    /// A map had inline entries that expire, or not, and now `has` some, or not.
    pub(crate) fn replace_inline(&mut self, had: bool, has: bool) {
        self.inline_maps = self.inline_maps + usize::from(has) - usize::from(had);
    }
}
