//! The allocator of a shard: blocks of bytes, identified by 32-bit handles instead of 64-bit pointers.
//!
//! Blocks up to [`BLOCK_BYTES`] are carved from pages in steps of [`GRANULE_BYTES`], with one free list per
//! size; larger ones are allocations of their own. A page whose blocks are all free serves blocks of any size
//! again. `compaction` empties pages that are mostly free.
//!
//! Pages lie in chunks. The system provides them zeroed, and they take up memory only as they fill. They use
//! large pages of the system where available, so that a block rarely misses the TLB. A chunk whose pages are
//! all empty is given back.

pub(crate) mod compaction;
mod frozen;
mod values;

use crate::{
    error::CommandError,
    limits::{
        ARENA_GRANULES, ARENA_PAGE_BYTES, ARENA_ROOM_SHARE, BLOCK_BYTES, CHUNK_BYTES, GRANULE_BYTES,
        KEPT_PART_BYTES,
    },
    memory::{freeze::KeptBlocks, large::LargeValue, prefetch_line::prefetch},
};
use arrayvec::ArrayVec;
#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;
use std::ops::Range;

/// Identifies a block. Never 0, which ends a free list.
pub(crate) type Handle = u32;

/// Set in the handle of a block that is an allocation of its own.
const LARGE: Handle = 1 << 31;

const CHUNK_GRANULES: u32 = (CHUNK_BYTES / GRANULE_BYTES) as u32;
const PAGE_GRANULES: u32 = (ARENA_PAGE_BYTES / GRANULE_BYTES) as u32;
const CHUNK_PAGES: u32 = CHUNK_GRANULES / PAGE_GRANULES;
/// The common size of an entry. A prefetch also loads the cache line of the block's byte at this offset.
const COMMON_ENTRY_BYTES: usize = 40;
const SIZES: usize = BLOCK_BYTES / GRANULE_BYTES + 1;

/// The arena has no space left for another block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ArenaFull;

impl From<ArenaFull> for CommandError {
    fn from(_: ArenaFull) -> CommandError {
        CommandError::OutOfMemory
    }
}

/// A free block: its handle, and above that the generation of its page. If that has changed since, the block
/// is gone, and the list ends here.
type Link = u64;

/// Blocks of bytes.
#[derive(Debug)]
pub(crate) struct Arena {
    /// One that was given back is empty, and its index is in `chunks_free`.
    chunks: Vec<MmapMut>,
    chunks_free: Vec<u32>,
    /// [`CHUNK_PAGES`] for each chunk, even if that is shorter.
    pages: Vec<Page>,
    /// The page that new blocks are carved from: its granules that have not been used yet.
    open: Range<u32>,
    /// Pages of the newest chunk that were never used.
    fresh: Range<u32>,
    /// Whether these count as held, because the chunk uses large pages.
    fresh_is_held: bool,
    /// Pages that were empty when they were added; see [`Page::is_listed`].
    empty: Vec<u32>,
    /// How many pages are listed as empty.
    empty_count: usize,
    /// By size in granules: the head of a linked list, whose links are in the first bytes of the free blocks.
    /// Empty until the first block is freed, since most shards are those of databases that nobody uses.
    free: Vec<Link>,
    /// Granules of all blocks in use that are carved from pages.
    live_granules: usize,
    /// Pages that take up memory.
    held_pages: usize,
    /// Whether new chunks use large pages.
    pub(crate) large_pages: bool,
    /// Whether it ever had blocks that are longer than [`KEPT_PART_BYTES`].
    has_long_blocks: bool,
    large: Vec<Vec<u8>>,
    large_free: Vec<u32>,
    values: Vec<LargeValue>,
    values_free: Vec<u32>,
    /// Bytes of large blocks and of large values.
    large_bytes: usize,
    kept: Option<Box<KeptBlocks>>,
}

/// A part of a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    /// Granules of its blocks in use.
    live_granules: u32,
    /// Changes when its free blocks are no longer to be used one by one.
    generation: u32,
    /// Whether it is in [`Arena::empty`]. It is still empty if it has no blocks in use.
    is_listed: bool,
    /// Whether compaction is emptying it.
    is_evacuated: bool,
}

impl Page {
    /// Whether blocks of any size can be carved from it.
    fn is_empty(&self) -> bool {
        self.is_listed && self.live_granules == 0
    }
}

