//! The blocks that a frozen copy reads: a part of a page, or a block that is an allocation of its own, is
//! copied before it is written for the first time since the freeze.
//!
//! A block may begin in one part and end in another, and is read as a whole, from the page or from what was
//! kept of it. So parts around those that are written are kept as well.

use super::{Arena, CHUNK_PAGES, Handle, LARGE, PAGE_GRANULES};
use crate::{
    limits::{ARENA_PAGE_BYTES, BLOCK_BYTES, GRANULE_BYTES, KEPT_PART_BYTES},
    memory::{
        entry::LargeRef,
        freeze::{Freeze, FrozenPage, KeptBlocks, KeptPage},
        large::LargeValue,
    },
};
use memmap2::MmapMut;
use std::{collections::BTreeMap, iter, sync::Arc};

const PARTS: u32 = u64::BITS;
const PART_GRANULES: u32 = (KEPT_PART_BYTES / GRANULE_BYTES) as u32;
/// How many parts behind the one that it begins in a block may reach into.
const LONG_REACH: u32 = (BLOCK_BYTES / KEPT_PART_BYTES) as u32;

impl Arena {
    /// From now on, keeps blocks as they are before they are written.
    pub(crate) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        let page = |live_granules| if live_granules > 0 { FrozenPage::Unwritten } else { FrozenPage::Empty };
        self.kept = Some(Box::new(KeptBlocks {
            freeze: freeze.clone(),
            reach: if self.has_long_blocks { LONG_REACH } else { 1 },
            pages: self.pages.iter().map(|each| page(each.live_granules)).collect(),
            unwritten_large: self.large.iter().map(|block| !block.is_empty()).collect(),
            large: BTreeMap::new(),
            unwritten_values: self.values.iter().map(|value| !value.is_empty()).collect(),
            values: BTreeMap::new(),
        }));
    }

    /// Keeps blocks no longer. Returns those that were kept.
    pub(crate) fn thaw(&mut self) -> Option<Box<KeptBlocks>> {
        self.kept.take()
    }

    /// The bytes from the start of a block on, as they were at the freeze.
    pub(crate) fn frozen_bytes(&self, handle: Handle) -> &[u8] {
        let kept = self.kept.as_ref().and_then(|kept| match handle & LARGE {
            0 => kept.kept_bytes(handle),
            _ => kept.large.get(&(handle & !LARGE)).map(|block| &**block),
        });
        kept.unwrap_or_else(|| self.bytes(handle))
    }

    /// A large value as it was at the freeze.
    pub(crate) fn frozen_value(&self, at: LargeRef) -> &LargeValue {
        let kept = self.kept.as_ref().and_then(|kept| kept.values.get(&at.index));
        kept.unwrap_or_else(|| self.value(at))
    }

    /// A large value is about to be written or freed. Keeping it copies none of its bytes.
    pub(super) fn before_value_change(&mut self, at: LargeRef) {
        if let Some(kept) = &mut self.kept
            && kept.unwritten_values.get_mut(at.index as usize).is_some_and(std::mem::take)
            && kept.freeze.keeps(at.len as usize)
        {
            kept.values.insert(at.index, self.values[at.index as usize].clone());
        }
    }

    /// A block is about to be written or freed.
    #[inline(always)]
    pub(super) fn before_write(&mut self, handle: Handle) {
        if self.kept.is_some() {
            self.keep(handle);
        }
    }

    /// A new block of `bytes`, which may be longer than those that there were at the freeze, is about to be
    /// written.
    pub(super) fn before_long_write(&mut self, handle: Handle, bytes: usize) {
        let first = part_of(handle);
        let last = first + bytes.div_ceil(KEPT_PART_BYTES) as u32;
        self.keep_parts(handle / PAGE_GRANULES, first, last);
    }

    /// A page is about to be given back.
    pub(super) fn before_page_is_gone(&mut self, page: u32) {
        self.keep_parts(page, 0, PARTS);
    }

    #[cold]
    fn keep(&mut self, handle: Handle) {
        let Some(kept) = &mut self.kept else { return };
        if handle & LARGE == 0 {
            let (first, reach) = (part_of(handle), kept.reach);
            return self.keep_parts(handle / PAGE_GRANULES, first, first + reach);
        }
        let index = handle & !LARGE;
        let block = &self.large[index as usize];
        let is_first = kept.unwritten_large.get_mut(index as usize).is_some_and(std::mem::take);
        if is_first && kept.freeze.keeps(block.len()) {
            kept.large.insert(index, block.as_slice().into());
        }
    }

    /// The parts of a page from `first` to `last`, or to its end, are about to be written.
    fn keep_parts(&mut self, page: u32, first: u32, last: u32) {
        let Some(kept) = &mut self.kept else { return };
        let Some(frozen) = kept.pages.get_mut(page as usize) else { return };
        let written = parts(first, last);
        // Blocks that begin or end in these parts are read from what is kept.
        let needed = parts(first.saturating_sub(kept.reach), last + kept.reach);
        let missing = match frozen {
            FrozenPage::Empty => return,
            FrozenPage::Unwritten => needed,
            FrozenPage::Written(page) if written & !page.written == 0 => return,
            FrozenPage::Written(page) => needed & !page.kept,
        };
        if !kept.freeze.keeps(missing.count_ones() as usize * KEPT_PART_BYTES) {
            return;
        }
        if let FrozenPage::Unwritten = frozen {
            let Ok(bytes) = MmapMut::map_anon(ARENA_PAGE_BYTES) else { return kept.freeze.end() };
            *frozen = FrozenPage::Written(Box::new(KeptPage { bytes, kept: 0, written: 0 }));
        }
        let FrozenPage::Written(copy) = frozen else { return };
        let start = (page % CHUNK_PAGES) as usize * ARENA_PAGE_BYTES;
        let bytes = &self.chunks[(page / CHUNK_PAGES) as usize][start..][..ARENA_PAGE_BYTES];
        for part in ones(missing) {
            let range = part as usize * KEPT_PART_BYTES..(part as usize + 1) * KEPT_PART_BYTES;
            copy.bytes[range.clone()].copy_from_slice(&bytes[range]);
        }
        copy.kept |= missing;
        copy.written |= written;
    }
}

