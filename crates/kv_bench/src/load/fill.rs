//! Writes every key once, over one connection, in batches that both sockets can hold.

use super::replies::Replies;
use crate::{
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
    workload::{Operation, Protocol, Workload},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// Creates the bucket where the protocol asks for that, then writes all keys of the workload.
pub(crate) fn fill(address: SocketAddr, workload: &Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let writer = workload.with(workload.operation.writer());
    if writer.operation == Operation::Ping {
        return Ok(());
    }
    let mut stream = connect(address)?;
    if writer.protocol == Protocol::Text {
        let request = format!("CREATE {}\r\n", writer.bucket);
        exchange(&mut stream, request.as_bytes(), &Replies::to(&writer, 1))?;
    }
    let batch = (limits::FILL_BYTES / writer.request_bytes()).clamp(1, limits::FILL_REQUESTS as usize) as u64;
    let full = Replies::to(&writer, batch as usize);
    let mut requests = Vec::new();
    for first in (0..writer.keys).step_by(batch as usize) {
        interrupt.check()?;
        let end = writer.keys.min(first + batch);
        requests.clear();
        (first..end).for_each(|number| writer.request(number, &mut requests));
        if end - first == batch {
            exchange(&mut stream, &requests, &full)?;
        } else {
            exchange(&mut stream, &requests, &Replies::to(&writer, (end - first) as usize))?;
        }
    }
    Ok(())
}

fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).context(format!("cannot connect to {address}"))?;
    let prepared = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(limits::SILENCE)));
    prepared.context("cannot prepare a socket")?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, requests: &[u8], replies: &Replies) -> Result<(), Error> {
    stream.write_all(requests).context("cannot send")?;
    let mut buffer = [0; 4096];
    let mut seen = 0;
    while seen < replies.len() {
        let got = stream.read(&mut buffer).context("cannot receive the replies of a fill")?;
        if got == 0 {
            return Err(Error::Closed);
        }
        replies.check(seen, &buffer[..got])?;
        seen += got;
    }
    Ok(())
}
