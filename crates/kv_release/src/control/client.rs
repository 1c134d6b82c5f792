//! The verb's end of the control socket.

use super::{
    message::{BackupRequest, ExportRequest, ImportPage, PageHead, Reply, Request},
    run_dir::RunDir,
};
use crate::{
    error::Error,
    limits::{BOOT_POLL, CONTROL_PIECE_BYTES, CONTROL_REPLY_BYTES, CONTROL_TIMEOUT, TRANSFER_TIMEOUT},
    records::{import::ImportCounts, pages::ExportScope},
};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// What an import expects of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImportTarget {
    /// Names that exist are left as they are.
    Keep,
    /// Names that exist are replaced.
    Replace,
    /// It must not have buckets.
    Empty,
}

/// What is read of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Its buckets as lines, or those of one name.
    Export { name: Option<Vec<u8>> },
    /// All of them as they are at one moment.
    Backup,
}

/// A connection to the running node.
pub(crate) struct ControlClient {
    node: String,
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to export or import.
    pub(crate) fn for_transfer(run_dir: &RunDir) -> Result<ControlClient, Error> {
        ControlClient::connect(run_dir, TRANSFER_TIMEOUT)
    }

    fn connect(run_dir: &RunDir, timeout: Duration) -> Result<ControlClient, Error> {
        let (node, socket) = (run_dir.node().to_owned(), run_dir.socket());
        match UnixStream::connect(&socket) {
            Ok(stream) => {
                let limited = stream.set_read_timeout(Some(timeout));
                limited
                    .and_then(|()| stream.set_write_timeout(Some(timeout)))
                    .map_err(Error::io("use the control socket"))?;
                Ok(ControlClient { node, stream: BufReader::with_capacity(CONTROL_PIECE_BYTES, stream) })
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Error::NotOurs { node, socket }),
            Err(_) => Err(Error::NotRunning { node, socket }),
        }
    }

    /// Exports the node's buckets, or backs them up. Passes the bytes of each page to `on_bytes`, piece by
    /// piece.
    pub(crate) fn receive_pages(
        mut self,
        content: Content,
        mut on_bytes: impl FnMut(PageHead, &[u8]) -> Result<(), Error>,
    ) -> Result<ExportScope, Error> {
        let request = match content {
            Content::Export { name } => Request::Export { export: ExportRequest { name } },
            Content::Backup => Request::Backup { backup: BackupRequest {} },
        };
        self.send(&request, &[])?;
        loop {
            match self.receive()? {
                Reply::Page(page) => {
                    let no_reply = self.no_reply();
                    let mut bytes = (&mut self.stream).take(page.bytes);
                    loop {
                        let piece = match bytes.fill_buf() {
                            Ok([]) => break,
                            Ok(piece) => piece,
                            Err(error) => return Err(no_reply(error)),
                        };
                        on_bytes(page, piece)?;
                        let length = piece.len();
                        bytes.consume(length);
                    }
                }
                Reply::Exported(scope) => return Ok(scope),
                reply => return Err(self.unexpected(reply)),
            }
        }
    }

    /// Imports whole lines.
    pub(crate) fn import(
        &mut self,
        lines: &[u8],
        target: ImportTarget,
        last: bool,
    ) -> Result<ImportCounts, Error> {
        let (replace, into_empty) = (target == ImportTarget::Replace, target == ImportTarget::Empty);
        let page = ImportPage { replace, into_empty, last, bytes: lines.len() as u64 };
        self.send(&Request::Import { import: page }, lines)?;
        match self.receive()? {
            Reply::Imported(counts) => Ok(counts),
            reply => Err(self.unexpected(reply)),
        }
    }

    fn evaluate(mut self, request: &Request) -> Result<Value, Error> {
        self.send(request, &[])?;
        match self.receive()? {
            Reply::Result(value) => Ok(value),
            reply => Err(self.unexpected(reply)),
        }
    }

    /// Sends a request and the lines that follow it.
    fn send(&mut self, request: &Request, lines: &[u8]) -> Result<(), Error> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from).map_err(self.no_reply())?;
        line.push(b'\n');
        let stream = self.stream.get_mut();
        stream.write_all(&line).and_then(|()| stream.write_all(lines)).map_err(self.no_reply())
    }

    fn receive(&mut self) -> Result<Reply, Error> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(CONTROL_REPLY_BYTES).read_until(b'\n', &mut line);
        let reply = read.and_then(|read| match read {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "it has ended, or closed the connection")),
            _ => Ok(serde_json::from_slice(&line)?),
        });
        reply.map_err(self.no_reply())
    }

    fn no_reply(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        let node = self.node.clone();
        move |error| Error::Control(format!("no reply from {node}: {error}"))
    }

    /// The error of a reply that is not what was asked for.
    fn unexpected(&self, reply: Reply) -> Error {
        match reply {
            Reply::Error(message) => Error::Refused(message),
            _ => Error::Control(format!("unexpected reply from {}: it runs another version", self.node)),
        }
    }
}

/// Evaluates one expression on the running node. Text is returned as a JSON string.
pub(crate) fn evaluate(run_dir: &RunDir, expression: &str, json: bool) -> Result<Value, Error> {
    let request = Request::Evaluate { expression: expression.to_owned(), json };
    ControlClient::connect(run_dir, CONTROL_TIMEOUT)?.evaluate(&request)
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
