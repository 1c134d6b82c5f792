//! `daemon`: starts this program again in a session of its own, and waits until it answers or fails.

use crate::{
    cli::Flags,
    config::environment,
    control::{client, place::Place},
    error::Error,
    exit_code,
    limits::{BOOT_PATIENCE, DAEMON_LOG_BYTES},
    output::say,
};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Starts the node in the background and prints its pid.
pub(crate) fn start(place: &Place, flags: &Flags) -> Result<(), Error> {
    place.prepare()?;
    drop(place.claim()?);
    let log = fresh_log(&place.log()).map_err(Error::io(format!("write {}", place.log().display())))?;
    let mut child = spawn(flags, log).map_err(Error::io("start in the background"))?;
    client::wait(place, "start", BOOT_PATIENCE, || {
        if let Some(status) = child.try_wait().map_err(Error::io("watch the new node"))? {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::FAILED);
            return Err(Error::Daemon { code, log: last_of(&place.log()) });
        }
        Ok(client::ask(place, "pid", true).is_ok_and(|pid| pid == child.id()))
    })?;
    say(child.id());
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

/// A log for this start; the one before is kept beside it.
fn fresh_log(path: &Path) -> std::io::Result<File> {
    if path.exists() {
        fs::rename(path, path.with_added_extension("old"))?;
    }
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// The end of the log.
fn last_of(path: &Path) -> String {
    let mut log = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(DAEMON_LOG_BYTES)));
        let _ = file.take(DAEMON_LOG_BYTES).read_to_end(&mut log);
    }
    String::from_utf8_lossy(&log).trim_end().to_owned()
}
