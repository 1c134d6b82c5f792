//! Writes many keys once, over one connection, in batches that the sockets of both ends hold.

use super::replies::Replies;
use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
    workload::{Operation, Protocol, Workload},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// Creates the bucket where the protocol asks for that, then writes all keys of the workload.
pub(crate) fn fill(address: SocketAddr, workload: &Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let writer = workload.with(workload.operation.writer());
    if writer.operation == Operation::Ping {
        return Ok(());
    }
    if writer.protocol == Protocol::Text {
        let create = format!("CREATE {}\r\n", writer.bucket);
        write_all(address, 1, "OK\r\n", |_, out| out.extend_from_slice(create.as_bytes()), interrupt)?;
    }
    let requests = writer.requests();
    write_all(address, writer.keys, &writer.reply(), |number, out| requests.write(number, out), interrupt)
}

/// Sends `count` requests; each one's reply must be `reply`.
pub(crate) fn write_all(
    address: SocketAddr,
    count: u64,
    reply: &str,
    request: impl Fn(u64, &mut Vec<u8>),
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut stream = connect(address)?;
    let mut requests = Vec::new();
    let mut number = 0;
    while number < count {
        let first = number;
        requests.clear();
        while number < count && number - first < limits::FILL_REQUESTS && requests.len() < limits::FILL_BYTES
        {
            request(number, &mut requests);
            number += 1;
        }
        stream.write_all(&requests).context("cannot send")?;
        receive(&mut stream, &Replies::of(reply, (number - first) as usize), interrupt)?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).context(format!("cannot connect to {address}"))?;
    let prepared = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(limits::SILENCE)));
    prepared.context("cannot prepare a socket")?;
    Ok(stream)
}

fn receive(stream: &mut TcpStream, replies: &Replies, interrupt: &Interrupt) -> Result<(), Error> {
    let mut buffer = [0; limits::READ_BYTES];
    let mut seen = 0;
    while seen < replies.len() {
        interrupt.check()?;
        let got = match stream.read(&mut buffer) {
            Ok(0) => return Err(Error::Closed),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.context("cannot receive the replies of a fill")?,
        };
        replies.check(seen, &buffer[..got])?;
        seen += got;
    }
    Ok(())
}
