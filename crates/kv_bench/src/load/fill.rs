//! Writes all keys once, over one connection, in batches that fit the socket buffers.

use super::{Plan, replies::Replies, ring::Ring, run::run_ring};
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

/// Creates the bucket if the protocol requires it, then writes all keys of the workload.
pub(crate) fn fill(address: SocketAddr, workload: &Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let writer = workload.with(workload.operation.writer());
    if writer.operation == Operation::Ping {
        return Ok(());
    }
    if writer.protocol == Protocol::Text {
        let create = format!("CREATE {}\r\n", writer.bucket);
        write_all(address, 1, "OK\r\n", |_, out| out.extend_from_slice(create.as_bytes()), interrupt)?;
    }
    if writer.protocol == Protocol::Etcd {
        return fill_etcd(address, writer, interrupt);
    }
    let requests = writer.requests();
    write_all(address, writer.keys, &writer.reply(), |index, out| requests.write(index, out), interrupt)
}

/// etcd syncs what many connections send together.
fn fill_etcd(address: SocketAddr, writer: Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let workload = Workload { pipeline: limits::ETCD_FILL_PIPELINE, ..writer };
    let plan = Plan {
        address,
        connections: limits::ETCD_FILL_CONNECTIONS,
        requests: Some(workload.keys),
        seconds: None,
        rate: None,
        server_pids: Vec::new(),
        workload,
    };
    run_ring(&plan, Ring::of_all_keys(&plan.workload), interrupt).map(drop)
}

/// Sends `count` requests, each of which must be answered with `reply`.
pub(crate) fn write_all(
    address: SocketAddr,
    count: u64,
    reply: &str,
    request: impl Fn(u64, &mut Vec<u8>),
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut stream = connect(address)?;
    let mut requests = Vec::new();
    let mut index = 0;
    while index < count {
        let first = index;
        requests.clear();
        while index < count && index - first < limits::FILL_REQUESTS && requests.len() < limits::FILL_BYTES {
            request(index, &mut requests);
            index += 1;
        }
        stream.write_all(&requests).context("cannot send")?;
        receive(&mut stream, &Replies::repeated(reply, (index - first) as usize), interrupt)?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).context(format!("cannot connect to {address}"))?;
    let prepared =
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(limits::REPLY_TIMEOUT)));
    prepared.context("cannot configure a socket")?;
    Ok(stream)
}

fn receive(stream: &mut TcpStream, replies: &Replies, interrupt: &Interrupt) -> Result<(), Error> {
    let mut buffer = [0; limits::READ_BYTES];
    let mut received = 0;
    while received < replies.len() {
        interrupt.check()?;
        let got = match stream.read(&mut buffer) {
            Ok(0) => return Err(Error::Closed),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.context("cannot receive the replies of a fill")?,
        };
        replies.check(received, &buffer[..got])?;
        received += got;
    }
    Ok(())
}
