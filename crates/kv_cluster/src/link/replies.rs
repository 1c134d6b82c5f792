//! The answers to one call, as they came over the link.

use crate::{
    error::Malformed,
    link::codec::{Answer, Items},
};

/// The answers to the first so many requests of a call, in their order. There may be fewer than requests, and there
/// is at least one; the asker asks again for the rest.
#[derive(Debug)]
pub(crate) struct Replies {
    items: Box<[u8]>,
    read: usize,
    left: usize,
}

impl Replies {
    /// Takes over the items of a frame once all of them have been found to be answers.
    pub(crate) fn read(items: &[u8]) -> Result<Replies, Malformed> {
        let mut left = 0;
        for answer in Items::<Answer<'_>>::new(items) {
            answer?;
            left += 1;
        }
        Ok(Replies { items: items.into(), read: 0, left })
    }

    /// How many have not been taken yet.
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// Whether all have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Takes the next answer, which borrows from the frame.
    pub(crate) fn next(&mut self) -> Option<Answer<'_>> {
        let mut items = Items::new(&self.items[self.read..]);
        let answer = items.next()?.ok();
        self.read = self.items.len() - items.rest().len();
        self.left -= 1;
        answer
    }
}
