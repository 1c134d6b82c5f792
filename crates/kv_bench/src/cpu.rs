//! A process as /proc and the scheduler see it: its CPU time, its resident memory, the core that it runs on.

use crate::error::{Context, Error};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{fs, io, ops::Sub, time::Duration};

/// CPU time of a process, all its threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// The CPU time of a process since it started.
    pub(crate) fn of(pid: u32) -> Result<CpuTime, Error> {
        CpuTime::read(&format!("/proc/{pid}/stat"), OWN_FIELDS)
    }

    /// The same of several processes, all of them together.
    pub(crate) fn of_all(pids: &[u32]) -> Result<CpuTime, Error> {
        pids.iter().try_fold(CpuTime::default(), |sum, pid| {
            let CpuTime { user, system } = CpuTime::of(*pid)?;
            Ok(CpuTime { user: sum.user + user, system: sum.system + system })
        })
    }

    /// The CPU time of the children of this process that have ended and were waited for.
    pub(crate) fn of_ended_children() -> Result<CpuTime, Error> {
        CpuTime::read("/proc/self/stat", CHILDREN_FIELDS)
    }

    fn read(path: &str, fields: usize) -> Result<CpuTime, Error> {
        let text = fs::read_to_string(path).context(format!("cannot read {path}"))?;
        parse_stat(&text, fields, rustix::param::clock_ticks_per_second()).ok_or_else(|| unreadable(path))
    }

    /// The CPU time of this process since it started.
    pub(crate) fn own() -> Result<CpuTime, Error> {
        CpuTime::of(std::process::id())
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Sub for CpuTime {
    type Output = CpuTime;

    fn sub(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The number of fields between the name and the times of a process, and those of its children.
const OWN_FIELDS: usize = 11;
const CHILDREN_FIELDS: usize = 13;

/// The two times after `fields` fields; the name before them may have spaces and parentheses.
fn parse_stat(text: &str, fields: usize, ticks_per_second: u64) -> Option<CpuTime> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(fields).map(|field| {
        let ticks: u64 = field.parse().ok()?;
        Some(Duration::from_nanos(ticks * (1_000_000_000 / ticks_per_second.max(1))))
    });
    Some(CpuTime { user: times.next()??, system: times.next()?? })
}

/// The resident set size of a process in bytes, `VmRSS`.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).context(format!("cannot read {path}"))?;
    parse_resident(&text).ok_or_else(|| unreadable(&path))
}

fn parse_resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How often the threads of a process have waited for something, `voluntary_ctxt_switches`.
pub(crate) fn waits(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/task");
    let mut waits = 0;
    for task in fs::read_dir(&path).context(format!("cannot read {path}"))? {
        let status = task.context(format!("cannot read {path}"))?.path().join("status");
        // A thread may have ended meanwhile.
        let Ok(status) = fs::read_to_string(status) else { continue };
        waits += parse_waits(&status).ok_or_else(|| unreadable(&path))?;
    }
    Ok(waits)
}

fn parse_waits(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

fn unreadable(path: &str) -> Error {
    Error::Io { what: format!("cannot parse {path}"), source: io::ErrorKind::InvalidData.into() }
}

/// Pins this process to one core.
pub(crate) fn pin(core: usize) -> Result<(), Error> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(io::Error::from).context(format!("cannot pin to core {core}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 3 4 20 0 1 0 9 9 9";
        let expected = CpuTime { user: Duration::from_millis(1_500), system: Duration::from_millis(250) };
        assert_eq!(parse_stat(line, OWN_FIELDS, 100), Some(expected));
        let expected = CpuTime { user: Duration::from_millis(30), system: Duration::from_millis(40) };
        assert_eq!(parse_stat(line, CHILDREN_FIELDS, 100), Some(expected));
    }

    #[test]
    fn a_truncated_line_is_refused() {
        assert_eq!(parse_stat("7 (a) S 1 7", OWN_FIELDS, 100), None);
    }

    #[test]
    fn the_resident_set_is_in_bytes() {
        assert_eq!(parse_resident("Name:\tfoo\nVmRSS:\t    2048 kB\nRssAnon: 1 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(parse_resident("Name:\tfoo\n"), None);
    }

    #[test]
    fn waits_of_one_thread_are_read() {
        let status = "Name:\tfoo\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(parse_waits(status), Some(12));
        assert_eq!(parse_waits("Name:\tfoo\n"), None);
    }

    #[test]
    fn this_process_has_a_time_and_waits() {
        assert!(CpuTime::own().is_ok() && CpuTime::of_ended_children().is_ok());
        assert!(waits(std::process::id()).is_ok());
    }
}
