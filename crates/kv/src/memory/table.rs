//! A hash table of handles that grows one line at a time (linear hashing: Litwin, VLDB 1980).
//!
//! A line is one cache line: 12 one-byte tags, 12 handles, and the index of an overflow line. A lookup
//! usually reads one line, and then only entries whose tag matches. When the lines are three quarters full,
//! one of them is split in two, so that no insertion ever waits for a rehash of the whole table. A split
//! moves handles only to one line with a higher index, which the index of the split line determines.
//! Therefore a scan of many steps visits each entry that stays exactly once, however much the table grows
//! meanwhile.

use crate::{memory::arena::Handle, memory::prefetch_line::prefetch};

const SLOTS: usize = 12;
/// Average number of handles per line above which a line is split.
const LOAD: usize = 9;
/// Lines that are allocated together, after the first segment is full.
const SEGMENT_LINES: usize = 1024;
/// Bits of a scan's cursor that hold the number of its steps, as a power of two.
const CURSOR_BITS: u32 = 5;
/// Set in the index of an overflow line.
const OVERFLOW: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    /// 0: the slot is vacant.
    tags: [u8; SLOTS],
    handles: [Handle; SLOTS],
    /// The index of the next line of the chain; 0: none.
    next: u32,
}

/// The slot of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotRef {
    line: u32,
    index: u32,
}

/// The result of a lookup in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// An entry whose tag matches.
    Candidate(Handle),
    /// Nothing, and the chain continues at this line.
    Chained(u32),
    /// Nothing, and the chain ends.
    Absent,
}

/// Handles by hash. The caller defines what is hashed.
#[derive(Debug, Default)]
pub(crate) struct Table {
    home: Lines,
    overflow: Lines,
    overflow_free: Vec<u32>,
    len: usize,
}

