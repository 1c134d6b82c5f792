//! What the system knows of this process: its memory, its files and its time on processors, where there is
//! `/proc`.

use crate::registry::Families;
use std::{fs, time::Duration};

/// Time on processors.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    /// In the process itself.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// Of processes that this one has started, and that have ended.
    pub children_user: Duration,
    /// Of the same, in the kernel.
    pub children_system: Duration,
}

/// Reads what Prometheus calls the metrics of a process.
pub fn families(families: &mut Families) {
    let (cpu, (resident, _)) = (cpu_time(false), memory());
    families
        .counter("process_cpu_seconds_total", "Time on processors, in the process and in the kernel")
        .set(cpu.user + cpu.system);
    families
        .gauge("process_resident_memory_bytes", "Memory of the process that is not swapped out")
        .set(resident);
    families.gauge("process_open_fds", "File descriptors that are open").set(open_files());
}

/// How many file descriptors are open.
fn open_files() -> usize {
    // One of them is that of the directory.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

/// The time of all threads, or of the first alone.
pub fn cpu_time(of_main_thread: bool) -> CpuTime {
    let path = match of_main_thread {
        true => format!("/proc/self/task/{}/stat", std::process::id()),
        false => "/proc/self/stat".to_owned(),
    };
    fs::read_to_string(path).ok().and_then(|stat| parse_stat(&stat)).unwrap_or_default()
}

/// The resident memory in bytes, and that of the whole system.
pub fn memory() -> (u64, u64) {
    let read = |path, key| fs::read_to_string(path).ok().and_then(|text| kibibytes(&text, key)).unwrap_or(0);
    (read("/proc/self/status", "VmRSS:") * 1024, read("/proc/meminfo", "MemTotal:") * 1024)
}

/// The system and its version, as `uname` names them.
pub fn system() -> String {
    let read = |name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    ["ostype", "osrelease", "arch"].map(|name| read(name).trim().to_owned()).join(" ")
}

/// The path of the running program.
pub fn executable() -> String {
    fs::read_link("/proc/self/exe").map_or_else(|_| String::new(), |path| path.display().to_string())
}

/// Reads the fields `utime`, `stime`, `cutime` and `cstime`, in hundredths of a second.
fn parse_stat(stat: &str) -> Option<CpuTime> {
    // The name of the process, in parentheses, may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut ticks = after_name.split_whitespace().skip(11).map_while(|field| field.parse().ok());
    let mut next = || ticks.next().map(|ticks: u64| Duration::from_millis(ticks * 10));
    let (user, system) = (next()?, next()?);
    Some(CpuTime { user, system, children_user: next()?, children_system: next()? })
}

/// The number after `key`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_process_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 12 3 1 20 0 1 0 5 9 9";
        let time = parse_stat(stat).expect("all fields");
        assert_eq!(
            [time.user, time.system, time.children_user, time.children_system].map(|time| time.as_millis()),
            [2_500, 120, 30, 10]
        );
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t    5120 kB\n", "VmRSS:"), Some(5_120));
    }
}
