//! Storage that the connections of one thread lend each other: those that wait hold none.

use crate::limits::SPARE_BYTES;
use std::cell::RefCell;

/// Storage that nobody uses just now.
pub(crate) struct Spare(RefCell<Stock>);

struct Stock {
    storage: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// No storage.
    pub(crate) const fn new() -> Spare {
        Spare(RefCell::new(Stock { storage: Vec::new(), bytes: 0 }))
    }

    /// Lends what was given back last, or storage of no size.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut stock = self.0.borrow_mut();
        let storage = stock.storage.pop().unwrap_or_default();
        stock.bytes -= storage.capacity();
        storage
    }

    /// Takes storage back; it is freed when there is enough.
    pub(crate) fn give(&self, storage: Vec<u8>) {
        let mut stock = self.0.borrow_mut();
        let bytes = stock.bytes + storage.capacity();
        if storage.capacity() > 0 && bytes <= SPARE_BYTES {
            stock.bytes = bytes;
            stock.storage.push(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_lent_again_up_to_a_limit() {
        let spare = Spare::new();
        spare.give(Vec::with_capacity(SPARE_BYTES - 1));
        spare.give(Vec::with_capacity(2));
        spare.give(Vec::with_capacity(1));
        assert_eq!(spare.take().capacity(), 1, "the one of 2 bytes was too much");
        assert_eq!(spare.take().capacity(), SPARE_BYTES - 1);
        assert_eq!(spare.take().capacity(), 0);
        spare.give(Vec::with_capacity(SPARE_BYTES));
        assert_eq!(spare.take().capacity(), SPARE_BYTES);
    }
}
