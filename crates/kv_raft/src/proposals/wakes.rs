//! Wakes that are put off until a thread has done what it has at hand, so that whoever is woken finds all of
//! it, and is woken once. Without that, a range would propose the first request of many that a thread has
//! read, and a thread that serves many clients would be woken for the first of their replies.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
    thread::LocalKey,
};

/// The wakes that a thread puts off, as long as it does.
struct PutOff {
    is_on: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl PutOff {
    const fn new() -> PutOff {
        PutOff { is_on: Cell::new(false), wakers: RefCell::new(Vec::new()) }
    }
}

thread_local! {
    static PROPOSERS: PutOff = const { PutOff::new() };
    static WAITERS: PutOff = const { PutOff::new() };
}

/// Runs one turn of a thread that serves many clients. What it proposes to ranges is in one group of each:
/// they are woken when the turn ends.
#[inline]
pub fn turn<T>(run: impl FnOnce() -> T) -> T {
    put_off(&PROPOSERS, run)
}

/// Wakes who proposes what waits in a range; at the end of the turn, if this thread is in one.
pub(crate) fn wake_proposer(waker: Waker) {
    wake(&PROPOSERS, waker);
}

/// Wakes all who wait for a group.
pub(crate) fn wake_all(wakers: impl Iterator<Item = Waker>) {
    put_off(&WAITERS, || wakers.for_each(Waker::wake));
}

/// Wakes a thread that serves many clients: once, when all of them have their results, if this thread is
/// giving them to those who wait for a group.
pub fn wake_after_all(waker: Waker) {
    wake(&WAITERS, waker);
}

fn wake(put_off: &'static LocalKey<PutOff>, waker: Waker) {
    // A thread that ends puts nothing off.
    match put_off.try_with(|put_off| put_off.is_on.get()).unwrap_or(false) {
        true => put_off.with(|put_off| put_off.wakers.borrow_mut().push(waker)),
        false => waker.wake(),
    }
}

#[inline]
fn put_off<T>(put_off: &'static LocalKey<PutOff>, run: impl FnOnce() -> T) -> T {
    put_off.with(|put_off| {
        let was_on = put_off.is_on.replace(true);
        let _end = (!was_on).then(|| End(put_off));
        run()
    })
}

/// Wakes what was put off, after a panic as well.
struct End<'a>(&'a PutOff);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_on.set(false);
        if !self.0.wakers.borrow().is_empty() {
            self.0.wakers.take().into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    impl Counter {
        fn waker(self: &Arc<Self>) -> Waker {
            self.clone().into()
        }

        fn count(&self) -> usize {
            self.0.load(Relaxed)
        }
    }

    #[test]
    fn a_range_is_woken_when_the_turn_ends() {
        let counter = Arc::new(Counter::default());
        turn(|| {
            wake_proposer(counter.waker());
            assert_eq!(counter.count(), 0);
        });
        assert_eq!(counter.count(), 1);
        wake_proposer(counter.waker());
        assert_eq!(counter.count(), 2, "without a turn it is woken at once");
    }

    #[test]
    fn a_turn_that_panics_ends() {
        let counter = Arc::new(Counter::default());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            turn(|| {
                wake_proposer(counter.waker());
                panic!("a connection");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(counter.count(), 1);
    }

    /// A client of a thread, which must not be woken before the other clients are.
    struct Client {
        woken: Arc<Counter>,
        thread: Arc<Counter>,
    }

    impl Wake for Client {
        fn wake(self: Arc<Self>) {
            self.woken.0.fetch_add(1, Relaxed);
            wake_after_all(self.thread.waker());
            assert_eq!(self.thread.count(), 0);
        }
    }

    #[test]
    fn a_thread_is_woken_when_all_of_its_clients_are() {
        let (woken, thread) = (Arc::<Counter>::default(), Arc::<Counter>::default());
        let client = Arc::new(Client { woken: woken.clone(), thread: thread.clone() });
        wake_all((0..3).map(|_| client.clone().into()));
        assert_eq!((woken.count(), thread.count()), (3, 3));
        wake_after_all(thread.waker());
        assert_eq!(thread.count(), 4, "outside of a group it is woken at once");
    }
}
