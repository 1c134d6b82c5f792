//! The search for what has expired and nobody has asked for since: a bounded look at a shard's buckets at a time.

use crate::{
    bucket::Bucket,
    limits::{EXPIRY_ENDS, EXPIRY_LINES, EXPIRY_MUCH},
    shard::Shard,
    target::Target,
};

/// Where the search stands. It goes round and round, as long as a round comes upon something that will expire.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    is_wanted: bool,
    /// The round under way has come upon something that will expire.
    has_found: bool,
    line: usize,
}

impl Sweep {
    /// Notes that something will expire.
    pub(crate) fn expect(&mut self) {
        self.is_wanted = true;
        self.has_found = true;
    }

    /// Whether there is anything that will expire.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

impl Shard {
    /// Takes one step of the search, and frees a part of what ended buckets held. Returns whether the next step is
    /// worth taking at once.
    pub(crate) fn sweep_expired(&mut self, now: u64) -> bool {
        self.supervisor.sweep(&mut self.memory);
        let ended = if self.sweep.is_wanted { self.end_expired(now) } else { 0 };
        ended >= EXPIRY_MUCH || self.supervisor.is_sweeping()
    }

    /// Ends what has expired in the next lines of the registry. Returns how many buckets and entries that were.
    fn end_expired(&mut self, now: u64) -> usize {
        let mut ended = 0;
        for _ in 0..EXPIRY_LINES {
            if self.sweep.line >= self.registry.lines() {
                self.sweep = Sweep { is_wanted: self.sweep.has_found, has_found: false, line: 0 };
                break;
            }
            for bucket in self.registry.line(self.sweep.line).collect::<Vec<Bucket>>() {
                let Some(expires) = bucket.first_expiry(&self.memory) else { continue };
                self.sweep.has_found = true;
                if expires <= now {
                    ended += self.end_expired_of(bucket, now, EXPIRY_ENDS - ended);
                }
                if ended == EXPIRY_ENDS {
                    return ended;
                }
            }
            self.sweep.line += 1;
        }
        ended
    }

    fn end_expired_of(&mut self, bucket: Bucket, now: u64, limit: usize) -> usize {
        let name = bucket.name(&self.memory).to_vec();
        let hash = self.memory.hash(&name);
        let mut target = Target::new(self, &name, hash, now);
        if target.exists() { target.forget_expired(limit) } else { 1 }
    }
}