impl Arena {
    /// An arena without a block.
    pub(crate) fn new() -> Arena {
        Arena {
            chunks: Vec::new(),
            chunks_free: Vec::new(),
            pages: Vec::new(),
            open: 0..0,
            fresh: 0..0,
            fresh_is_held: false,
            empty: Vec::new(),
            empty_count: 0,
            free: Vec::new(),
            live_granules: 0,
            held_pages: 0,
            large_pages: true,
            has_long_blocks: false,
            large: Vec::new(),
            large_free: Vec::new(),
            values: Vec::new(),
            values_free: Vec::new(),
            large_bytes: 0,
            kept: None,
        }
    }

    /// A block of at least `bytes`, with arbitrary contents.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<Handle, ArenaFull> {
        if bytes > KEPT_PART_BYTES { self.allocate_long(bytes) } else { self.allocate_block(bytes) }
    }

    fn allocate_long(&mut self, bytes: usize) -> Result<Handle, ArenaFull> {
        if bytes > BLOCK_BYTES {
            return Ok(self.allocate_large(bytes));
        }
        self.has_long_blocks = true;
        let handle = self.allocate_block(bytes)?;
        self.before_long_write(handle, bytes);
        Ok(handle)
    }

    fn allocate_block(&mut self, bytes: usize) -> Result<Handle, ArenaFull> {
        let size = bytes.div_ceil(GRANULE_BYTES).max(1);
        let link = self.free.get(size).copied().unwrap_or_default();
        let (free, generation) = (link as Handle, (link >> Handle::BITS) as u32);
        if free != 0 {
            let page = &mut self.pages[(free / PAGE_GRANULES) as usize];
            if page.generation == generation {
                page.live_granules += size as u32;
                self.live_granules += size;
                let next = self.bytes(free).first_chunk().expect("a granule holds a link");
                self.free[size] = Link::from_le_bytes(*next);
                return Ok(free);
            }
            self.free[size] = 0;
        }
        self.bump(size as u32)
    }

    /// Frees a block that was allocated with `bytes`.
    pub(crate) fn free(&mut self, handle: Handle, bytes: usize) {
        if handle & LARGE != 0 {
            self.before_write(handle);
            let freed = std::mem::take(&mut self.large[(handle & !LARGE) as usize]);
            self.large_bytes -= freed.len();
            self.large_free.push(handle & !LARGE);
            return;
        }
        let size = bytes.div_ceil(GRANULE_BYTES).max(1);
        self.live_granules -= size;
        let page = &mut self.pages[(handle / PAGE_GRANULES) as usize];
        page.live_granules -= size as u32;
        let (is_empty, generation) = (page.live_granules == 0, page.generation);
        if !page.is_evacuated {
            if self.free.is_empty() {
                self.free.resize(SIZES, 0);
            }
            let next = self.free[size];
            self.bytes_mut(handle)[..size_of::<Link>()].copy_from_slice(&next.to_le_bytes());
            self.free[size] = Link::from(generation) << Handle::BITS | Link::from(handle);
        }
        if is_empty {
            self.list_if_empty(handle / PAGE_GRANULES);
        }
    }

    /// Resizes the `gap` in a block of `before` bytes to `room` bytes, with arbitrary contents. The bytes
    /// after the gap move, and the block may move.
    pub(crate) fn resize_gap(
        &mut self,
        handle: Handle,
        before: usize,
        gap: Range<usize>,
        room: usize,
    ) -> Result<Handle, ArenaFull> {
        if gap.len() == room {
            return Ok(handle);
        }
        let (after, behind) = (before - gap.len() + room, gap.start + room);
        if before > BLOCK_BYTES && after > BLOCK_BYTES {
            self.before_write(handle);
            let block = &mut self.large[(handle & !LARGE) as usize];
            block.resize(before.max(after), 0);
            block.copy_within(gap.end..before, behind);
            block.truncate(after);
            self.large_bytes = self.large_bytes - before + after;
            return Ok(handle);
        }
        if Arena::same_size_class(before, after) {
            self.bytes_mut(handle).copy_within(gap.end..before, behind);
            return Ok(handle);
        }
        // At least one of the two sizes is small, so the bytes around the gap fit a small block.
        let mut kept = ArrayVec::<u8, BLOCK_BYTES>::new();
        for part in [0..gap.start, gap.end..before] {
            kept.try_extend_from_slice(&self.bytes(handle)[part]).expect("they fit the smaller size");
        }
        let moved = self.allocate(after)?;
        let (front, back) = kept.split_at(gap.start);
        self.bytes_mut(moved)[..gap.start].copy_from_slice(front);
        self.bytes_mut(moved)[behind..after].copy_from_slice(back);
        self.free(handle, before);
        Ok(moved)
    }

    /// Bytes of memory that a block of `bytes` takes.
    pub(crate) fn block_bytes(bytes: usize) -> usize {
        if bytes > BLOCK_BYTES { bytes } else { bytes.next_multiple_of(GRANULE_BYTES).max(GRANULE_BYTES) }
    }

    /// Whether blocks of these two sizes take the same space, so that one can be rewritten in place as the
    /// other.
    pub(crate) fn same_size_class(one: usize, other: usize) -> bool {
        let size = |bytes: usize| bytes.div_ceil(GRANULE_BYTES).max(1);
        one <= BLOCK_BYTES && other <= BLOCK_BYTES && size(one) == size(other) || one == other
    }

    /// The bytes from the start of the block to the end of its chunk; the contents say where the block ends.
    #[inline]
    pub(crate) fn bytes(&self, handle: Handle) -> &[u8] {
        if handle & LARGE != 0 {
            return &self.large[(handle & !LARGE) as usize];
        }
        &self.chunks[(handle / CHUNK_GRANULES) as usize][(handle % CHUNK_GRANULES) as usize * GRANULE_BYTES..]
    }

    /// Prefetches the start of a block, up to the common size of an entry.
    #[inline]
    pub(crate) fn prefetch(&self, handle: Handle) {
        let bytes = self.bytes(handle);
        prefetch(&bytes[0]);
        if let Some(byte) = bytes.get(COMMON_ENTRY_BYTES) {
            prefetch(byte);
        }
    }

    /// The bytes from the start of the block on, for writing.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, handle: Handle) -> &mut [u8] {
        self.before_write(handle);
        if handle & LARGE != 0 {
            return &mut self.large[(handle & !LARGE) as usize];
        }
        &mut self.chunks[(handle / CHUNK_GRANULES) as usize]
            [(handle % CHUNK_GRANULES) as usize * GRANULE_BYTES..]
    }

    /// Bytes of all blocks that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.live_granules * GRANULE_BYTES + self.large_bytes
    }

    /// Bytes of memory that the arena takes up, those of free blocks and empty pages included.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_pages * ARENA_PAGE_BYTES - self.open.len() * GRANULE_BYTES + self.large_bytes
    }

    /// Bytes of the blocks that are allocations of their own, and of large values.
    pub(crate) fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    #[cfg(test)]
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len() - self.chunks_free.len()
    }

    fn bump(&mut self, size: u32) -> Result<Handle, ArenaFull> {
        if size as usize > self.open.len() {
            self.open_page()?;
        }
        let start = self.open.start;
        self.open.start += size;
        self.live_granules += size as usize;
        self.pages[(start / PAGE_GRANULES) as usize].live_granules += size;
        Ok(start)
    }

    /// Begins to carve blocks from another page: an empty one, if there is one.
    fn open_page(&mut self) -> Result<(), ArenaFull> {
        let page = match self.take_empty() {
            Some(page) => page,
            None => self.take_fresh()?,
        };
        let before = std::mem::replace(&mut self.open, page * PAGE_GRANULES..(page + 1) * PAGE_GRANULES);
        if page == 0 {
            self.open.start = 1;
        }
        if let Some(before) = before.end.checked_sub(1) {
            self.list_if_empty(before / PAGE_GRANULES);
        }
        Ok(())
    }

    fn take_empty(&mut self) -> Option<u32> {
        while let Some(index) = self.empty.pop() {
            let page = &mut self.pages[index as usize];
            if !page.is_listed {
                continue;
            }
            page.is_listed = false;
            self.empty_count -= 1;
            if page.live_granules == 0 {
                page.generation = page.generation.wrapping_add(1);
                return Some(index);
            }
        }
        None
    }

    fn take_fresh(&mut self) -> Result<u32, ArenaFull> {
        if self.fresh.is_empty() {
            self.add_chunk()?;
        }
        self.held_pages += usize::from(!self.fresh_is_held);
        self.fresh.start += 1;
        Ok(self.fresh.start - 1)
    }

    fn add_chunk(&mut self) -> Result<(), ArenaFull> {
        let reused = self.chunks_free.pop();
        let index = reused.unwrap_or(self.chunks.len() as u32);
        if index >= ARENA_GRANULES / CHUNK_GRANULES {
            return Err(ArenaFull);
        }
        // Where memory is scarce, a chunk is a single page, so that it can be given back alone.
        let pages = if self.large_pages { CHUNK_PAGES } else { 1 };
        let chunk = MmapMut::map_anon(pages as usize * ARENA_PAGE_BYTES).map_err(|_| ArenaFull)?;
        // A large page takes up memory as a whole, so a shard uses them only after it has filled a chunk. A
        // failure does no harm.
        self.fresh_is_held = self.large_pages && self.chunk_in_use();
        #[cfg(target_os = "linux")]
        if self.fresh_is_held {
            let _ = chunk.advise(Advice::HugePage);
        }
        match reused {
            Some(index) => self.chunks[index as usize] = chunk,
            None => {
                self.chunks.push(chunk);
                self.pages.resize(self.chunks.len() * CHUNK_PAGES as usize, Page::default());
            }
        }
        self.fresh = index * CHUNK_PAGES..index * CHUNK_PAGES + pages;
        self.held_pages += if self.fresh_is_held { CHUNK_PAGES as usize } else { 0 };
        Ok(())
    }

    /// Whether little is left of what it can address.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let limit = ARENA_GRANULES / CHUNK_GRANULES;
        let in_use = self.chunks.len() - self.chunks_free.len();
        in_use > (limit - limit / ARENA_ROOM_SHARE) as usize
    }

    /// The page that blocks are carved from.
    fn open_index(&self) -> Option<u32> {
        self.open.end.checked_sub(1).map(|last| last / PAGE_GRANULES)
    }

    fn chunk_in_use(&self) -> bool {
        self.chunks.len() > self.chunks_free.len()
    }

    /// Lists a page whose last block was freed, unless blocks are still carved from it, or it is to be given
    /// back with its chunk.
    fn list_if_empty(&mut self, index: u32) {
        let is_open = self.open_index() == Some(index);
        let page = &mut self.pages[index as usize];
        if is_open || page.live_granules > 0 || page.is_listed || page.is_evacuated {
            return;
        }
        page.is_listed = true;
        self.empty.push(index);
        self.empty_count += 1;
    }

    fn allocate_large(&mut self, bytes: usize) -> Handle {
        self.large_bytes += bytes;
        let block = vec![0; bytes];
        let index = match self.large_free.pop() {
            Some(index) => {
                self.large[index as usize] = block;
                index
            }
            None => {
                self.large.push(block);
                self.large.len() as u32 - 1
            }
        };
        index | LARGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_are_reused() {
        let mut arena = Arena::new();
        let one = arena.allocate(29).expect("room");
        let other = arena.allocate(29).expect("room");
        arena.bytes_mut(one)[..29].fill(1);
        arena.bytes_mut(other)[..29].fill(2);
        assert_eq!(arena.bytes(one)[..29], [1; 29]);
        arena.free(one, 29);
        assert_eq!(arena.allocate(32), Ok(one), "the same size in granules");
        assert_eq!(arena.bytes(other)[..29], [2; 29]);
    }

    #[test]
    fn blocks_never_cross_a_chunk() {
        let mut arena = Arena::new();
        for length in (1..BLOCK_BYTES).step_by(977) {
            let handle = arena.allocate(length).expect("room");
            assert!(arena.bytes(handle).len() >= length);
        }
    }

    #[test]
    fn resizing_a_gap_keeps_the_bytes_around_it() {
        let lengths = [20, 24, 200, BLOCK_BYTES, BLOCK_BYTES + 1, 100_000];
        for (before, after) in lengths.iter().flat_map(|one| lengths.map(|other| (*one, other))) {
            let mut arena = Arena::new();
            let handle = arena.allocate(before).expect("room");
            arena.bytes_mut(handle)[..10].fill(1);
            arena.bytes_mut(handle)[before - 5..before].fill(2);
            let handle = arena.resize_gap(handle, before, 10..before - 5, after - 15).expect("room");
            assert_eq!(arena.bytes(handle)[..10], [1; 10]);
            assert_eq!(arena.bytes(handle)[after - 5..after], [2; 5], "{before} -> {after}");
        }
    }

    #[test]
    fn a_large_block_is_returned_to_the_system_when_it_is_freed() {
        let mut arena = Arena::new();
        let large = arena.allocate(3_000_000).expect("room");
        assert_eq!(arena.bytes(large).len(), 3_000_000);
        arena.free(large, 3_000_000);
        assert_eq!(arena.bytes(large).len(), 0);
        assert_eq!(arena.allocate(2_000_000), Ok(large));
    }
}