impl KeptBlocks {
    /// The bytes from the start of a block of a page on, if it may have been written since the freeze.
    fn kept_bytes(&self, handle: Handle) -> Option<&[u8]> {
        let FrozenPage::Written(page) = self.pages.get((handle / PAGE_GRANULES) as usize)? else {
            return None;
        };
        let first = part_of(handle);
        let is_written = page.written & parts(first, first + self.reach) != 0;
        is_written.then(|| &page.bytes[(handle % PAGE_GRANULES) as usize * GRANULE_BYTES..])
    }
}

/// The part of its page that a block begins in.
fn part_of(handle: Handle) -> u32 {
    handle % PAGE_GRANULES / PART_GRANULES
}

/// The bits of the parts from `first` to `last`, or to the end of the page.
fn parts(first: u32, last: u32) -> u64 {
    u64::MAX << first & u64::MAX >> (PARTS - 1).saturating_sub(last)
}

/// The parts whose bits are set.
fn ones(mut bits: u64) -> impl Iterator<Item = u32> {
    iter::from_fn(move || {
        let part = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (part < PARTS).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::freeze::FreezeBudget;

    /// A frozen arena of many blocks of `bytes`, each with bytes of its own, and what the copy keeps.
    fn frozen(bytes: usize) -> (Arena, Vec<Handle>, Arc<FreezeBudget>) {
        let (mut arena, budget) = (Arena::new(), Arc::<FreezeBudget>::default());
        let blocks = (0..3 * ARENA_PAGE_BYTES / bytes).map(|_| arena.allocate(bytes).expect("room"));
        let blocks: Vec<Handle> = blocks.collect();
        for (index, block) in blocks.iter().enumerate() {
            arena.bytes_mut(*block)[..bytes].fill(index as u8);
        }
        arena.freeze(&Arc::new(Freeze::new(budget.clone())));
        (arena, blocks, budget)
    }

    fn assert_as_frozen(arena: &Arena, blocks: &[Handle], bytes: usize) {
        for (index, block) in blocks.iter().enumerate() {
            let read = &arena.frozen_bytes(*block)[..bytes];
            assert!(read.iter().all(|byte| *byte == index as u8), "block {index} of {bytes} bytes");
        }
    }

    #[test]
    fn a_write_keeps_what_is_around_it_and_a_page_is_kept_once() {
        for (bytes, most) in [(40, 4), (KEPT_PART_BYTES, 4), (10_000, 25), (BLOCK_BYTES, 25)] {
            let (mut arena, blocks, budget) = frozen(bytes);
            arena.bytes_mut(blocks[blocks.len() / 2])[..bytes].fill(99);
            let kept = budget.kept() / KEPT_PART_BYTES;
            assert!((1..=most).contains(&kept), "{kept} parts for {bytes} bytes");
            assert_as_frozen(&arena, &blocks, bytes);
            for block in blocks.iter().rev() {
                arena.bytes_mut(*block)[..bytes].fill(99);
            }
            assert!(budget.kept() <= 4 * ARENA_PAGE_BYTES, "{}", budget.kept());
            assert_as_frozen(&arena, &blocks, bytes);
            arena.thaw();
            assert_eq!((budget.kept(), arena.frozen_bytes(blocks[0])[0]), (0, 99));
        }
    }

    /// Blocks were short at the freeze, and long ones take their place.
    #[test]
    fn long_blocks_may_follow_short_ones() {
        let (mut arena, blocks, _) = frozen(40);
        for block in &blocks {
            arena.free(*block, 40);
        }
        for _ in 0..3 * ARENA_PAGE_BYTES / BLOCK_BYTES {
            let long = arena.allocate(BLOCK_BYTES - 1).expect("room");
            arena.bytes_mut(long)[..BLOCK_BYTES - 1].fill(99);
        }
        assert_as_frozen(&arena, &blocks, 40);
    }
}
