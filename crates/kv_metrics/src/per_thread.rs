//! What each thread counts by itself, and whoever reads it adds up.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

/// A value for each thread. When there are more threads than cores, some share one.
#[derive(Debug)]
pub struct PerThread<T>(Box<[T]>);

impl<T> PerThread<T> {
    /// As many values as there are cores, or a few more.
    pub fn new(value: impl FnMut() -> T) -> PerThread<T> {
        let threads = thread::available_parallelism().map_or(1, usize::from).next_power_of_two();
        PerThread(std::iter::repeat_with(value).take(threads).collect())
    }

    /// The value of this thread.
    #[inline]
    pub fn own(&self) -> &T {
        &self.0[thread_number() & (self.0.len() - 1)]
    }

    /// The values of all threads.
    pub fn all(&self) -> &[T] {
        &self.0
    }
}

/// The number of this thread among those that have counted something.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    match NUMBER.get() {
        usize::MAX => {
            NUMBER.set(NEXT.fetch_add(1, Relaxed));
            NUMBER.get()
        }
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_count_is_added_up() {
        let counters = PerThread::new(AtomicUsize::default);
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| counters.own().fetch_add(1, Relaxed));
            }
        });
        assert_eq!(counters.all().iter().map(|count| count.load(Relaxed)).sum::<usize>(), 100);
    }
}
