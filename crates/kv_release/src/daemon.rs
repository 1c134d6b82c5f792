//! `daemon`: starts this program again in a session of its own, and waits until the node replies or fails.

use crate::{
    config::{Flags, layers::environment},
    control::{client, run_dir::RunDir},
    error::Error,
    exit_code,
    limits::{BOOT_TIMEOUT, DAEMON_LOG_BYTES},
    output::print_line,
};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Starts the node in the background and prints its pid.
pub(crate) fn start(run_dir: &RunDir, flags: &Flags) -> Result<(), Error> {
    run_dir.prepare()?;
    drop(run_dir.lock_when_free()?);
    let path = run_dir.log();
    let log = rotated_log(&path).map_err(run_dir.unusable("write", &path))?;
    let mut child = spawn(flags, log).map_err(Error::io("start in the background"))?;
    client::wait_until(run_dir, "start", BOOT_TIMEOUT, || {
        if let Some(status) = child.try_wait().map_err(Error::io("watch the new node"))? {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::FAILED);
            return Err(Error::Daemon { code, log: log_tail(&path) });
        }
        Ok(client::evaluate(run_dir, "pid", true).is_ok_and(|pid| pid == child.id()))
    })?;
    print_line(child.id());
    Ok(())
}

fn spawn(flags: &Flags, log: File) -> std::io::Result<Child> {
    Command::new(environment::program()?)
        .args(["start", "--detached"])
        .args(flags.arguments())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// A new log file; the previous one is kept beside it.
fn rotated_log(path: &Path) -> std::io::Result<File> {
    if path.exists() {
        fs::rename(path, path.with_added_extension("old"))?;
    }
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn log_tail(path: &Path) -> String {
    let mut log = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(DAEMON_LOG_BYTES)));
        let _ = file.take(DAEMON_LOG_BYTES).read_to_end(&mut log);
    }
    String::from_utf8_lossy(&log).trim_end().to_owned()
}
