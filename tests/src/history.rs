//! Checks what clients have seen of a key: whether there is an order in which each operation takes effect
//! between its call and its return, and returns what follows from those before it. The search is that of Wing
//! and Gong, with Lowe's memory of what was tried.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// An operation on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// When it was sent.
    pub call: u64,
    /// When its reply came; `None` if its outcome is unknown, and it may take effect at any time, or never.
    pub end: Option<u64>,
    /// What it was.
    pub kind: OperationKind,
}

/// What an operation did. Each value that is written is another multiple of [`SPACING`], or an increment of
/// one. What is `None` in those with an unknown outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// It wrote this.
    Write(u64),
    /// It wrote this, which expires by its [`OperationKind::Expire`].
    WriteToExpire(u64),
    /// What was written so, and no other since, is gone.
    Expire(u64),
    /// It read this; `None` if nothing was there.
    Read(Option<u64>),
    /// It added one, which made this.
    Increment(Option<u64>),
    /// It wrote this if nothing was there, and whether it did.
    WriteIfAbsent(u64, Option<bool>),
    /// It removed what was there, and whether anything was.
    Remove(Option<bool>),
    /// It replaced the first by the second.
    Swap(Option<u64>, u64),
}

impl OperationKind {
    /// Whether it changes nothing where it returns what it has, or, if it expires something, where that has
    /// gone.
    fn is_read(self) -> bool {
        match self {
            OperationKind::Read(_) | OperationKind::Expire(_) => true,
            OperationKind::WriteIfAbsent(_, done) | OperationKind::Remove(done) => done == Some(false),
            OperationKind::Write(_)
            | OperationKind::WriteToExpire(_)
            | OperationKind::Increment(_)
            | OperationKind::Swap(..) => false,
        }
    }
}

/// How far the values of two writes are from each other at least.
pub const SPACING: u64 = 1 << 20;

/// States that are tried before a history counts as too long to be checked.
const STATES: usize = 3_000_000;

/// In place of what is written and never read.
const UNREAD: u64 = u64::MAX / SPACING * SPACING;

/// What is at the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct State {
    value: Option<u64>,
    /// The write from which it has its time to live.
    expires: Option<u64>,
}

/// What has taken effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Order {
    /// Of the operations with a known outcome those before this index,
    known: usize,
    /// but for these.
    late: Vec<usize>,
    /// Those with an unknown outcome that have.
    unknown: Vec<usize>,
    state: State,
}

/// A history in the order of its calls.
struct History {
    known: Vec<Operation>,
    unknown: Vec<Operation>,
    /// Where a write is that expires, if its outcome is known.
    to_expire: HashMap<u64, usize>,
}

/// What contradicts every order, in words; `None` if there is one.
///
/// # Panics
/// When that is not known after many attempts.
pub fn contradiction(operations: &[Operation]) -> Option<String> {
    let history = History::new(operations);
    let (mut orders, mut tried) = (vec![Order::default()], HashSet::new());
    let mut furthest = Order::default();
    while let Some(mut order) = orders.pop() {
        history.apply_reads(&mut order);
        if order.known == history.known.len() && order.late.is_empty() {
            return None;
        }
        if !tried.insert(order.clone()) {
            continue;
        }
        assert!(tried.len() < STATES, "the history is too long to be checked");
        let place = |order: &Order| (order.known, Reverse(order.late.len()));
        if place(&order) > place(&furthest) {
            furthest.clone_from(&order);
        }
        history.branch(&order, &mut orders);
    }
    Some(history.describe(&furthest))
}

