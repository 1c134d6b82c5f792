//! The verb's end of the control socket.

use super::{Reply, Request, place::Place};
use crate::{
    error::Error,
    limits::{BOOT_POLL, CONTROL_PATIENCE, CONTROL_REPLY_BYTES},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// Evaluates one expression on the running node. Text comes as a JSON string.
pub(crate) fn ask(place: &Place, expression: &str, json: bool) -> Result<Value, Error> {
    let socket = place.socket();
    let mut stream = UnixStream::connect(&socket)
        .map_err(|_| Error::NotRunning { node: place.node().to_owned(), socket })?;
    let request = Request { expression: expression.to_owned(), json };
    match converse(&mut stream, &request) {
        Ok(Reply::Result(value)) => Ok(value),
        Ok(Reply::Error(message)) => Err(Error::Refused(message)),
        Err(error) => Err(Error::Control(format!("{} does not answer: {error}", place.node()))),
    }
}

fn converse(stream: &mut UnixStream, request: &Request) -> std::io::Result<Reply> {
    stream.set_read_timeout(Some(CONTROL_PATIENCE))?;
    stream.set_write_timeout(Some(CONTROL_PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream).take(CONTROL_REPLY_BYTES).read_until(b'\n', &mut reply)?;
    Ok(serde_json::from_slice(&reply)?)
}

/// Looks again and again until `done`, at most for `patience`.
pub(crate) fn wait(
    place: &Place,
    what: &'static str,
    patience: Duration,
    mut done: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    while !done()? {
        if Instant::now() > deadline {
            return Err(Error::TooSlow { node: place.node().to_owned(), what, seconds: patience.as_secs() });
        }
        thread::sleep(BOOT_POLL);
    }
    Ok(())
}
