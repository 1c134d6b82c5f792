//! `kv_bench busy`: a process that keeps a core busy beside a measurement.

use crate::{interrupt::Interrupt, limits};
use rustix::process::getppid;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Keeps a core busy, or with `sleeps` works and sleeps in turn, until its parent or the user ends it.
pub(crate) fn run(sleeps: bool, interrupt: &Interrupt) {
    let parent = getppid();
    let pause = if sleeps { limits::BUSY_SLEEP } else { Duration::ZERO };
    while interrupt.check().is_ok() && getppid() == parent {
        let begin = Instant::now();
        while begin.elapsed() < limits::BUSY_RUN {}
        thread::sleep(pause);
    }
}
