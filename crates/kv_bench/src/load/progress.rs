//! A progress bar on standard error, if that is a terminal.

use std::{
    io::{IsTerminal, Write, stderr},
    time::Duration,
};

const WIDTH: usize = 40;
const INTERVAL: Duration = Duration::from_millis(200);

/// Drawn a few times a second, and erased on drop.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    duration: Duration,
    batches: u64,
    next: Duration,
}

impl Progress {
    pub(crate) fn new(duration: Duration, batches: u64) -> Progress {
        Progress { visible: stderr().is_terminal(), duration, batches, next: INTERVAL }
    }

    /// Shows the progress in time or in batches, whichever is further.
    pub(crate) fn show(&mut self, elapsed: Duration, completed: u64) {
        if !self.visible || elapsed < self.next {
            return;
        }
        self.next = elapsed + INTERVAL;
        let time = elapsed.as_secs_f64() / self.duration.as_secs_f64();
        let work = completed as f64 / self.batches as f64;
        let _ = write!(stderr(), "\r{}", bar(time.max(work)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.visible {
            let _ = write!(stderr(), "\r{:1$}\r", "", WIDTH + 8);
        }
    }
}

fn bar(done: f64) -> String {
    let done = done.clamp(0.0, 1.0);
    let filled = (done * WIDTH as f64) as usize;
    format!("[{}{}] {:3.0} %", "=".repeat(filled), " ".repeat(WIDTH - filled), done * 100.0)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_grows_and_keeps_its_width() {
        assert_eq!(bar(0.5), format!("[{}{}]  50 %", "=".repeat(20), " ".repeat(20)));
        assert_eq!(bar(7.0).len(), bar(0.0).len());
    }
}
