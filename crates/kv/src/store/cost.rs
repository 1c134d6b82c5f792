//! An upper bound of what a transaction touches and returns, added up command by command before it begins.
//!
//! What a command makes larger counts for those after it. Estimating a command costs no more than it adds to
//! the bound, and ends at the limit.

use crate::{
    args::{Args, SCAN_COUNT},
    commands::{hash_scan::RandomFields, spec::Cost, string_range},
    database::FullName,
    error::CommandError,
    limits::{LONGEST_NUMBER, NAME_BYTES, PAGE_BYTES, PAGE_NAMES, RANDOM_ENTRIES, SCAN_ENTRIES},
    memory::{
        entry::{Entry, Value},
        large::LargeValue,
    },
    reply::Projection,
    request::{Op, Request},
    shard::bucket_ref::BucketRef,
};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// What one transaction may touch and return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Commands, keys and fields.
    pub entries: usize,
    /// Bytes of arguments, of what is copied, and of replies.
    pub bytes: usize,
}

impl Default for TransactionLimits {
    fn default() -> TransactionLimits {
        TransactionLimits { entries: 20_000, bytes: 16 * 1024 * 1024 }
    }
}

/// What the requests of a transaction touch and return so far.
pub(super) struct TransactionCost<'b> {
    limits: TransactionLimits,
    /// Bytes of arguments that are copied already.
    prepared: usize,
    entries: usize,
    bytes: usize,
    /// What earlier requests have added to a bucket.
    growth: HashMap<FullName<'b>, Growth, RandomState>,
}

/// What a bucket may have gained.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    /// The length of its string, if it was written.
    string: Option<usize>,
    fields: usize,
    /// Bytes of all new fields and values.
    bytes: usize,
    /// Bytes of the longest new value.
    longest: usize,
}

