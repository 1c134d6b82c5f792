//! A hash table of handles that grows a line at a time (linear hashing: Litwin, VLDB 1980).
//!
//! A line is one cache line: 12 tags of one byte, 12 handles, and the number of an overflow line. A look-up
//! reads one line as a rule, and then only entries whose tag matches. When the lines are three quarters full,
//! one of them is split in two, so that no insertion ever waits for a whole table to be rehashed. Entries only
//! ever move to lines with higher numbers, and from each line to lines that are known beforehand, so that a walk
//! of many steps misses none that stays and meets none twice, however much the table grows meanwhile.

use crate::{memory::arena::Handle, memory::prefetch_line::prefetch};

const SLOTS: usize = 12;
/// Handles per line, on the average, above which a line is split.
const LOAD: usize = 9;
/// Lines that are allocated together, once the table has as many.
const SEGMENT_LINES: usize = 1024;
/// Bits of a walk's cursor that tell how many steps it has.
const CURSOR_BITS: u32 = 5;
/// Set in the number of an overflow line.
const OVERFLOW: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    /// 0: the slot is vacant.
    tags: [u8; SLOTS],
    handles: [Handle; SLOTS],
    /// The number of the next line of the chain; 0: none.
    next: u32,
}

/// Where a handle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    line: u32,
    slot: u32,
}

/// Where a look-up goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// At this block.
    Block(Handle),
    /// At the next line of the chain.
    Line(u32),
    /// Nowhere.
    End,
}

