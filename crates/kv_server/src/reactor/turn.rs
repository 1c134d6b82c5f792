//! Turns: connections that are ready at the same time are polled in groups, and one that pauses is polled again after the
//! others of its group have had their turn.

use std::{cell::Cell, future::poll_fn, task::Poll};

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Alone) };
}

/// Whose turn it is on this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// That of one connection alone, or of none.
    Alone,
    /// That of one of a group.
    InCompany,
    /// It was that of one of a group, and it paused.
    Paused,
}

/// Polls one of a group of so many, and says whether it paused.
pub(super) fn take<T>(group: usize, poll: impl FnOnce() -> T) -> (T, bool) {
    TURN.set(if group > 1 { Turn::InCompany } else { Turn::Alone });
    let polled = poll();
    (polled, TURN.replace(Turn::Alone) == Turn::Paused)
}

/// Whether others take turns with the one whose turn it is, so that a pause is not idle.
pub(crate) fn has_company() -> bool {
    TURN.get() != Turn::Alone
}

/// Lets the others of the group take their turns; at once over for one who is alone.
pub(crate) async fn pause() {
    let mut may_pause = has_company();
    poll_fn(move |_| {
        if std::mem::take(&mut may_pause) {
            TURN.set(Turn::Paused);
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
