//! How long others wait while a server is backed up beside writes to what the backup has not read yet.

use super::{
    attacks::hash,
    client::{Client, command},
    pinger::{Pingers, Waits},
};
use crate::{
    compare::{Program, Server},
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
};
use std::{
    process::{Command, Stdio},
    thread,
};

/// The names of the case, of a volatile and of a durable server.
pub(super) const NAME: &str = "backup beside writes";
pub(super) const DURABLE: &str = "durable backup beside writes";

/// Fields of the hash that is backed up.
const FIELDS: usize = 1_000_000;
/// Fields that are written meanwhile, all over the hash.
const WRITES: usize = 300_000;

/// The waits of others.
pub(super) fn measure(program: &Program, interrupt: &Interrupt) -> Result<Waits, Error> {
    let server = Server::start(program, interrupt)?;
    let mut writer = Client::connect(server.address)?;
    writer.exchange(hash(FIELDS))?;
    let pingers = Pingers::start(server.address)?;
    thread::sleep(limits::STALL_MARGIN);
    let path = program.path()?;
    let mut backup = Command::new(&path)
        .args(["backup", "-", "--run-dir"])
        .arg(server.directory())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context(format!("cannot start {}", path.display()))?;
    writer.exchange(writes())?;
    let status = backup.wait().context("cannot wait for the backup")?;
    thread::sleep(limits::STALL_MARGIN);
    let waits = pingers.stop()?;
    if status.success() { Ok(waits) } else { Err(Error::NoBackup(status)) }
}

fn writes() -> Vec<u8> {
    let fields = (0..WRITES).map(|number| (number * 7_919 % FIELDS).to_string());
    fields.flat_map(|field| command(&[b"HSET", b"h", field.as_bytes(), b"changed"])).collect()
}
