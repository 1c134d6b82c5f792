//! A hash table of handles that grows and shrinks one line at a time (linear hashing: Litwin, VLDB 1980).
//!
//! A line is one cache line: 12 one-byte tags, 12 handles, and the index of an overflow line. A lookup
//! usually reads one line, and then only entries whose tag matches. When the lines are three quarters full,
//! one of them is split in two; when they are less than a third full, the last one is merged into the one
//! that it was split from. So no request ever waits for a rehash of the whole table.
//!
//! A line holds the hashes that end with the same bits. In the order of their reversed bits, these are an
//! interval, which a split divides and a merge puts together again. A scan visits the hashes in that order,
//! so it visits each entry that stays exactly once, however much the table grows and shrinks meanwhile.

pub(crate) mod frozen;
pub(crate) mod lines;

use crate::memory::{arena::Handle, freeze::Freeze, prefetch_line::prefetch};
use lines::{KeptLines, Line, Lines, SLOTS, shrink};
use std::sync::Arc;

/// Average number of handles per line above which a line is split.
const LOAD: usize = 9;
/// Average number of handles per line below which two lines are merged: less than half of [`LOAD`], so that a
/// line that was just split is not merged again.
const LOW_LOAD: usize = 4;
/// Set in the index of an overflow line.
const OVERFLOW: u32 = 1 << 31;

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
    /// For each overflow line, the index of the line that leads to it.
    previous: Vec<u32>,
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
        self.home.bytes + self.overflow.bytes + self.previous.capacity() * size_of::<u32>()
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

    /// Replaces handles of the line at the cursor of a scan: those for which `replacement` returns another
    /// one. Returns the cursor of the next line.
    pub(crate) fn replace_in_line(
        &mut self,
        cursor: u32,
        mut replacement: impl FnMut(Handle) -> Option<Handle>,
    ) -> u32 {
        if self.home.len() == 0 {
            return 0;
        }
        let (line, after) = self.scan_line(cursor);
        let mut next = line as u32;
        loop {
            let line = self.line_mut(next);
            for (_, handle) in line.tags.iter().zip(&mut line.handles).filter(|(tag, _)| **tag != 0) {
                *handle = replacement(*handle).unwrap_or(*handle);
            }
            if line.next == 0 {
                return after;
            }
            next = line.next;
        }
    }

    /// Adds a handle that is not in the table yet. `hash_of` returns the hash of a handle that is.
    pub(crate) fn insert(&mut self, hash: u64, handle: Handle, hash_of: impl Fn(Handle) -> u64) {
        if self.home.len() == 0 {
            self.home.push(Line::default());
        }
        self.put(self.home_of(hash), tag(hash), handle);
        self.len += 1;
        if self.len > self.home.len() * LOAD {
            self.split(hash_of);
        }
    }

    /// Removes the handle in a slot. Other handles may move to other slots.
    pub(crate) fn remove(&mut self, slot: SlotRef) -> Handle {
        let line = self.line_mut(slot.line);
        line.tags[slot.index as usize] = 0;
        let handle = line.handles[slot.index as usize];
        self.len -= 1;
        if self.len < (self.home.len() - 1) * LOW_LOAD {
            self.merge();
        }
        handle
    }

    /// The handles of one line and its chain.
    pub(crate) fn line_chain(&self, index: usize) -> impl Iterator<Item = Handle> {
        chain(self.line(index as u32), |next| self.line(next))
    }

    /// From now on, keeps lines as they are before they change.
    pub(crate) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        self.home.freeze(freeze);
        self.overflow.freeze(freeze);
    }

    /// Whether it keeps lines as they were.
    pub(crate) fn is_frozen(&self) -> bool {
        self.home.is_frozen()
    }

    /// Keeps lines no longer. Returns those that it has kept.
    pub(crate) fn thaw(&mut self) -> [Option<Box<KeptLines>>; 2] {
        [self.home.thaw(), self.overflow.thaw()]
    }

    /// How many lines there were when it was frozen, not counting overflow lines.
    pub(crate) fn frozen_lines(&self) -> usize {
        self.home.frozen_len()
    }

    /// The handles of one line and its chain when it was frozen.
    pub(crate) fn frozen_chain(&self, index: usize) -> impl Iterator<Item = Handle> {
        let line = |index: u32| match index & OVERFLOW {
            0 => self.home.frozen(index),
            _ => self.overflow.frozen(index & !OVERFLOW),
        };
        chain(line(index as u32), line)
    }

    /// The line that a scan reads at `cursor`, and the cursor of its next step. A scan starts and ends with
    /// cursor 0. A cursor is a hash whose last bits lead to the line.
    fn scan_line(&self, cursor: u32) -> (usize, u32) {
        let line = self.home_of(cursor.into());
        let after = (cursor | !self.line_mask(line)).reverse_bits().wrapping_add(1);
        (line as usize, after.reverse_bits())
    }

    /// The handles of one step of a scan, and the cursor of the next step. `hash_of` returns the hash of a
    /// handle; it is needed only if the table has shrunk since the scan began.
    pub(crate) fn scan_step(
        &self,
        cursor: u64,
        hash_of: impl Fn(Handle) -> u64,
    ) -> (impl Iterator<Item = Handle>, u64) {
        // A larger cursor, of which there are none, ends the scan.
        let cursor = u32::try_from(cursor).ok().filter(|_| self.home.len() > 0);
        let step = cursor.map(|cursor| self.scan_line(cursor));
        let (position, line) = (cursor.unwrap_or(0).reverse_bits(), step.map_or(0, |(line, _)| line));
        let was_merged = position.reverse_bits() & !self.line_mask(line as u32) != 0;
        let is_ahead = move |handle| (hash_of(handle) as u32).reverse_bits() >= position;
        let handles = step.into_iter().flat_map(|(line, _)| self.line_chain(line));
        let handles = handles.filter(move |handle| !was_merged || is_ahead(*handle));
        (handles, step.map_or(0, |(_, next)| next.into()))
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

    /// The bits in which all hashes of a line are equal to its index.
    fn line_mask(&self, line: u32) -> u32 {
        let (mask, half) = (self.home.mask, self.home.mask >> 1);
        if line | (mask ^ half) < self.home.len { mask } else { half }
    }

    #[inline]
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

    /// Adds a handle to a line or its chain.
    fn put(&mut self, mut index: u32, tag: u8, handle: Handle) {
        loop {
            let line = self.line_mut(index);
            if let Some(slot) = line.tags.iter().position(|tag| *tag == 0) {
                line.tags[slot] = tag;
                line.handles[slot] = handle;
                return;
            }
            index = if line.next == 0 { self.append_overflow(index) } else { line.next };
        }
    }

    /// Appends an overflow line to the last line of a chain; returns its index.
    fn append_overflow(&mut self, last: u32) -> u32 {
        let next = self.overflow.len | OVERFLOW;
        self.overflow.push(Line::default());
        self.previous.push(last);
        self.line_mut(last).next = next;
        next
    }

    /// Removes an overflow line that no line leads to any more. The last one takes its place.
    fn remove_overflow(&mut self, index: u32) {
        let last = self.overflow.pop();
        let previous = self.previous.pop().expect("as many as overflow lines");
        shrink(&mut self.previous);
        if index != self.overflow.len | OVERFLOW {
            self.line_mut(previous).next = index;
            self.set_previous(last.next, index);
            self.previous[(index & !OVERFLOW) as usize] = previous;
            *self.line_mut(index) = last;
        }
    }

    /// Notes which line leads to an overflow line; 0: there is none.
    fn set_previous(&mut self, overflow: u32, previous: u32) {
        if overflow != 0 {
            self.previous[(overflow & !OVERFLOW) as usize] = previous;
        }
    }

    /// Empties a line and its chain. Returns the tags and handles.
    fn take_chain(&mut self, index: u32) -> Vec<(u8, Handle)> {
        let mut taken = Vec::with_capacity(2 * SLOTS);
        loop {
            let line = *self.line(index);
            let slots = line.tags.into_iter().zip(line.handles);
            taken.extend(slots.filter(|(tag, _)| *tag != 0));
            if line.next == 0 {
                *self.line_mut(index) = Line::default();
                return taken;
            }
            // The next line of the chain takes the place of the first.
            let next = *self.line(line.next);
            *self.line_mut(index) = next;
            self.set_previous(next.next, index);
            self.remove_overflow(line.next);
        }
    }

    /// Splits the next line in order: distributes its handles over itself and a new last line.
    fn split(&mut self, hash_of: impl Fn(Handle) -> u64) {
        let new = self.home.len;
        self.home.push(Line::default());
        for (tag, handle) in self.take_chain(split_from(new)) {
            self.put(self.home_of(hash_of(handle)), tag, handle);
        }
    }

    /// Merges the last line into the one that it was split from.
    fn merge(&mut self) {
        let last = self.home.len - 1;
        let target = split_from(last);
        let chains = [last, target].map(|index| self.take_chain(index));
        self.home.pop();
        for (tag, handle) in chains.into_iter().flatten() {
            self.put(target, tag, handle);
        }
    }
}

/// The handles of a line, and of those that follow it.
fn chain<'t>(mut line: &'t Line, follow: impl Fn(u32) -> &'t Line) -> impl Iterator<Item = Handle> {
    let mut slot = 0;
    std::iter::from_fn(move || {
        loop {
            if slot == SLOTS {
                if line.next == 0 {
                    return None;
                }
                line = follow(line.next);
                slot = 0;
            }
            slot += 1;
            if line.tags[slot - 1] != 0 {
                return Some(line.handles[slot - 1]);
            }
        }
    })
}

/// The line that was split when this one was added.
fn split_from(line: u32) -> u32 {
    line - (line + 1).next_power_of_two() / 2
}

/// The tag of a hash, from bits that do not choose the line. Never 0, which marks a vacant slot, and never 1,
/// which [`Line::matches`] could confuse with a vacant slot.
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(2)
}

#[cfg(test)]
mod tests;