impl History {
    fn new(operations: &[Operation]) -> History {
        let read = |operation: &Operation| match operation.kind {
            OperationKind::Read(value) | OperationKind::Increment(value) => value,
            OperationKind::Swap(value, _) => value,
            _ => None,
        };
        let read: HashSet<_> = operations.iter().filter_map(read).map(|value| value / SPACING).collect();
        // What nobody has read is all the same.
        let keep = |value: u64| if read.contains(&(value / SPACING)) { value } else { UNREAD };
        let plain = |operation: &Operation| {
            let kind = match operation.kind {
                OperationKind::Write(value) => OperationKind::Write(keep(value)),
                OperationKind::WriteIfAbsent(value, done) => OperationKind::WriteIfAbsent(keep(value), done),
                OperationKind::Swap(from, to) => OperationKind::Swap(from, keep(to)),
                kind => kind,
            };
            Operation { kind, ..*operation }
        };
        let mut operations: Vec<_> = operations.iter().map(plain).collect();
        operations.sort_by_key(|operation| operation.call);
        let (known, unknown): (Vec<_>, _) = operations.into_iter().partition(|found| found.end.is_some());
        let to_expire = known.iter().enumerate().filter_map(|(index, operation)| match operation.kind {
            OperationKind::WriteToExpire(value) => Some((value, index)),
            _ => None,
        });
        History { to_expire: to_expire.collect(), known, unknown }
    }

    /// Those with a known outcome that may take effect next, and when the first of them ended: no other one
    /// ended before they were called.
    fn next(&self, order: &Order) -> (Vec<usize>, u64) {
        let end = |index: &usize| self.known[*index].end.unwrap_or(u64::MAX);
        let mut first_end = order.late.iter().map(end).min().unwrap_or(u64::MAX);
        let mut next = order.late.clone();
        for index in order.known..self.known.len() {
            if self.known[index].call > first_end {
                break;
            }
            first_end = first_end.min(end(&index));
            next.push(index);
        }
        next.retain(|index| self.known[*index].call <= first_end);
        (next, first_end)
    }

    /// What is there after an operation; `None` if it would have returned something else.
    fn apply(&self, order: &Order, kind: OperationKind) -> Option<State> {
        let state = order.state;
        let wrote = |value| Some(State { value: Some(value), expires: None });
        let agrees = |is: bool, then: Option<State>, said: Option<bool>| {
            said.is_none_or(|said| said == is).then_some(then).flatten()
        };
        match kind {
            OperationKind::Write(value) => wrote(value),
            OperationKind::WriteToExpire(value) => Some(State { value: Some(value), expires: Some(value) }),
            OperationKind::Expire(value) if state.expires == Some(value) => Some(State::default()),
            OperationKind::Expire(value) => self.is_done(order, value).then_some(state),
            OperationKind::Read(value) => (value == state.value).then_some(state),
            OperationKind::Increment(value) => {
                let next = match state.value {
                    Some(UNREAD) => UNREAD,
                    other => other.unwrap_or(0) + 1,
                };
                let fits = value.is_none_or(|value| value == next);
                fits.then_some(State { value: Some(next), ..state })
            }
            OperationKind::WriteIfAbsent(value, done) if state.value.is_none() => {
                agrees(true, wrote(value), done)
            }
            OperationKind::WriteIfAbsent(_, done) => agrees(false, Some(state), done),
            OperationKind::Remove(done) => agrees(state.value.is_some(), Some(State::default()), done),
            OperationKind::Swap(from, to) => (from == state.value).then(|| wrote(to)).flatten(),
        }
    }

    /// Whether a write that expires has taken effect.
    fn is_done(&self, order: &Order, value: u64) -> bool {
        let index = self.to_expire.get(&value);
        index.is_some_and(|index| *index < order.known && !order.late.contains(index))
    }

    /// Lets those take effect that may and never change anything: no order is lost by that.
    fn apply_reads(&self, order: &mut Order) {
        loop {
            let (next, _) = self.next(order);
            let is_read = |index: &usize| {
                let kind = self.known[*index].kind;
                kind.is_read() && self.apply(order, kind) == Some(order.state)
            };
            let Some(read) = next.into_iter().find(is_read) else { return };
            order.take(read);
        }
    }

