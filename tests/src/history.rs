//! Checks what clients have seen of a register: whether there is an order in which each operation takes
//! effect between its call and its return, and each read returns what was written last. The search is that of
//! Wing and Gong, with Lowe's memory of what was tried.

use std::collections::HashSet;

/// An operation on a register whose writes all have values of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// When it was sent.
    pub call: u64,
    /// When its reply came; `None` if its outcome is unknown, and it may take effect at any time, or never.
    pub end: Option<u64>,
    /// What it was.
    pub kind: OperationKind,
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// It wrote this.
    Write(u64),
    /// It read this; `None` if nothing was written.
    Read(Option<u64>),
}

/// States that are tried before a history counts as too long to be checked.
const STATES: usize = 1_000_000;

/// Operations that have taken effect, by index, and what the register holds then.
type State = (Vec<bool>, Option<u64>);

/// Whether there is such an order.
///
/// # Panics
/// When that is not known after many attempts.
pub fn is_linearizable(history: &[Operation]) -> bool {
    let is_read = |value| history.iter().any(|other| other.kind == OperationKind::Read(Some(value)));
    // What nobody has read may as well not have taken effect.
    let matters = |operation: &Operation| match operation.kind {
        OperationKind::Write(value) => operation.end.is_some() || is_read(value),
        OperationKind::Read(_) => operation.end.is_some(),
    };
    let operations: Vec<_> = history.iter().copied().filter(matters).collect();
    let mut states: Vec<State> = vec![(vec![false; operations.len()], None)];
    let mut tried = HashSet::new();
    while let Some((mut done, value)) = states.pop() {
        apply_reads(&operations, &mut done, value);
        if operations.iter().zip(&done).all(|(operation, done)| *done || operation.end.is_none()) {
            return true;
        }
        if !tried.insert((done.clone(), value)) {
            continue;
        }
        assert!(tried.len() < STATES, "the history is too long to be checked");
        for index in next(&operations, &done) {
            if let OperationKind::Write(value) = operations[index].kind {
                let mut done = done.clone();
                done[index] = true;
                states.push((done, Some(value)));
            }
        }
    }
    false
}

/// Lets reads of this value take effect that may: no order is lost by that, since they change nothing.
fn apply_reads(operations: &[Operation], done: &mut [bool], value: Option<u64>) {
    loop {
        let next = next(operations, done);
        let mut reads =
            next.into_iter().filter(|index| operations[*index].kind == OperationKind::Read(value));
        let Some(first) = reads.next() else { return };
        [first].into_iter().chain(reads).for_each(|index| done[index] = true);
    }
}

/// The operations that may take effect next: no other one ended before they were called.
fn next(operations: &[Operation], done: &[bool]) -> Vec<usize> {
    let left = || operations.iter().zip(done).enumerate().filter(|(_, (_, done))| !**done);
    let first_end = left().filter_map(|(_, (operation, _))| operation.end).min().unwrap_or(u64::MAX);
    left().filter(|(_, (operation, _))| operation.call <= first_end).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperationKind::{Read, Write};

    fn is_linearizable(history: &[(u64, u64, OperationKind)]) -> bool {
        let operation = |&(call, end, kind)| Operation { call, end: (end > 0).then_some(end), kind };
        super::is_linearizable(&history.iter().map(operation).collect::<Vec<_>>())
    }

    #[test]
    fn reads_return_what_was_written_last_in_some_order() {
        assert!(is_linearizable(&[(1, 2, Read(None)), (3, 4, Write(1)), (5, 6, Read(Some(1)))]));
        assert!(!is_linearizable(&[(1, 2, Write(1)), (3, 4, Read(None))]), "a write is lost");
        assert!(!is_linearizable(&[(1, 2, Write(1)), (3, 4, Write(2)), (5, 6, Read(Some(1)))]));
        let overlapping = [(1, 10, Write(1)), (2, 9, Write(2)), (11, 12, Read(Some(1)))];
        assert!(is_linearizable(&overlapping));
        let both = [&overlapping[..], &[(13, 14, Read(Some(2)))]].concat();
        assert!(!is_linearizable(&both), "the order of two writes changes");
        let stale = [(1, 2, Write(1)), (3, 20, Write(2)), (4, 5, Read(Some(2))), (6, 7, Read(Some(1)))];
        assert!(!is_linearizable(&stale), "a read goes back");
        assert!(!is_linearizable(&[(1, 2, Read(Some(1)))]), "nobody wrote it");
        assert!(!is_linearizable(&[(1, 2, Read(Some(1))), (3, 4, Write(1))]), "it is not written yet");
    }

    #[test]
    fn an_unknown_outcome_may_take_effect_late_or_never_but_not_twice() {
        let unknown = (3, 0, Write(2));
        let before = (1, 2, Write(1));
        for last in [1, 2] {
            assert!(is_linearizable(&[before, unknown, (4, 5, Read(Some(last)))]));
        }
        let late = [before, unknown, (4, 5, Read(Some(1))), (6, 7, Read(Some(2)))];
        assert!(is_linearizable(&late));
        assert!(!is_linearizable(&[&late[..], &[(8, 9, Read(Some(1)))]].concat()));
        let overwritten = [before, unknown, (4, 5, Read(Some(2))), (6, 7, Write(3)), (8, 9, Read(Some(2)))];
        assert!(!is_linearizable(&overwritten), "it takes effect twice");
    }
}
