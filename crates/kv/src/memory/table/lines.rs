//! The lines of a table, in segments, so that growth moves no line but those of the first. Those that a
//! frozen copy reads are kept as they are before they change.

use crate::{
    limits::FROZEN_LINE_BYTES,
    memory::{arena::Handle, freeze::Freeze},
};
use std::{collections::BTreeMap, sync::Arc};

/// Lines that are allocated together, after the first segment is full.
const SEGMENT_LINES: usize = 1024;
/// Handles of a line.
pub(super) const SLOTS: usize = 12;

/// Tags and handles, with hashes that end with the same bits.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Line {
    /// 0: the slot is vacant.
    pub(super) tags: [u8; SLOTS],
    pub(super) handles: [Handle; SLOTS],
    /// The index of the next line of the chain; 0: none.
    pub(super) next: u32,
}

impl Line {
    /// Compares all tags at once. Sets the highest bit of byte `i` if the tag of slot `i` equals `tag`, and
    /// rarely if it differs only in its lowest bit, so the entry must be compared.
    pub(super) fn matches(&self, tag: u8) -> u128 {
        const ONES: u128 = u128::from_le_bytes([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
        let mut tags = [0; 16];
        tags[..SLOTS].copy_from_slice(&self.tags);
        let differences = u128::from_le_bytes(tags) ^ u128::from_le_bytes([tag; 16]);
        differences.wrapping_sub(ONES) & !differences & (ONES << 7)
    }
}

/// Lines by index.
#[derive(Debug, Default)]
pub(super) struct Lines {
    segments: Vec<Vec<Line>>,
    /// Bytes of memory.
    pub(super) bytes: usize,
    /// How many there are.
    pub(super) len: u32,
    /// The smallest `2^n - 1` that is at least the highest index.
    pub(super) mask: u32,
    kept: Option<Box<KeptLines>>,
}

/// What a frozen copy reads instead of lines that have changed.
#[derive(Debug)]
pub(crate) struct KeptLines {
    freeze: Arc<Freeze>,
    /// How many lines there were.
    len: u32,
    lines: BTreeMap<u32, Line>,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Line {
        &self.segments[index as usize / SEGMENT_LINES][index as usize % SEGMENT_LINES]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Line {
        if self.kept.is_some() {
            self.keep(index);
        }
        &mut self.segments[index as usize / SEGMENT_LINES][index as usize % SEGMENT_LINES]
    }

    pub(super) fn push(&mut self, line: Line) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT_LINES => last.push(line),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT_LINES);
                segment.push(line);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![line]),
        }
        self.set_len(self.len + 1);
    }

    /// Removes the last line, of which there is one.
    pub(super) fn pop(&mut self) -> Line {
        if self.kept.is_some() {
            self.keep(self.len - 1);
        }
        let segment = self.segments.last_mut().expect("not empty");
        let line = segment.pop().expect("no segment is empty");
        if segment.is_empty() {
            self.segments.pop();
            shrink(&mut self.segments);
        } else if let [first] = &mut *self.segments {
            shrink(first);
        }
        self.set_len(self.len - 1);
        line
    }

    fn set_len(&mut self, len: u32) {
        self.len = len;
        self.mask = len.next_power_of_two() - 1;
        // Only the first one may have room for fewer.
        let last = self.segments.last().map_or(0, Vec::capacity);
        let lines = self.segments.len().saturating_sub(1) * SEGMENT_LINES + last;
        self.bytes = lines * size_of::<Line>() + self.segments.capacity() * size_of::<Vec<Line>>();
    }

    /// From now on, keeps lines as they are before they change.
    pub(super) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        let (freeze, len) = (freeze.clone(), self.len);
        self.kept = Some(Box::new(KeptLines { freeze, len, lines: BTreeMap::new() }));
    }

    /// Whether lines are kept as they were.
    pub(super) fn is_frozen(&self) -> bool {
        self.kept.is_some()
    }

    /// Keeps lines no longer. Returns those that were kept.
    pub(super) fn thaw(&mut self) -> Option<Box<KeptLines>> {
        self.kept.take()
    }

    /// How many lines there were when they were frozen; if they are not, how many there are.
    pub(super) fn frozen_len(&self) -> usize {
        self.kept.as_ref().map_or(self.len(), |kept| kept.len as usize)
    }

    /// A line as it was when it was frozen.
    pub(super) fn frozen(&self, index: u32) -> &Line {
        let kept = self.kept.as_ref().and_then(|kept| kept.lines.get(&index));
        kept.unwrap_or_else(|| self.get(index))
    }

    /// A line is about to change, perhaps for the first time.
    #[cold]
    fn keep(&mut self, index: u32) {
        let line = *self.get(index);
        if let Some(kept) = &mut self.kept
            && index < kept.len
            && !kept.lines.contains_key(&index)
            && kept.freeze.keeps(FROZEN_LINE_BYTES)
        {
            kept.lines.insert(index, line);
        }
    }
}

/// Gives back half of a vector's memory if it uses less than a quarter.
pub(crate) fn shrink<T>(vec: &mut Vec<T>) {
    if vec.len() < vec.capacity() / 4 {
        vec.shrink_to(vec.capacity() / 2);
    }
}