    /// Adds the orders that go on from this one. Those without more unknown outcomes are tried first.
    fn branch(&self, order: &Order, orders: &mut Vec<Order>) {
        let (next, first_end) = self.next(order);
        let mut kinds = HashSet::new();
        for (index, operation) in self.unknown.iter().enumerate() {
            // Of several that do the same the first one will do.
            let is_next = operation.call <= first_end && !order.unknown.contains(&index);
            if !is_next || !kinds.insert(operation.kind) {
                continue;
            }
            if let Some(state) = self.apply(order, operation.kind).filter(|state| *state != order.state) {
                let mut order = Order { state, ..order.clone() };
                order.unknown.push(index);
                order.unknown.sort_unstable();
                orders.push(order);
            }
        }
        for index in next.into_iter().rev() {
            if let Some(state) = self.apply(order, self.known[index].kind) {
                let mut order = Order { state, ..order.clone() };
                order.take(index);
                orders.push(order);
            }
        }
    }

    fn describe(&self, order: &Order) -> String {
        let (next, first_end) = self.next(order);
        let next = next.into_iter().map(|index| &self.known[index]);
        let before = &self.known[order.known.saturating_sub(30)..order.known];
        let is_left = |(index, operation): &(usize, &Operation)| {
            operation.call <= first_end && !order.unknown.contains(index)
        };
        let unknown = self.unknown.iter().enumerate().filter(is_left).map(|(_, left)| left);
        let (before, next, unknown) = (lines(before), lines(next), lines(unknown));
        let state = order.state;
        format!(
            "{state:?} after{before}\nnone of these can be next:{next}\nnor these, of unknown outcomes:{unknown}"
        )
    }
}

/// Operations, a line each.
fn lines<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> String {
    let milliseconds = |nanos: u64| nanos as f64 / 1e6;
    let line = |operation: &Operation| {
        let end = operation.end.map_or_else(String::new, |end| format!("{:.3}", milliseconds(end)));
        format!("\n  {:.3}..{end} {:?}", milliseconds(operation.call), operation.kind)
    };
    operations.into_iter().map(line).collect()
}

