//! Counts work in tests: entries and bytes that are touched in one step, to compare them with the limits.

use std::cell::Cell;

thread_local! {
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts entries or bytes that are about to be touched.
pub(crate) fn touch(count: usize) {
    TOUCHED.set(TOUCHED.get() + count);
}

/// How much `step` touches on this thread.
pub(crate) fn touched_by<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let before = TOUCHED.get();
    let result = step();
    (result, TOUCHED.get() - before)
}
