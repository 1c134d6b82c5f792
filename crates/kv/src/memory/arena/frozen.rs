//! The blocks that a frozen copy reads: a page, or a block that is an allocation of its own, is copied before
//! it is written for the first time since the freeze.

use super::{Arena, CHUNK_PAGES, Handle, LARGE, PAGE_GRANULES};
use crate::{
    limits::{ARENA_PAGE_BYTES, GRANULE_BYTES},
    memory::{
        entry::LargeRef,
        freeze::{Freeze, KeptBlocks},
        large::LargeValue,
    },
};
use std::{collections::BTreeMap, sync::Arc};

impl Arena {
    /// From now on, keeps blocks as they are before they are written.
    pub(crate) fn freeze(&mut self, freeze: &Arc<Freeze>) {
        self.kept = Some(Box::new(KeptBlocks {
            freeze: freeze.clone(),
            unwritten: self.pages.iter().map(|page| page.live_granules > 0).collect(),
            open: self.open_index().map(|page| {
                let used = self.open.start - page * PAGE_GRANULES;
                (page, used as usize * GRANULE_BYTES)
            }),
            pages: BTreeMap::new(),
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
            0 => {
                let page = kept.pages.get(&(handle / PAGE_GRANULES))?;
                Some(&page[(handle % PAGE_GRANULES) as usize * GRANULE_BYTES..])
            }
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

    #[cold]
    fn keep(&mut self, handle: Handle) {
        let Some(kept) = &mut self.kept else { return };
        if handle & LARGE != 0 {
            let index = handle & !LARGE;
            let block = &self.large[index as usize];
            let is_first = kept.unwritten_large.get_mut(index as usize).is_some_and(std::mem::take);
            if is_first && kept.freeze.keeps(block.len()) {
                kept.large.insert(index, block.as_slice().into());
            }
            return;
        }
        let page = handle / PAGE_GRANULES;
        if !kept.unwritten.get_mut(page as usize).is_some_and(std::mem::take) {
            return;
        }
        let used = match kept.open {
            Some((open, used)) if open == page => used,
            _ => ARENA_PAGE_BYTES,
        };
        if kept.freeze.keeps(used) {
            let start = (page % CHUNK_PAGES) as usize * ARENA_PAGE_BYTES;
            let bytes = &self.chunks[(page / CHUNK_PAGES) as usize][start..start + used];
            kept.pages.insert(page, bytes.into());
        }
    }
}