/// Handles by the hash of what they name.
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

    /// How many lines there are for [`Table::line`].
    pub(crate) fn lines(&self) -> usize {
        self.home.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.home.len() + self.overflow.len()) * size_of::<Line>()
    }

    /// Looks a hash up: the first of its handles for which `found` has something, and that.
    #[inline(always)]
    pub(crate) fn search<T>(&self, hash: u64, found: impl Fn(Handle) -> Option<T>) -> Option<(Place, T)> {
        if self.len == 0 {
            return None;
        }
        let mut number = self.home_of(hash);
        loop {
            let line = self.at(number);
            let mut matches = line.matches(tag(hash));
            while matches != 0 {
                let slot = matches.trailing_zeros() / 8;
                if let Some(found) = found(line.handles[slot as usize]) {
                    return Some((Place { line: number, slot }, found));
                }
                matches &= matches - 1;
            }
            if line.next == 0 {
                return None;
            }
            number = line.next;
        }
    }

    /// Finds a handle by its hash among those that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(Handle) -> bool) -> Option<Place> {
        self.search(hash, |handle| is_it(handle).then_some(())).map(|(place, ())| place)
    }

    /// The line where a look-up of this hash begins.
    pub(crate) fn first_line(&self, hash: u64) -> Option<u32> {
        (self.len > 0).then(|| self.home_of(hash))
    }

    /// Has a line brought into the cache.
    pub(crate) fn prefetch(&self, line: u32) {
        prefetch(&self.at(line).tags[0]);
    }

    /// What a look-up of this hash does after it has read a line.
    pub(crate) fn after(&self, line: u32, hash: u64) -> Then {
        let line = self.at(line);
        match line.matches(tag(hash)) {
            0 if line.next == 0 => Then::End,
            0 => Then::Line(line.next),
            matches => Then::Block(line.handles[(matches.trailing_zeros() / 8) as usize]),
        }
    }

    /// The handle at a place.
    pub(crate) fn get(&self, place: Place) -> Handle {
        self.at(place.line).handles[place.slot as usize]
    }

    /// Replaces the handle at a place by another one of the same hash.
    pub(crate) fn set(&mut self, place: Place, handle: Handle) {
        self.at_mut(place.line).handles[place.slot as usize] = handle;
    }

    /// Adds a handle that is not there yet. `hash_of` gives the hash of a handle that is.
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

    /// Takes the handle at a place out.
    pub(crate) fn remove(&mut self, place: Place) -> Handle {
        let line = self.at_mut(place.line);
        line.tags[place.slot as usize] = 0;
        let handle = line.handles[place.slot as usize];
        self.len -= 1;
        handle
    }

    /// The handles of one line and its chain.
    pub(crate) fn line(&self, number: usize) -> impl Iterator<Item = Handle> {
        let mut line = self.at(number as u32);
        let mut slot = 0;
        std::iter::from_fn(move || {
            loop {
                if slot == SLOTS {
                    if line.next == 0 {
                        return None;
                    }
                    line = self.at(line.next);
                    slot = 0;
                }
                slot += 1;
                if line.tags[slot - 1] != 0 {
                    return Some(line.handles[slot - 1]);
                }
            }
        })
    }

    /// The handles that one step of a walk meets, and the cursor of the next step. A walk starts and ends with
    /// cursor 0. Its first step settles how many steps it has, a power of two: each meets the handles whose hashes
    /// agree with it in so many bits, wherever their lines have been split to.
    pub(crate) fn step(&self, cursor: u64) -> (impl Iterator<Item = Handle>, u64) {
        let lines = self.lines();
        let (step, bits) = match cursor {
            0 => (0, lines.max(1).ilog2()),
            _ => (cursor >> CURSOR_BITS, (cursor & ((1 << CURSOR_BITS) - 1)) as u32),
        };
        let steps = 1_u64 << bits;
        // A cursor of another table, such as that of a bucket that was dropped meanwhile: nothing is left of it.
        let is_over = step >= steps || steps > lines as u64;
        let first = if is_over { lines } else { step as usize };
        let next = if is_over || step + 1 == steps { 0 } else { (step + 1) << CURSOR_BITS | u64::from(bits) };
        ((first..lines).step_by(steps as usize).flat_map(|number| self.line(number)), next)
    }

    /// A handle from a place chosen at random, all places alike; `None` when that place is vacant.
    pub(crate) fn random(&self) -> Option<Handle> {
        let number = fastrand::usize(..(self.home.len() + self.overflow.len()).max(1));
        let line = match number.checked_sub(self.home.len()) {
            None => self.home.get(number as u32),
            Some(_) if self.home.len() == 0 => return None,
            Some(number) => self.overflow.get(number as u32),
        };
        let slot = fastrand::usize(..SLOTS);
        (line.tags[slot] != 0).then_some(line.handles[slot])
    }

    fn home_of(&self, hash: u64) -> u32 {
        let number = hash as u32 & self.home.mask;
        if number < self.home.len { number } else { number & (self.home.mask >> 1) }
    }

    #[inline]
    fn at(&self, number: u32) -> &Line {
        if number & OVERFLOW == 0 { self.home.get(number) } else { self.overflow.get(number & !OVERFLOW) }
    }

    fn at_mut(&mut self, number: u32) -> &mut Line {
        if number & OVERFLOW == 0 {
            self.home.get_mut(number)
        } else {
            self.overflow.get_mut(number & !OVERFLOW)
        }
    }

    fn put(&mut self, hash: u64, handle: Handle) {
        let mut number = self.home_of(hash);
        loop {
            let line = self.at_mut(number);
            if let Some(slot) = line.tags.iter().position(|tag| *tag == 0) {
                line.tags[slot] = tag(hash);
                line.handles[slot] = handle;
                return;
            }
            number = if line.next == 0 { self.chain(number) } else { line.next };
        }
    }

    /// Appends an overflow line to the last line of a chain.
    fn chain(&mut self, last: u32) -> u32 {
        let next = self.overflow_free.pop().unwrap_or_else(|| {
            self.overflow.push(Line::default());
            (self.overflow.len() as u32 - 1) | OVERFLOW
        });
        self.at_mut(last).next = next;
        next
    }

    /// Splits the oldest line that is not split yet: its handles are spread over it and a new last line.
    fn split(&mut self, hash_of: impl Fn(Handle) -> u64) {
        self.home.push(Line::default());
        let new = self.home.len() - 1;
        let old = new - (new + 1).next_power_of_two() / 2;
        let handles: Vec<Handle> = self.line(old).collect();
        let mut line = std::mem::take(self.at_mut(old as u32));
        while line.next != 0 {
            self.overflow_free.push(line.next);
            line = std::mem::take(self.at_mut(line.next));
        }
        for handle in handles {
            self.put(hash_of(handle), handle);
        }
    }
}

