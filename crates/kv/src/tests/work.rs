//! Counts work in tests: entries and bytes that are touched in one step, to compare them with the limits.

use std::cell::{Cell, RefCell};

/// What decides whether something counts.
type Condition = Box<dyn Fn() -> bool>;

thread_local! {
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
    static CONDITION: RefCell<Option<Condition>> = const { RefCell::new(None) };
}

/// Counts entries or bytes that are about to be touched.
pub(crate) fn touch(count: usize) {
    if CONDITION.with_borrow(|condition| condition.as_ref().is_none_or(|counts| counts())) {
        TOUCHED.set(TOUCHED.get() + count);
    }
}

/// How much `step` touches on this thread while `counts` is true.
pub(crate) fn touched_while<T>(counts: impl Fn() -> bool + 'static, step: impl FnOnce() -> T) -> (T, usize) {
    CONDITION.set(Some(Box::new(counts)));
    let touched = touched_by(step);
    CONDITION.set(None);
    touched
}

/// How much `step` touches on this thread.
pub(crate) fn touched_by<T>(step: impl FnOnce() -> T) -> (T, usize) {
    let before = TOUCHED.get();
    let result = step();
    (result, TOUCHED.get() - before)
}
