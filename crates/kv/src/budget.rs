//! How much memory the buckets of a node may take (Redis's `maxmemory`), and how much they take.
//!
//! Each shard counts for itself, under its lock; what a batch has changed is accounted for here once, at its
//! end.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of all shards together, and their limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Self {
        Budget { limit: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0) }
    }
}

impl Budget {
    /// The limit, if there is one.
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != usize::MAX)
    }

    /// Sets the limit, or removes it.
    pub(crate) fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    /// Whether all shards hold more than they may, when one of them holds `held` bytes and has accounted for
    /// `accounted`.
    pub(crate) fn is_exceeded(&self, held: usize, accounted: usize) -> bool {
        self.used.load(Relaxed).wrapping_add(held).wrapping_sub(accounted) > self.limit.load(Relaxed)
    }

    /// Accounts for a shard that holds `held` bytes, `accounted` of which are accounted for.
    pub(crate) fn account(&self, held: usize, accounted: &mut usize) {
        if held != *accounted {
            self.used.fetch_add(held.wrapping_sub(*accounted), Relaxed);
            *accounted = held;
        }
    }
}

/// Parses a size in bytes: a number, and optionally a unit as in Redis (`k` is 1000, `kb` 1024; likewise `m`,
/// `mb`, `g`, `gb`), in any case.
pub fn parse_byte_size(size: &str) -> Option<usize> {
    let length = size.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = size.split_at(length);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        let cases =
            [("0", 0), ("1b", 1), ("2k", 2_000), ("2KB", 2_048), ("512mb", 512 << 20), ("1Gb", 1 << 30)];
        for (size, bytes) in cases {
            assert_eq!(parse_byte_size(size), Some(bytes), "{size}");
        }
        for size in ["", "mb", "1 mb", "-1", "1.5gb", "1tb", "99999999999999999999", "18446744073709551615k"]
        {
            assert_eq!(parse_byte_size(size), None, "{size}");
        }
    }

    #[test]
    fn what_a_shard_has_not_noted_yet_counts() {
        let (budget, mut one, mut other) = (Budget::default(), 0, 0);
        assert!(!budget.is_exceeded(usize::MAX / 2, 0));
        budget.set_limit(Some(100));
        budget.account(60, &mut one);
        budget.account(40, &mut other);
        assert!(!budget.is_exceeded(40, other));
        assert!(budget.is_exceeded(41, other));
        assert!(!budget.is_exceeded(59, one));
    }
}