impl Table {
    /// How many handles it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many lines there are, not counting overflow lines.
    pub(crate) fn home_lines(&self) -> usize {
        self.home.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.home.len() + self.overflow.len()) * size_of::<Line>()
    }

    /// Looks up a hash. Returns the slot of the first of its handles for which `found` returns `Some`, and
    /// the value returned. `found` must check the entry, because different hashes may share a tag.
    #[inline(always)]
    pub(crate) fn search<T>(&self, hash: u64, found: impl Fn(Handle) -> Option<T>) -> Option<(SlotRef, T)> {
        if self.len == 0 {
            return None;
        }
        let mut index = self.home_of(hash);
        loop {
            let line = self.line(index);
            let mut matches = line.matches(tag(hash));
            while matches != 0 {
                let slot = matches.trailing_zeros() / 8;
                if let Some(found) = found(line.handles[slot as usize]) {
                    return Some((SlotRef { line: index, index: slot }, found));
                }
                matches &= matches - 1;
            }
            if line.next == 0 {
                return None;
            }
            index = line.next;
        }
    }

    /// Finds the slot of the first handle of a hash that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(Handle) -> bool) -> Option<SlotRef> {
        self.search(hash, |handle| is_it(handle).then_some(())).map(|(slot, ())| slot)
    }

    /// The line at which a lookup of this hash begins.
    pub(crate) fn home_line(&self, hash: u64) -> Option<u32> {
        (self.len > 0).then(|| self.home_of(hash))
    }

    /// Prefetches a line.
    pub(crate) fn prefetch(&self, line: u32) {
        prefetch(&self.line(line).tags[0]);
    }

    /// Looks up a hash in one line.
    pub(crate) fn probe_line(&self, line: u32, hash: u64) -> Probe {
        let line = self.line(line);
        match line.matches(tag(hash)) {
            0 if line.next == 0 => Probe::Absent,
            0 => Probe::Chained(line.next),
            matches => Probe::Candidate(line.handles[(matches.trailing_zeros() / 8) as usize]),
        }
    }

    /// The handle in a slot.
    pub(crate) fn get(&self, slot: SlotRef) -> Handle {
        self.line(slot.line).handles[slot.index as usize]
    }

    /// Replaces the handle in a slot with another one of the same hash.
    pub(crate) fn set(&mut self, slot: SlotRef, handle: Handle) {
        self.line_mut(slot.line).handles[slot.index as usize] = handle;
    }

    /// Replaces handles of one line and its chain: those for which `replacement` returns another one.
    pub(crate) fn replace_in_line(
        &mut self,
        index: usize,
        mut replacement: impl FnMut(Handle) -> Option<Handle>,
    ) {
        let mut next = index as u32;
        loop {
            let line = self.line_mut(next);
            for (_, handle) in line.tags.iter().zip(&mut line.handles).filter(|(tag, _)| **tag != 0) {
                *handle = replacement(*handle).unwrap_or(*handle);
            }
            if line.next == 0 {
                return;
            }
            next = line.next;
        }
    }

    /// Adds a handle that is not in the table yet. `hash_of` returns the hash of a handle that is.
    pub(crate) fn insert(&mut self, hash: u64, handle: Handle, hash_of: impl Fn(Handle) -> u64) {
        if self.home.len() == 0 {
            self.home.push(Line::default());
        }
        self.put(hash, handle);
        self.len += 1;
        if self.len > self.home.len() * LOAD {
            self.split(hash_of);
        }
    }

    /// Removes the handle in a slot.
    pub(crate) fn remove(&mut self, slot: SlotRef) -> Handle {
        let line = self.line_mut(slot.line);
        line.tags[slot.index as usize] = 0;
        let handle = line.handles[slot.index as usize];
        self.len -= 1;
        handle
    }

    /// The handles of one line and its chain.
    pub(crate) fn line_chain(&self, index: usize) -> impl Iterator<Item = Handle> {
        let mut line = self.line(index as u32);
        let mut slot = 0;
        std::iter::from_fn(move || {
            loop {
                if slot == SLOTS {
                    if line.next == 0 {
                        return None;
                    }
                    line = self.line(line.next);
                    slot = 0;
                }
                slot += 1;
                if line.tags[slot - 1] != 0 {
                    return Some(line.handles[slot - 1]);
                }
            }
        })
    }

    /// The handles of one step of a scan, and the cursor of the next step. A scan starts and ends with cursor
    /// 0. The first step fixes the number of steps, `1 << bits`. Each step visits the handles whose hashes
    /// have its index in the lowest `bits` bits, including those that splits have moved to other lines.
    pub(crate) fn scan_step(&self, cursor: u64) -> (impl Iterator<Item = Handle>, u64) {
        let lines = self.home_lines();
        let (step, bits) = match cursor {
            0 => (0, lines.max(1).ilog2()),
            _ => (cursor >> CURSOR_BITS, (cursor & ((1 << CURSOR_BITS) - 1)) as u32),
        };
        let steps = 1_u64 << bits;
        // The cursor of another table, such as that of a bucket that was dropped meanwhile, ends the scan.
        let is_stale = step >= steps || steps > lines as u64;
        let first = if is_stale { lines } else { step as usize };
        let next =
            if is_stale || step + 1 == steps { 0 } else { (step + 1) << CURSOR_BITS | u64::from(bits) };
        ((first..lines).step_by(steps as usize).flat_map(|index| self.line_chain(index)), next)
    }

    /// The handle in a random slot, each equally likely; `None` when that slot is vacant.
    pub(crate) fn random(&self) -> Option<Handle> {
        let index = fastrand::usize(..(self.home.len() + self.overflow.len()).max(1));
        let line = match index.checked_sub(self.home.len()) {
            None => self.home.get(index as u32),
            Some(_) if self.home.len() == 0 => return None,
            Some(index) => self.overflow.get(index as u32),
        };
        let slot = fastrand::usize(..SLOTS);
        (line.tags[slot] != 0).then_some(line.handles[slot])
    }

    fn home_of(&self, hash: u64) -> u32 {
        let index = hash as u32 & self.home.mask;
        if index < self.home.len { index } else { index & (self.home.mask >> 1) }
    }

    #[inline]
    fn line(&self, index: u32) -> &Line {
        if index & OVERFLOW == 0 { self.home.get(index) } else { self.overflow.get(index & !OVERFLOW) }
    }

    fn line_mut(&mut self, index: u32) -> &mut Line {
        if index & OVERFLOW == 0 {
            self.home.get_mut(index)
        } else {
            self.overflow.get_mut(index & !OVERFLOW)
        }
    }

    fn put(&mut self, hash: u64, handle: Handle) {
        let mut index = self.home_of(hash);
        loop {
            let line = self.line_mut(index);
            if let Some(slot) = line.tags.iter().position(|tag| *tag == 0) {
                line.tags[slot] = tag(hash);
                line.handles[slot] = handle;
                return;
            }
            index = if line.next == 0 { self.append_overflow(index) } else { line.next };
        }
    }

    /// Appends an overflow line to the last line of a chain; returns its index.
    fn append_overflow(&mut self, last: u32) -> u32 {
        let next = self.overflow_free.pop().unwrap_or_else(|| {
            self.overflow.push(Line::default());
            (self.overflow.len() as u32 - 1) | OVERFLOW
        });
        self.line_mut(last).next = next;
        next
    }

    /// Splits the next line in order: distributes its handles over itself and a new last line.
    fn split(&mut self, hash_of: impl Fn(Handle) -> u64) {
        self.home.push(Line::default());
        let new = self.home.len() - 1;
        let old = new - (new + 1).next_power_of_two() / 2;
        let handles: Vec<Handle> = self.line_chain(old).collect();
        let mut line = std::mem::take(self.line_mut(old as u32));
        while line.next != 0 {
            self.overflow_free.push(line.next);
            line = std::mem::take(self.line_mut(line.next));
        }
        for handle in handles {
            self.put(hash_of(handle), handle);
        }
    }
}

