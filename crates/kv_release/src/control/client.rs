//! The verb's end of the control socket.

use super::{
    message::{Reply, Request},
    run_dir::RunDir,
};
use crate::{
    error::Error,
    limits::{BOOT_POLL, CONTROL_REPLY_BYTES, CONTROL_TIMEOUT},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// Evaluates one expression on the running node. Text is returned as a JSON string.
pub(crate) fn evaluate(run_dir: &RunDir, expression: &str, json: bool) -> Result<Value, Error> {
    let socket = run_dir.socket();
    let mut stream = UnixStream::connect(&socket).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Error::NotOurs { node: run_dir.node().to_owned(), socket },
        _ => Error::NotRunning { node: run_dir.node().to_owned(), socket },
    })?;
    let request = Request { expression: expression.to_owned(), json };
    match round_trip(&mut stream, &request) {
        Ok(Reply::Result(value)) => Ok(value),
        Ok(Reply::Error(message)) => Err(Error::Refused(message)),
        Err(error) => Err(Error::Control(format!("no reply from {}: {error}", run_dir.node()))),
    }
}

fn round_trip(stream: &mut UnixStream, request: &Request) -> std::io::Result<Reply> {
    stream.set_read_timeout(Some(CONTROL_TIMEOUT))?;
    stream.set_write_timeout(Some(CONTROL_TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream).take(CONTROL_REPLY_BYTES).read_until(b'\n', &mut reply)?;
    Ok(serde_json::from_slice(&reply)?)
}

/// Polls until `done`, for up to `timeout`.
pub(crate) fn wait_until(
    run_dir: &RunDir,
    what: &'static str,
    timeout: Duration,
    mut done: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    while !done()? {
        if Instant::now() > deadline {
            return Err(Error::Timeout { node: run_dir.node().to_owned(), what, seconds: timeout.as_secs() });
        }
        thread::sleep(BOOT_POLL);
    }
    Ok(())
}
