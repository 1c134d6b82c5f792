//! Compaction of a shard's memory: the blocks of pages that are mostly free move to others, so that the pages
//! serve blocks of any size again.
//!
//! Only its owner knows a block's handle: the registry those of buckets, and tables those of entries. So one
//! round marks some pages and visits all lines of all tables, a bounded number in each step.

use crate::{
    limits::{
        ARENA_PAGE_BYTES, BLOCK_BYTES, COMPACTED_BYTES, COMPACTED_LINES, COMPACTION_STEPS, FREE_SHARE,
        KEPT_SHARE,
    },
    memory::{arena::compaction::Round, budget::Budget},
    shard::Shard,
};

impl Shard {
    /// Bytes of memory that the shard takes up, those of free blocks included.
    pub(crate) fn held_bytes(&self) -> usize {
        self.registry.bytes() + self.memory.held_bytes()
    }

    /// Takes one step: gives a chunk back to the system, or moves blocks. When `is_pressed`, few free bytes
    /// are worth it. Returns whether the round goes on.
    pub(crate) fn compact_some(&mut self, is_pressed: bool) -> bool {
        if self.memory.frozen_by().is_some() && !is_pressed {
            // What moves would have to be kept for the frozen copy.
            return false;
        }
        let kept = if is_pressed { 0 } else { self.memory.held_bytes() / ARENA_PAGE_BYTES / KEPT_SHARE };
        if self.memory.arena.release_chunk(kept) {
            return true;
        }
        let Some(mut round) = self.round.take().or_else(|| self.begin_round(is_pressed)) else {
            return false;
        };
        let mut moved = 0;
        for _ in 0..COMPACTED_LINES {
            if moved >= COMPACTED_BYTES || round.table > self.memory.table_count() {
                break;
            }
            let (bytes, next) = match round.table.checked_sub(1) {
                None => self.registry.move_blocks(&mut self.memory, round.cursor),
                Some(id) => self.memory.move_entries(id as u32, round.cursor),
            };
            moved += bytes;
            round.cursor = next;
            round.table += usize::from(next == 0);
        }
        if round.table > self.memory.table_count() {
            self.memory.arena.unmark(&round.pages);
            return false;
        }
        self.round = Some(round);
        true
    }

    /// Makes room for `needed` bytes in a bounded number of steps of compaction, if more is held than may be;
    /// `false` if there is none.
    pub(crate) fn make_room(&mut self, budget: &Budget, needed: usize) -> bool {
        for _ in 0..COMPACTION_STEPS {
            if !budget.holds_too_much() {
                break;
            }
            let before = self.held_bytes();
            let goes_on = self.compact_some(true);
            self.account_held(budget);
            if needed <= BLOCK_BYTES && self.memory.arena.has_empty_page() {
                return true;
            }
            if !goes_on && self.held_bytes() >= before {
                break;
            }
        }
        !budget.is_exceeded(self.used_bytes(), self.accounted_bytes)
    }

    fn begin_round(&mut self, is_pressed: bool) -> Option<Round> {
        let tolerated = match is_pressed {
            true => ARENA_PAGE_BYTES / 2,
            false => ARENA_PAGE_BYTES + self.memory.held_bytes() / FREE_SHARE,
        };
        let pages = self.memory.arena.mark_pages(tolerated);
        (!pages.is_empty()).then_some(Round { pages, table: 0, cursor: 0 })
    }
}
