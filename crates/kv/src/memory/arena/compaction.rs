//! Makes free memory usable: marks pages that are mostly free, so that the owners of their blocks move them,
//! and gives chunks without a block back to the system.

use super::{Arena, ArenaFull, CHUNK_PAGES, Handle, LARGE, PAGE_GRANULES, Page};
use crate::limits::{ARENA_PAGE_BYTES, BLOCK_BYTES, COMPACTED_SHARE, DENSE_SHARE, GRANULE_BYTES};
use arrayvec::ArrayVec;
use memmap2::MmapMut;

/// A round of compaction: a visit to all owners of blocks.
#[derive(Debug)]
pub(crate) struct Round {
    /// The pages that are being emptied.
    pub(crate) pages: Vec<u32>,
    /// The table that is visited: 0 is the registry, and then come those of maps.
    pub(crate) table: usize,
    /// The cursor of its next line.
    pub(crate) cursor: u32,
}

impl Arena {
    /// Marks pages to be emptied, if all pages that are worth it have more than `tolerated` free bytes: those
    /// with the fewest blocks, or all pages of a chunk. Returns the marked pages.
    pub(crate) fn mark_pages(&mut self, tolerated: usize) -> Vec<u32> {
        self.close_empty_page();
        if self.held_bytes() - self.used_bytes() <= tolerated {
            return Vec::new();
        }
        let mut marked = self.sparse_pages(tolerated);
        if marked.is_empty() {
            marked = self.sparse_chunk(tolerated);
        }
        for index in &marked {
            let page = &mut self.pages[*index as usize];
            page.is_evacuated = true;
            page.generation = page.generation.wrapping_add(1);
            self.empty_count -= usize::from(std::mem::take(&mut page.is_listed));
        }
        marked
    }

    fn sparse_pages(&self, tolerated: usize) -> Vec<u32> {
        let dense = PAGE_GRANULES - PAGE_GRANULES / DENSE_SHARE;
        let pages = (0..).zip(&self.pages);
        let sparse = pages.filter(|(index, page)| {
            (1..dense).contains(&page.live_granules) && Some(*index) != self.open_index()
        });
        let mut sparse: Vec<(u32, u32)> = sparse.map(|(index, page)| (page.live_granules, index)).collect();
        let free: usize = sparse.iter().map(|(live, _)| (PAGE_GRANULES - live) as usize).sum();
        if free * GRANULE_BYTES <= tolerated {
            return Vec::new();
        }
        sparse.sort_unstable();
        // While the blocks move, both the marked pages and the new ones are held.
        let most = (self.held_pages as u32 * (PAGE_GRANULES / COMPACTED_SHARE)).max(PAGE_GRANULES);
        let mut moved = 0;
        let chosen = sparse.iter().take_while(|(live, _)| {
            moved += live;
            moved <= most
        });
        chosen.map(|(_, index)| *index).collect()
    }

    /// The pages of the chunk with the fewest blocks, if the empty pages of others have room for them.
    fn sparse_chunk(&self, tolerated: usize) -> Vec<u32> {
        let empty = self.pages.iter().filter(|page| page.is_empty()).count();
        if empty * PAGE_GRANULES as usize * GRANULE_BYTES <= tolerated {
            return Vec::new();
        }
        let busy = [self.open_index(), Some(self.fresh.start).filter(|_| !self.fresh.is_empty())];
        let chunks = (0..).step_by(CHUNK_PAGES as usize).zip(self.pages.chunks(CHUNK_PAGES as usize));
        let fitting = chunks.filter_map(|(first, pages)| {
            let range = first..first + CHUNK_PAGES;
            let blocks: u32 = pages.iter().map(|page| page.live_granules).sum();
            let elsewhere = empty - pages.iter().filter(|page| page.is_empty()).count();
            let fits = blocks > 0 && blocks.div_ceil(PAGE_GRANULES) as usize + 1 < elsewhere;
            let is_busy = busy.iter().flatten().any(|page| range.contains(page));
            (fits && !is_busy).then_some((blocks, range))
        });
        fitting.min_by_key(|(blocks, _)| *blocks).map(|(_, range)| range.collect()).unwrap_or_default()
    }

    /// Ends the marks of pages.
    pub(crate) fn unmark(&mut self, pages: &[u32]) {
        for index in pages {
            self.pages[*index as usize].is_evacuated = false;
            self.list_if_empty(*index);
        }
    }

    /// Whether a block of a page can be allocated without more memory.
    pub(crate) fn has_empty_page(&self) -> bool {
        self.empty.iter().any(|index| self.pages[*index as usize].is_empty())
    }

    /// Whether a block is in a marked page.
    pub(crate) fn is_to_move(&self, handle: Handle) -> bool {
        handle & LARGE == 0 && self.pages[(handle / PAGE_GRANULES) as usize].is_evacuated
    }

    /// Moves a block of `bytes` out of its page.
    pub(crate) fn relocate(&mut self, handle: Handle, bytes: usize) -> Result<Handle, ArenaFull> {
        let mut copy = ArrayVec::<u8, BLOCK_BYTES>::new();
        copy.try_extend_from_slice(&self.bytes(handle)[..bytes]).expect("a block of a page");
        let moved = self.allocate(bytes)?;
        self.bytes_mut(moved)[..bytes].copy_from_slice(&copy);
        self.free(handle, bytes);
        Ok(moved)
    }

