//! Bytes per entry, seen from outside: the resident set before a fill and after it.

use super::{
    Compare,
    peer::{Program, Server, knows},
    table::thousands,
};
use crate::{
    cpu,
    error::Error,
    interrupt::Interrupt,
    load,
    workload::{Operation, Protocol, Workload},
};

/// What fills the memory: keys of 11 bytes, values of 16.
#[derive(Debug, Clone, Copy)]
enum Shape {
    OneHash,
    ManyHashes,
    Strings,
}

const KEY_BYTES: usize = 11;
const VALUE_BYTES: usize = 16;

/// Fills a fresh server per figure, so that none inherits another one's memory.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    println!("{KEY_BYTES}-byte keys, {VALUE_BYTES}-byte values; growth of the resident set per entry");
    for shape in [Shape::OneHash, Shape::ManyHashes, Shape::Strings] {
        let (count, what) = match shape {
            Shape::OneHash => (compare.entries, "entries in one hash"),
            Shape::ManyHashes => (compare.buckets, "hashes of one entry"),
            Shape::Strings => (compare.buckets, "strings"),
        };
        println!("\n{} {what}", thousands(count as f64));
        for program in Program::all(&compare.ours) {
            let Some(version) = program.version() else { continue };
            match grown(&program, shape, count, interrupt) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => println!("  {version:<20} {error}"),
                Ok(bytes) => println!("  {version:<20} {:>7.1} bytes each", bytes as f64 / count as f64),
            }
        }
    }
    Ok(())
}

/// Bytes that the server grew by. Ours is asked in text where text can, so that both protocols may come and go.
fn grown(program: &Program, shape: Shape, count: u64, interrupt: &Interrupt) -> Result<u64, Error> {
    let operation = if matches!(shape, Shape::Strings) { Operation::Set } else { Operation::Hset };
    let protocols = program.protocols();
    let Some(protocol) = protocols.iter().rev().find(|protocol| knows(**protocol, operation)) else {
        return Err(Error::Unknown);
    };
    let server = Server::start(program, interrupt)?;
    let before = cpu::resident_bytes(server.pid())?;
    fill(&server, *protocol, shape, count, interrupt)?;
    Ok(cpu::resident_bytes(server.pid())?.saturating_sub(before))
}

fn fill(
    server: &Server,
    protocol: Protocol,
    shape: Shape,
    count: u64,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let operation = if matches!(shape, Shape::Strings) { Operation::Set } else { Operation::Hset };
    let workload = Workload {
        protocol,
        operation,
        pipeline: 1,
        keys: count,
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        bucket: "bench".into(),
    };
    if !matches!(shape, Shape::ManyHashes) {
        return load::fill(server.address, &workload, interrupt);
    }
    // Every bucket has a name as long as a key, and holds the same one entry.
    let named = |number: u64| Workload { bucket: format!("b{number:010}"), ..workload.clone() };
    let request = |number: u64, out: &mut Vec<u8>| {
        let workload = named(number);
        if protocol == Protocol::Text {
            out.extend_from_slice(format!("CREATE {}\r\n", workload.bucket).as_bytes());
        }
        workload.requests().write(0, out);
    };
    let created = if protocol == Protocol::Text { "OK\r\n" } else { "" };
    load::write_all(server.address, count, &(created.to_owned() + &workload.reply()), request, interrupt)
}
