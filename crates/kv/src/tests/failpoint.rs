//! Failpoints: named points in the code at which a test can cause one panic.

use std::cell::Cell;

thread_local!(static ARMED: Cell<Option<(&'static str, usize)>> = const { Cell::new(None) });

/// Makes the named failpoint panic when this thread reaches it for the `nth` time.
pub(crate) fn arm(name: &'static str, nth: usize) {
    ARMED.set(Some((name, nth)));
}

/// A failpoint: panics if a test has armed it.
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