impl Line {
    /// A bit in every byte whose tag is `tag`, the slot's number times eight from the right. Rarely a bit too
    /// many, for a tag that differs in its lowest bit alone: the entry itself decides.
    fn matches(&self, tag: u8) -> u128 {
        const ONES: u128 = u128::from_le_bytes([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        let mut tags = [0; 16];
        tags[..SLOTS].copy_from_slice(&self.tags);
        let differences = u128::from_le_bytes(tags) ^ u128::from_le_bytes([tag; 16]);
        differences.wrapping_sub(ONES) & !differences & (ONES << 7)
    }
}

/// The byte that stands for a hash in its line: from bits that do not choose the line. Never 0, and never 1, which
/// [`Line::matches`] could take a vacant slot for.
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(2)
}

/// Lines in segments, so that growing moves nothing.
#[derive(Debug, Default)]
struct Lines {
    segments: Vec<Vec<Line>>,
    /// How many there are.
    len: u32,
    /// The least number of all ones that is not below any line's.
    mask: u32,
}

impl Lines {
    fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn get(&self, number: u32) -> &Line {
        &self.segments[number as usize / SEGMENT_LINES][number as usize % SEGMENT_LINES]
    }

    fn get_mut(&mut self, number: u32) -> &mut Line {
        &mut self.segments[number as usize / SEGMENT_LINES][number as usize % SEGMENT_LINES]
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

    /// A spread that is good enough for a test, and the same each time.
    fn hash(handle: Handle) -> u64 {
        u64::from(handle)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn find(table: &Table, handle: Handle) -> Option<Place> {
        table.find(hash(handle), |candidate| candidate == handle)
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(size_of::<Line>(), 64);
    }

    #[test]
    fn finds_all_that_was_put_in_and_nothing_else() {
        let mut table = Table::default();
        for handle in 1..=50_000 {
            table.insert(hash(handle), handle, hash);
        }
        assert_eq!(table.len(), 50_000);
        assert!((1..=50_000).all(|handle| find(&table, handle).is_some()));
        assert!((50_001..60_000).all(|handle| find(&table, handle).is_none()));
        for handle in (1..=50_000).step_by(2) {
            let place = find(&table, handle).expect("not removed yet");
            assert_eq!(table.remove(place), handle);
        }
        assert_eq!(table.len(), 25_000);
        assert!((1..=50_000).all(|handle| find(&table, handle).is_some() == (handle % 2 == 0)));
    }

    #[test]
    fn a_walk_that_meets_growth_misses_nothing_and_repeats_nothing() {
        let mut table = Table::default();
        for handle in 1..=1_000 {
            table.insert(hash(handle), handle, hash);
        }
        let (mut seen, mut cursor, mut newcomer) = (HashSet::new(), 0, 1_000_000);
        loop {
            let (handles, next) = table.step(cursor);
            handles.for_each(|handle| assert!(seen.insert(handle), "{handle} is met once"));
            if next == 0 {
                break;
            }
            cursor = next;
            for _ in 0..20 {
                newcomer += 1;
                table.insert(hash(newcomer), newcomer, hash);
            }
        }
        assert!((1..=1_000).all(|handle| seen.contains(&handle)));
    }

    #[test]
    fn a_cursor_from_elsewhere_ends_the_walk() {
        let mut table = Table::default();
        assert_eq!((table.step(0).0.count(), table.step(0).1, table.random()), (0, 0, None));
        (1..=100).for_each(|handle| table.insert(hash(handle), handle, hash));
        for cursor in [31, 1 << 5, 1 << 5 | 31, 7 << 5 | 3, u64::MAX, u64::MAX - 31] {
            assert!(table.step(cursor).0.count() < 100, "{cursor}");
        }
        assert_eq!((table.step(u64::MAX).0.count(), table.step(u64::MAX).1), (0, 0));
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
    fn a_vacant_slot_is_not_looked_at() {
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