    /// Gives a chunk back to the system whose pages are all empty, if more than `kept_pages` are; `false` if
    /// there is none.
    pub(crate) fn release_chunk(&mut self, kept_pages: usize) -> bool {
        self.close_empty_page();
        if self.empty_count <= kept_pages {
            return false;
        }
        let is_unused = |index: u32, page: &Page| page.is_empty() || self.fresh.contains(&index);
        let mut chunks = (0..).step_by(CHUNK_PAGES as usize).zip(self.pages.chunks(CHUNK_PAGES as usize));
        let found = chunks.find(|(first, pages)| {
            let mapped = self.mapped_pages(*first);
            mapped > 0 && (*first..).zip(&pages[..mapped]).all(|(index, page)| is_unused(index, page))
        });
        let Some((first, _)) = found else { return false };
        let Ok(nothing) = MmapMut::map_anon(0) else { return false };
        for page in first..first + CHUNK_PAGES {
            self.before_page_is_gone(page);
        }
        let mut held = self.mapped_pages(first);
        if (first..first + CHUNK_PAGES).contains(&self.fresh.start) {
            held -= if self.fresh_is_held { 0 } else { self.fresh.len() };
            self.fresh = 0..0;
        }
        self.held_pages -= held;
        self.chunks[(first / CHUNK_PAGES) as usize] = nothing;
        self.chunks_free.push(first / CHUNK_PAGES);
        for page in &mut self.pages[first as usize..][..CHUNK_PAGES as usize] {
            *page = Page { generation: page.generation.wrapping_add(1), ..Page::default() };
        }
        self.empty.retain(|page| self.pages[*page as usize].is_listed);
        self.empty_count = self.empty.len();
        true
    }

    /// Carves no more blocks from a page of which none is in use.
    fn close_empty_page(&mut self) {
        if let Some(index) = self.open_index()
            && self.pages[index as usize].live_granules == 0
        {
            self.open = 0..0;
            self.list_if_empty(index);
        }
    }

    /// How many pages the chunk has whose first one this is.
    fn mapped_pages(&self, first: u32) -> usize {
        self.chunks[(first / CHUNK_PAGES) as usize].len() / ARENA_PAGE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a page, of which a chunk has some.
    const PAGE: usize = ARENA_PAGE_BYTES;

    fn fill(arena: &mut Arena, size: usize, bytes: usize) -> Vec<Handle> {
        (0..bytes / size).map(|_| arena.allocate(size).expect("room")).collect()
    }

    #[test]
    fn a_page_whose_blocks_are_free_serves_blocks_of_another_size() {
        let mut arena = Arena { large_pages: false, ..Arena::new() };
        for size in [40, 400, 1000, 8, 4000, BLOCK_BYTES, 56] {
            let blocks = fill(&mut arena, size, 16 * PAGE);
            let held = arena.held_bytes();
            assert!(held <= 20 * PAGE, "{held} bytes held for blocks of {size}");
            blocks.into_iter().for_each(|block| arena.free(block, size));
            assert_eq!(arena.used_bytes(), 0);
        }
        while arena.release_chunk(0) {}
        assert_eq!((arena.chunk_count(), arena.held_bytes()), (0, 0));
    }

    #[test]
    fn sparse_pages_are_marked_and_emptied() {
        let mut arena = Arena { large_pages: false, ..Arena::new() };
        let blocks = fill(&mut arena, 64, 16 * PAGE);
        let (kept, freed): (Vec<_>, Vec<_>) = (0..).zip(blocks).partition(|(number, _)| number % 16 == 0);
        freed.into_iter().for_each(|(_, block)| arena.free(block, 64));
        for (number, block) in &kept {
            arena.bytes_mut(*block)[..8].copy_from_slice(&u64::to_le_bytes(*number));
        }
        let mut kept: Vec<(u64, Handle)> = kept;
        assert_eq!(arena.mark_pages(16 * PAGE), [0; 0], "as much is tolerated");
        for _ in 0..16 {
            let marked = arena.mark_pages(2 * PAGE);
            for (_, block) in &mut kept {
                if arena.is_to_move(*block) {
                    *block = arena.relocate(*block, 64).expect("room");
                }
            }
            assert!(marked.iter().all(|page| arena.pages[*page as usize].live_granules == 0));
            arena.unmark(&marked);
        }
        while arena.release_chunk(0) {}
        assert!(arena.held_bytes() <= 9 * PAGE, "{}", arena.held_bytes() / PAGE);
        for (number, block) in kept {
            assert_eq!(arena.bytes(block)[..8], number.to_le_bytes());
        }
    }

    #[test]
    fn a_free_block_of_a_page_that_was_reused_is_not_used() {
        let mut arena = Arena::new();
        let small = fill(&mut arena, 8, 3 * PAGE);
        small.into_iter().for_each(|block| arena.free(block, 8));
        let large = fill(&mut arena, 1024, PAGE);
        large.iter().for_each(|block| arena.bytes_mut(*block)[..1024].fill(7));
        for block in fill(&mut arena, 8, 2 * PAGE) {
            arena.bytes_mut(block)[..8].fill(8);
        }
        assert!(large.iter().all(|block| arena.bytes(*block)[..1024] == [7; 1024]));
    }
}