impl<'b> TransactionCost<'b> {
    pub(super) fn new(limits: TransactionLimits, prepared: usize) -> TransactionCost<'b> {
        TransactionCost { limits, prepared, entries: 0, bytes: 0, growth: HashMap::default() }
    }

    /// Adds a request on this bucket, the first that it names. Fails when the sum exceeds the limits.
    pub(super) fn add(&mut self, request: &Request<'b>, bucket: BucketRef<'_>) -> Result<(), CommandError> {
        let (cost, args, is_read) = match request.op {
            Op::Command { command, args } => (command.spec.cost, args, command.is_read()),
            Op::Keys { .. } | Op::Entries { .. } | Op::RandomEntries { .. } | Op::MemoryUsage { .. } => {
                (Cost::Listing, Args::NONE, true)
            }
            Op::Load { contents, .. } => (Cost::Arguments, contents, false),
            _ => (Cost::Arguments, Args::NONE, request.op.is_read()),
        };
        let size = match request.op {
            Op::Put { key, value } => key.len() + value.len(),
            _ => args.bulks().len() - self.prepared,
        };
        self.touch(1, size)?;
        let count = args.take(self.limits.entries).count();
        self.touch(count, 0)?;
        let growth = self.growth.get(&request.full_name()).copied().unwrap_or_default();
        let mut gained =
            Growth { string: None, fields: count, bytes: size, longest: size.max(LONGEST_NUMBER) };
        match cost {
            Cost::Arguments => {}
            // SET returns the string only if an option says so.
            Cost::String if count == 1 && !is_read => {}
            Cost::String => self.touch(0, string_len(bucket, growth))?,
            Cost::Range => {
                let range = string_range::parse_range(args, string_len(bucket, growth));
                self.touch(0, range.map_or(0, |range| range.len()))?;
            }
            Cost::Append | Cost::SetRange => {
                let before = string_len(bucket, growth);
                let offset = if cost == Cost::Append { before } else { offset(args) };
                let after = before.max(offset.saturating_add(size));
                // It may move once as a whole; then it grows by doubling.
                let moved = if growth.string.is_none() && after > before { before } else { 0 };
                self.touch(0, moved.saturating_add(2 * (after - before)))?;
                gained.string = Some(after);
            }
            Cost::Fields => {
                for field in args {
                    let value = bucket.field(field).ok().flatten().map_or(0, |entry| entry.value.len());
                    self.touch(0, value.max(growth.longest))?;
                }
            }
            Cost::Listing => self.add_listing(bucket, args, growth)?,
            Cost::Sample => {
                let fields = bucket.len().unwrap_or(0) + growth.fields;
                let is_of_values = RandomFields::parse(args)
                    .is_ok_and(|RandomFields { projection, .. }| projection != Projection::Keys);
                let large = if is_of_values { bucket.memory.arena.large_bytes() } else { NAME_BYTES };
                let longest = large + growth.longest;
                self.touch(fields.min(RANDOM_ENTRIES), PAGE_BYTES.min(fields * PAGE_BYTES) + longest)?;
            }
            Cost::Copy | Cost::Rename => {
                let copied = self.add_copy(bucket, growth)?;
                if let Some(target) = request.full_names().nth(1) {
                    self.grow(target, copied);
                }
                return Ok(());
            }
        }
        if !is_read {
            gained.string = gained.string.or(Some(string_len(bucket, growth).max(size)));
            request.full_names().for_each(|name| self.grow(name, gained));
        }
        Ok(())
    }

    /// Adds one page of entries; the arguments are those of HSCAN, if there are any.
    fn add_listing(
        &mut self,
        bucket: BucketRef<'_>,
        mut args: Args<'_>,
        growth: Growth,
    ) -> Result<(), CommandError> {
        let (mut cursor, mut wanted) = (0, PAGE_NAMES);
        if !args.is_empty() {
            cursor = args.cursor().unwrap_or(0);
            wanted = SCAN_COUNT;
            while let Some(word) = args.next() {
                if word.eq_ignore_ascii_case(b"count") {
                    wanted = args.scan_count().unwrap_or(SCAN_COUNT).min(SCAN_ENTRIES);
                }
            }
        }
        let (entries, _) = bucket.entries_up_to(cursor, wanted).unwrap_or_default();
        let bytes: usize = entries.iter().map(Entry::size).sum();
        self.touch(entries.len() + growth.fields.min(SCAN_ENTRIES), bytes + growth.bytes)
    }

    /// Adds a copy of a bucket, and returns what its copy has.
    fn add_copy(&mut self, bucket: BucketRef<'_>, growth: Growth) -> Result<Growth, CommandError> {
        let string = string_len(bucket, growth);
        let mut copied = Growth { string: Some(string), ..growth };
        // A large value is shared, not copied.
        let touched = if LargeValue::holds(string) { 0 } else { string };
        self.touch(growth.fields, growth.bytes.saturating_add(touched))?;
        let fields = bucket.len().unwrap_or(0);
        if fields > self.limits.entries - self.entries {
            return Err(self.exceeded());
        }
        let mut cursor = 0;
        loop {
            let (entries, next) = bucket.entries(cursor).unwrap_or_default();
            let bytes = entries.iter().map(Entry::size).sum();
            self.touch(entries.len(), bytes)?;
            copied.fields += entries.len();
            copied.bytes += bytes;
            let longest = entries.iter().map(|entry| entry.value.len()).max().unwrap_or(0);
            copied.longest = copied.longest.max(longest);
            if next == 0 {
                return Ok(copied);
            }
            cursor = next;
        }
    }

    fn touch(&mut self, entries: usize, bytes: usize) -> Result<(), CommandError> {
        self.entries += entries;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > self.limits.entries || self.bytes > self.limits.bytes {
            return Err(self.exceeded());
        }
        Ok(())
    }

    fn exceeded(&self) -> CommandError {
        let TransactionLimits { entries, bytes } = self.limits;
        CommandError::TransactionTooLarge { entries: entries as u64, bytes: bytes as u64 }
    }

    fn grow(&mut self, bucket: FullName<'b>, gained: Growth) {
        let growth = self.growth.entry(bucket).or_default();
        growth.string = growth.string.max(gained.string);
        growth.fields += gained.fields;
        growth.bytes = growth.bytes.saturating_add(gained.bytes);
        growth.longest = growth.longest.max(gained.longest);
    }
}

fn string_len(bucket: BucketRef<'_>, growth: Growth) -> usize {
    let stored = bucket.string().unwrap_or(None).map_or(0, Value::len);
    stored.max(growth.string.unwrap_or(0))
}

/// The offset of SETRANGE; 0 if it is invalid.
fn offset(mut args: Args<'_>) -> usize {
    args.integer().ok().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