impl Line {
    /// Compares all tags at once. Sets the highest bit of byte `i` if the tag of slot `i` equals `tag`, and
    /// rarely if it differs only in its lowest bit, so the entry must be compared.
    fn matches(&self, tag: u8) -> u128 {
        const ONES: u128 = u128::from_le_bytes([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        let mut tags = [0; 16];
        tags[..SLOTS].copy_from_slice(&self.tags);
        let differences = u128::from_le_bytes(tags) ^ u128::from_le_bytes([tag; 16]);
        differences.wrapping_sub(ONES) & !differences & (ONES << 7)
    }
}

/// The tag of a hash, from bits that do not choose the line. Never 0, which marks a vacant slot, and never 1,
/// which [`Line::matches`] could confuse with a vacant slot.
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(2)
}

/// Lines in segments, so that growth moves no line.
#[derive(Debug, Default)]
struct Lines {
    segments: Vec<Vec<Line>>,
    /// How many there are.
    len: u32,
    /// The smallest `2^n - 1` that is at least the highest index.
    mask: u32,
}

impl Lines {
    fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn get(&self, index: u32) -> &Line {
        &self.segments[index as usize / SEGMENT_LINES][index as usize % SEGMENT_LINES]
    }

    fn get_mut(&mut self, index: u32) -> &mut Line {
        &mut self.segments[index as usize / SEGMENT_LINES][index as usize % SEGMENT_LINES]
    }

    fn push(&mut self, line: Line) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT_LINES => last.push(line),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT_LINES);
                segment.push(line);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![line]),
        }
        self.len += 1;
        self.mask = self.len.next_power_of_two() - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A hash that is good enough for a test, and the same each time.
    fn hash(handle: Handle) -> u64 {
        u64::from(handle)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn find(table: &Table, handle: Handle) -> Option<SlotRef> {
        table.find(hash(handle), |candidate| candidate == handle)
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(size_of::<Line>(), 64);
    }

    #[test]
    fn finds_exactly_what_was_inserted() {
        let mut table = Table::default();
        for handle in 1..=50_000 {
            table.insert(hash(handle), handle, hash);
        }
        assert_eq!(table.len(), 50_000);
        assert!((1..=50_000).all(|handle| find(&table, handle).is_some()));
        assert!((50_001..60_000).all(|handle| find(&table, handle).is_none()));
        for handle in (1..=50_000).step_by(2) {
            let slot = find(&table, handle).expect("not removed yet");
            assert_eq!(table.remove(slot), handle);
        }
        assert_eq!(table.len(), 25_000);
        assert!((1..=50_000).all(|handle| find(&table, handle).is_some() == (handle % 2 == 0)));
    }

    #[test]
    fn a_scan_during_growth_misses_nothing_and_repeats_nothing() {
        let mut table = Table::default();
        for handle in 1..=1_000 {
            table.insert(hash(handle), handle, hash);
        }
        let (mut seen, mut cursor, mut added) = (HashSet::new(), 0, 1_000_000);
        loop {
            let (handles, next) = table.scan_step(cursor);
            handles.for_each(|handle| assert!(seen.insert(handle), "{handle} is visited once"));
            if next == 0 {
                break;
            }
            cursor = next;
            for _ in 0..20 {
                added += 1;
                table.insert(hash(added), added, hash);
            }
        }
        assert!((1..=1_000).all(|handle| seen.contains(&handle)));
    }

    #[test]
    fn a_foreign_cursor_ends_the_scan() {
        let mut table = Table::default();
        assert_eq!((table.scan_step(0).0.count(), table.scan_step(0).1, table.random()), (0, 0, None));
        (1..=100).for_each(|handle| table.insert(hash(handle), handle, hash));
        for cursor in [31, 1 << 5, 1 << 5 | 31, 7 << 5 | 3, u64::MAX, u64::MAX - 31] {
            assert!(table.scan_step(cursor).0.count() < 100, "{cursor}");
        }
        assert_eq!((table.scan_step(u64::MAX).0.count(), table.scan_step(u64::MAX).1), (0, 0));
    }

    #[test]
    fn a_random_choice_is_fair() {
        let mut table = Table::default();
        (1..=300).for_each(|handle| table.insert(hash(handle), handle, hash));
        let mut times = [0; 301];
        for _ in 0..300_000 {
            times[table.random().unwrap_or(0) as usize] += 1;
        }
        let chosen = 300_000 - times[0];
        assert!(times[1..].iter().all(|times| (chosen / 600..chosen / 150).contains(times)), "{times:?}");
    }

    #[test]
    fn a_vacant_slot_never_matches() {
        for byte in 0..=u8::MAX {
            let (hash, other) = (u64::from(byte) << 56, u64::from(!byte) << 56);
            let mut table = Table::default();
            table.insert(hash, 1, |_| 0);
            table.insert(other, 2, |_| 0);
            table.remove(table.find(other, |handle| handle == 2).expect("not removed yet"));
            assert_eq!(table.search(hash, |handle| (handle == 2).then_some(handle)), None, "{byte}");
        }
    }

    #[test]
    fn equal_hashes_chain() {
        let mut table = Table::default();
        for handle in 1..=100 {
            table.insert(7, handle, |_| 7);
        }
        assert!((1..=100).all(|handle| table.find(7, |candidate| candidate == handle).is_some()));
    }
}
