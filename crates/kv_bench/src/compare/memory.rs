//! Bytes per entry, seen from outside: the resident set before a fill and after it.

use super::{
    Compare,
    peer::{Program, knows},
    server::Server,
    table::thousands,
};
use crate::{
    cpu,
    error::Error,
    interrupt::Interrupt,
    load,
    workload::{Operation, Protocol, Workload},
};

const KEY_BYTES: usize = 11;
const VALUE_BYTES: usize = 16;

/// What fills the memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    OneHash,
    ManyHashes,
    Strings,
}

impl Shape {
    fn operation(self) -> Operation {
        if self == Shape::Strings { Operation::Set } else { Operation::Hset }
    }
}

/// Fills a fresh server per figure, so that none inherits another one's memory.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    println!("{KEY_BYTES}-byte keys, {VALUE_BYTES}-byte values; growth of the resident set per entry");
    let shapes = [
        (Shape::OneHash, compare.entries, "entries in one hash"),
        (Shape::ManyHashes, compare.buckets, "hashes of one entry"),
        (Shape::Strings, compare.buckets, "strings"),
    ];
    for (shape, count, what) in shapes {
        println!("\n{} {what}", thousands(count as f64));
        for program in Program::all(&compare.ours) {
            let protocol = program.protocols().iter().rev().find(|known| knows(**known, shape.operation()));
            let (Some(version), Some(protocol)) = (program.version(), protocol) else { continue };
            match grown(&program, *protocol, shape, count, interrupt) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => println!("  {version:<18} {error}"),
                Ok(bytes) => println!("  {version:<18} {:>7.1} bytes each", bytes as f64 / count as f64),
            }
        }
    }
    Ok(())
}

/// Bytes that a server grew by.
fn grown(
    program: &Program,
    protocol: Protocol,
    shape: Shape,
    count: u64,
    interrupt: &Interrupt,
) -> Result<u64, Error> {
    let server = Server::start(program, interrupt)?;
    let before = cpu::resident_bytes(server.pid())?;
    let workload = Workload {
        protocol,
        operation: shape.operation(),
        pipeline: 1,
        keys: count,
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        bucket: "bench".into(),
    };
    match shape {
        Shape::OneHash | Shape::Strings => load::fill(server.address, &workload, interrupt)?,
        Shape::ManyHashes => fill_hashes(&server, &workload, interrupt)?,
    }
    Ok(cpu::resident_bytes(server.pid())?.saturating_sub(before))
}

/// Every hash has a name as long as a key, and holds the same one entry.
fn fill_hashes(server: &Server, workload: &Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let asks_first = workload.protocol == Protocol::Text;
    let digits = KEY_BYTES - 1;
    let request = |number: u64, out: &mut Vec<u8>| {
        let bucket = format!("b{number:0digits$}");
        if asks_first {
            out.extend_from_slice(format!("CREATE {bucket}\r\n").as_bytes());
        }
        Workload { bucket, ..workload.clone() }.requests().write(0, out);
    };
    let created = if asks_first { "OK\r\n" } else { "" };
    load::write_all(
        server.address,
        workload.keys,
        &(created.to_owned() + &workload.reply()),
        request,
        interrupt,
    )
}
