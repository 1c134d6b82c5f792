//! Points in the code at which a test has a panic happen, once.

use std::cell::Cell;

thread_local!(static ARMED: Cell<Option<(&'static str, usize)>> = const { Cell::new(None) });

/// The point of this name panics when it is reached for the `nth` time, on this thread.
pub(crate) fn arm(name: &'static str, nth: usize) {
    ARMED.set(Some((name, nth)));
}

/// Marks a point.
pub(crate) fn reach(name: &'static str) {
    match ARMED.get() {
        Some((armed, 1)) if armed == name => {
            ARMED.set(None);
            panic!("failpoint {name}");
        }
        Some((armed, nth)) if armed == name => ARMED.set(Some((armed, nth - 1))),
        _ => {}
    }
}
