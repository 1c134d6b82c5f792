//! The description of the machine that results depend on.

use std::fs;

/// Processor, cores, kernel and load average.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{}, {cores} cores, Linux {}; load average before: {}",
        model.map_or("unknown processor", |(_, name)| name),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
