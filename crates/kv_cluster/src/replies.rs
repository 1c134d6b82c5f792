//! The answers to one call, as they came over the link.

use crate::{
    error::Malformed,
    wire::{Answer, Items},
};

/// The answers to the first so many requests of a call, in their order. There may be fewer than requests, and there
/// is at least one; the asker asks again for the rest.
#[derive(Debug)]
pub struct Replies {
    items: Box<[u8]>,
    len: usize,
}

impl Replies {
    /// Takes over the items of a frame once all of them have been found to be answers.
    pub(crate) fn read(items: &[u8]) -> Result<Replies, Malformed> {
        let mut len = 0;
        for answer in Items::<Answer<'_>>::new(items) {
            answer?;
            len += 1;
        }
        Ok(Replies { items: items.into(), len })
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The answers; they borrow from the frame.
    pub fn iter(&self) -> impl Iterator<Item = Answer<'_>> {
        Items::new(&self.items).map_while(Result::ok)
    }
}
