//! The allocator of a shard: blocks of bytes, identified by 32-bit handles instead of 64-bit pointers.
//!
//! Blocks up to [`BLOCK_BYTES`] are carved from chunks in steps of [`GRANULE_BYTES`], with one free list per
//! size; larger ones are allocations of their own. The system provides chunks zeroed, and they take up memory
//! only as they fill. They use large pages where available, so that a block rarely misses the TLB.

use crate::{
    error::CommandError,
    limits::{ARENA_GRANULES, BLOCK_BYTES, CHUNK_BYTES, GRANULE_BYTES},
    memory::prefetch_line::prefetch,
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

/// Blocks of bytes.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<MmapMut>,
    /// The first granule that was never allocated.
    next_fresh: u32,
    /// By size in granules: the head of a linked list, whose links are in the first bytes of the free blocks.
    free: Box<[Handle; SIZES]>,
    /// Granules of all free blocks.
    free_granules: usize,
    large: Vec<Vec<u8>>,
    large_free: Vec<u32>,
    large_bytes: usize,
}

impl Arena {
    /// An arena without a block.
    pub(crate) fn new() -> Arena {
        Arena {
            chunks: Vec::new(),
            next_fresh: 1,
            free: Box::new([0; SIZES]),
            free_granules: 0,
            large: Vec::new(),
            large_free: Vec::new(),
            large_bytes: 0,
        }
    }

    /// A block of at least `bytes`, with arbitrary contents.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<Handle, ArenaFull> {
        if bytes > BLOCK_BYTES {
            return Ok(self.allocate_large(bytes));
        }
        let size = bytes.div_ceil(GRANULE_BYTES).max(1);
        let reused = self.free[size];
        if reused != 0 {
            self.free_granules -= size;
            self.free[size] =
                u32::from_le_bytes(*self.bytes(reused).first_chunk().expect("a granule holds a handle"));
            return Ok(reused);
        }
        self.bump(size as u32)
    }

    /// Frees a block that was allocated with `bytes`.
    pub(crate) fn free(&mut self, handle: Handle, bytes: usize) {
        if handle & LARGE != 0 {
            let freed = std::mem::take(&mut self.large[(handle & !LARGE) as usize]);
            self.large_bytes -= freed.len();
            self.large_free.push(handle & !LARGE);
            return;
        }
        let size = bytes.div_ceil(GRANULE_BYTES).max(1);
        let next = self.free[size];
        self.bytes_mut(handle)[..4].copy_from_slice(&next.to_le_bytes());
        self.free[size] = handle;
        self.free_granules += size;
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
    pub(crate) fn bytes_mut(&mut self, handle: Handle) -> &mut [u8] {
        if handle & LARGE != 0 {
            return &mut self.large[(handle & !LARGE) as usize];
        }
        &mut self.chunks[(handle / CHUNK_GRANULES) as usize]
            [(handle % CHUNK_GRANULES) as usize * GRANULE_BYTES..]
    }

    /// Bytes of all blocks that are in use.
    pub(crate) fn used_bytes(&self) -> usize {
        (self.next_fresh as usize - self.free_granules) * GRANULE_BYTES + self.large_bytes
    }

    /// Bytes of free blocks, which are reused.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free_granules * GRANULE_BYTES
    }

    /// Bytes of the blocks that are allocations of their own.
    pub(crate) fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    #[cfg(test)]
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn bump(&mut self, size: u32) -> Result<Handle, ArenaFull> {
        let room = CHUNK_GRANULES - self.next_fresh % CHUNK_GRANULES;
        let start = if size <= room { self.next_fresh } else { self.next_fresh + room };
        if start + size > ARENA_GRANULES {
            return Err(ArenaFull);
        }
        if self.chunks.len() <= (start / CHUNK_GRANULES) as usize {
            self.add_chunk()?;
        }
        self.next_fresh = start + size;
        Ok(start)
    }

    fn add_chunk(&mut self) -> Result<(), ArenaFull> {
        let chunk = MmapMut::map_anon(CHUNK_BYTES).map_err(|_| ArenaFull)?;
        // A large page takes up memory as a whole, so a shard uses them only after it has filled a chunk. A
        // failure does no harm.
        #[cfg(target_os = "linux")]
        if !self.chunks.is_empty() {
            let _ = chunk.advise(Advice::HugePage);
        }
        self.chunks.push(chunk);
        Ok(())
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
