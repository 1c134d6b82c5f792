//! How busy a reactor is, and how much of the machine is idle, as Linux counts it in /proc.

use crate::limits::BALANCE_INTERVAL;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// Units of the times in /proc/stat per second (`USER_HZ`), the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes of a thread's three counters.
const SCHEDSTAT_BYTES: usize = 64;

/// Counts how long one thread has been busy.
#[derive(Debug)]
pub(super) struct ThreadClock(File);

impl ThreadClock {
    /// The clock of the calling thread; any thread can read it. An error if the system has none.
    pub(super) fn of_this_thread() -> io::Result<ThreadClock> {
        File::open("/proc/thread-self/schedstat").map(ThreadClock)
    }

    /// How long the thread has not waited for anything but a core, since it began.
    fn read(&self) -> io::Result<Duration> {
        let mut text = [0; SCHEDSTAT_BYTES];
        let count = self.0.read_at(&mut text, 0)?;
        parse_schedstat(&text[..count]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Measures the loads of some threads.
#[derive(Debug)]
pub(super) struct Loads {
    clocks: Vec<ThreadClock>,
    last: Instant,
    before: Vec<Duration>,
}

impl Loads {
    /// The loads of the threads of these clocks, from now on.
    pub(super) fn begin(clocks: Vec<ThreadClock>) -> io::Result<Loads> {
        let before = clocks.iter().map(ThreadClock::read).collect::<io::Result<_>>()?;
        Ok(Loads { clocks, last: Instant::now(), before })
    }

    /// The shares of the time since the last call in which each thread was busy. An error if the system does
    /// not count.
    pub(super) fn measure(&mut self) -> io::Result<Vec<f64>> {
        let elapsed = self.last.elapsed();
        self.last += elapsed;
        let mut busy = Vec::new();
        for (clock, before) in self.clocks.iter().zip(&mut self.before) {
            let now = clock.read()?;
            if now.is_zero() {
                // Every thread has run. The kernel was built without these statistics.
                return Err(io::ErrorKind::Unsupported.into());
            }
            busy.push(now.saturating_sub(*before).div_duration_f64(elapsed));
            *before = now;
        }
        Ok(busy)
    }
}

/// The first two numbers are nanoseconds: those on a core, and those waiting for one.
fn parse_schedstat(text: &[u8]) -> Option<Duration> {
    let mut numbers = str::from_utf8(text).ok()?.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some(Duration::from_nanos(next()? + next()?))
}

/// Measures how many of the cores that this process may use are idle.
#[derive(Debug, Default)]
pub(super) struct IdleCores {
    /// When the idle time was read last, and what it was, in seconds.
    last: Option<(Instant, f64)>,
}

impl IdleCores {
    /// The mean since the last call; `None` if that was too long ago, or the system does not count it.
    pub(super) fn measure(&mut self) -> Option<f64> {
        let (now, idle) = (Instant::now(), idle_seconds()?);
        let (then, idle_before) = self.last.replace((now, idle))?;
        let elapsed = now - then;
        (elapsed < BALANCE_INTERVAL * 2).then(|| (idle - idle_before) / elapsed.as_secs_f64())
    }
}

/// The idle time of all cores that this process may use.
fn idle_seconds() -> Option<f64> {
    let allowed = parse_allowed_cores(&fs::read_to_string("/proc/thread-self/status").ok()?)?;
    Some(parse_idle_seconds(&fs::read_to_string("/proc/stat").ok()?, &allowed))
}

/// The line `Cpus_allowed_list: 0-3,8`, as pairs of the first and the last core.
fn parse_allowed_cores(status: &str) -> Option<Vec<(usize, usize)>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    ranges.collect()
}

/// The sum over the lines `cpuN user nice system idle iowait ...` of these cores.
fn parse_idle_seconds(stat: &str, allowed: &[(usize, usize)]) -> f64 {
    let idle_ticks = |line: &str| {
        let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let core: usize = words.next()?.parse().ok()?;
        allowed.iter().find(|(first, last)| (*first..=*last).contains(&core))?;
        words.skip(3).take(2).map(|ticks| ticks.parse::<f64>().ok()).sum::<Option<f64>>()
    };
    stat.lines().filter(|line| !line.starts_with("cpu ")).filter_map(idle_ticks).sum::<f64>()
        / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_busy_while_it_runs_or_waits_for_a_core() {
        assert_eq!(parse_schedstat(b"1000000000 500000000 17\n"), Some(Duration::from_millis(1_500)));
        assert_eq!(parse_schedstat(b"1000000000\n"), None);
    }

    #[test]
    fn only_the_cores_of_the_process_count_as_idle() {
        let allowed = parse_allowed_cores("Name:\tfoo\nCpus_allowed_list:\t0,2-3\n").unwrap();
        assert_eq!(allowed, [(0, 0), (2, 3)]);
        let stat = "cpu  9 9 9 9999 9 0 0\ncpu0 1 1 1 100 20 0 0\ncpu1 1 1 1 5000 0 0 0\n\
            cpu2 1 1 1 30 0 0 0\ncpu3 1 1 1 50 0 0 0\nintr 77\n";
        assert_eq!(parse_idle_seconds(stat, &allowed), 2.0);
        assert_eq!(parse_allowed_cores("Name:\tfoo\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_counts() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (clock, release) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                clock.send(ThreadClock::of_this_thread().unwrap()).unwrap();
                receiver.recv().ok();
            });
            let mut loads = Loads::begin(vec![release.recv().unwrap()]).unwrap();
            let busy = loads.measure().unwrap();
            assert!(busy[0] <= 1.1, "{busy:?}");
            sender.send(()).unwrap();
        });
        let mut idle = IdleCores::default();
        assert_eq!(idle.measure(), None, "the first measurement has none to compare with");
        assert!(idle.measure().is_some_and(|cores| cores >= 0.0));
    }
}