impl Order {
    /// One with a known outcome takes effect.
    fn take(&mut self, index: usize) {
        if index < self.known {
            self.late.retain(|late| *late != index);
        } else {
            self.late.extend(self.known..index);
            self.known = index + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperationKind::{Expire, Increment, Read, Remove, Swap, Write, WriteIfAbsent, WriteToExpire};

    const ONE: u64 = SPACING;
    const TWO: u64 = 2 * SPACING;
    const THREE: u64 = 3 * SPACING;

    /// An end of zero is an unknown outcome.
    fn is_possible(history: &[(u64, u64, OperationKind)]) -> bool {
        let operation = |&(call, end, kind)| Operation { call, end: (end > 0).then_some(end), kind };
        contradiction(&history.iter().map(operation).collect::<Vec<_>>()).is_none()
    }

    #[test]
    fn reads_return_what_was_written_last_in_some_order() {
        assert!(is_possible(&[(1, 2, Read(None)), (3, 4, Write(ONE)), (5, 6, Read(Some(ONE)))]));
        assert!(!is_possible(&[(1, 2, Write(ONE)), (3, 4, Read(None))]), "a write is lost");
        assert!(!is_possible(&[(1, 2, Write(ONE)), (3, 4, Write(TWO)), (5, 6, Read(Some(ONE)))]));
        let overlapping = [(1, 10, Write(ONE)), (2, 9, Write(TWO)), (11, 12, Read(Some(ONE)))];
        assert!(is_possible(&overlapping));
        let both = [&overlapping[..], &[(13, 14, Read(Some(TWO)))]].concat();
        assert!(!is_possible(&both), "the order of two writes changes");
        let stale =
            [(1, 2, Write(ONE)), (3, 20, Write(TWO)), (4, 5, Read(Some(TWO))), (6, 7, Read(Some(ONE)))];
        assert!(!is_possible(&stale), "a read goes back");
        assert!(!is_possible(&[(1, 2, Read(Some(ONE)))]), "nobody wrote it");
        assert!(!is_possible(&[(1, 2, Read(Some(ONE))), (3, 4, Write(ONE))]), "it is not written yet");
    }

    #[test]
    fn an_unknown_outcome_may_take_effect_late_or_never_but_not_twice() {
        let (before, unknown) = ((1, 2, Write(ONE)), (3, 0, Write(TWO)));
        for last in [ONE, TWO] {
            assert!(is_possible(&[before, unknown, (4, 5, Read(Some(last)))]));
        }
        let late = [before, unknown, (4, 5, Read(Some(ONE))), (6, 7, Read(Some(TWO)))];
        assert!(is_possible(&late));
        assert!(!is_possible(&[&late[..], &[(8, 9, Read(Some(ONE)))]].concat()));
        let overwritten =
            [before, unknown, (4, 5, Read(Some(TWO))), (6, 7, Write(THREE)), (8, 9, Read(Some(TWO)))];
        assert!(!is_possible(&overwritten), "it takes effect twice");
    }

    #[test]
    fn increments_count_once_each() {
        assert!(is_possible(&[(1, 2, Increment(Some(1))), (3, 4, Increment(Some(2)))]));
        assert!(!is_possible(&[(1, 2, Increment(Some(1))), (3, 4, Increment(Some(1)))]), "one is lost");
        assert!(!is_possible(&[(1, 2, Increment(Some(1))), (3, 4, Read(Some(2)))]), "it counts twice");
        let unknown = [(1, 0, Increment(None)), (2, 0, Increment(None))];
        for sum in 0..=2 {
            let value = Some(sum).filter(|sum| *sum > 0);
            assert!(is_possible(&[&unknown[..], &[(3, 4, Read(value))]].concat()));
        }
        assert!(!is_possible(&[&unknown[..], &[(3, 4, Read(Some(3)))]].concat()), "one of them counts twice");
    }

    #[test]
    fn conditions_are_those_of_what_is_there() {
        let written = (1, 2, Write(ONE));
        assert!(is_possible(&[written, (3, 4, WriteIfAbsent(TWO, Some(false))), (5, 6, Read(Some(ONE)))]));
        assert!(!is_possible(&[written, (3, 4, WriteIfAbsent(TWO, Some(true)))]), "something is there");
        assert!(is_possible(&[written, (3, 4, Remove(Some(true))), (5, 6, Remove(Some(false)))]));
        assert!(!is_possible(&[written, (3, 4, Remove(Some(false)))]));
        assert!(is_possible(&[written, (3, 4, Swap(Some(ONE), TWO)), (5, 6, Read(Some(TWO)))]));
        assert!(!is_possible(&[written, (3, 4, Write(TWO)), (5, 6, Swap(Some(ONE), THREE))]));
        let twice = [(1, 2, Write(ONE)), (3, 9, Write(TWO)), (4, 5, Remove(Some(true)))];
        assert!(is_possible(&[&twice[..], &[(10, 11, Remove(Some(true)))]].concat()), "nobody reads either");
        // Nobody reads it, but it is there.
        assert!(is_possible(&[(1, 0, Write(ONE)), (3, 4, WriteIfAbsent(TWO, Some(false)))]));
    }

    #[test]
    fn what_expires_is_gone_then_unless_it_was_written_again() {
        let expiring = [(1, 2, WriteToExpire(ONE)), (11, 12, Expire(ONE))];
        let then = |rest: &[(u64, u64, OperationKind)]| is_possible(&[&expiring, rest].concat());
        assert!(then(&[(5, 6, Read(Some(ONE))), (13, 14, Read(None))]));
        assert!(!then(&[(13, 14, Read(Some(ONE)))]), "too late");
        assert!(!then(&[(5, 6, Read(None))]), "too early");
        assert!(then(&[(3, 4, Increment(Some(ONE + 1))), (13, 14, Read(None))]), "it still expires");
        assert!(then(&[(3, 4, Write(TWO)), (13, 14, Read(Some(TWO)))]), "what is written again does not");
        let slow = [(1, 20, WriteToExpire(ONE)), (11, 30, Expire(ONE))];
        assert!(is_possible(&[&slow[..], &[(21, 22, Read(None))]].concat()), "it was gone at once");
        let unknown = [(1, 0, WriteToExpire(ONE)), (11, 0, Expire(ONE)), (3, 4, Read(Some(ONE)))];
        assert!(is_possible(&[&unknown[..], &[(13, 14, Read(None))]].concat()));
    }
}
