//! Bytes per entry: the growth of the resident set during a fill.

use super::{
    Compare,
    peer::{Program, supports},
    server::Server,
    table::with_thousands,
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

/// What a server is filled with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FillPattern {
    OneHash,
    ManyHashes,
    Strings,
}

impl FillPattern {
    fn operation(self) -> Operation {
        if self == FillPattern::Strings { Operation::Set } else { Operation::Hset }
    }
}

/// Fills a new server for each result, so that none starts with memory of another.
pub(crate) fn run(compare: &Compare, interrupt: &Interrupt) -> Result<(), Error> {
    println!("{KEY_BYTES}-byte keys, {VALUE_BYTES}-byte values; growth of the resident set per entry");
    let patterns = [
        (FillPattern::OneHash, compare.entries, "entries in one hash"),
        (FillPattern::ManyHashes, compare.buckets, "hashes of one entry"),
        (FillPattern::Strings, compare.buckets, "strings"),
    ];
    for (pattern, count, what) in patterns {
        println!("\n{} {what}", with_thousands(count as f64));
        for program in Program::all(compare) {
            let protocol =
                program.protocols().iter().rev().find(|known| supports(**known, pattern.operation()));
            let (Some(version), Some(protocol)) = (program.version(), protocol) else { continue };
            match rss_growth(&program, *protocol, pattern, count, interrupt) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => println!("  {version:<18} {error}"),
                Ok(bytes) => println!("  {version:<18} {:>7.1} bytes each", bytes as f64 / count as f64),
            }
        }
    }
    Ok(())
}

/// Bytes by which the resident set of a server grows.
fn rss_growth(
    program: &Program,
    protocol: Protocol,
    pattern: FillPattern,
    count: u64,
    interrupt: &Interrupt,
) -> Result<u64, Error> {
    let server = Server::start(program, interrupt)?;
    let before = cpu::resident_bytes(server.pid())?;
    let workload = Workload {
        protocol,
        operation: pattern.operation(),
        pipeline: 1,
        keys: count,
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        bucket: "bench".into(),
    };
    match pattern {
        FillPattern::OneHash | FillPattern::Strings => load::fill(server.address, &workload, interrupt)?,
        FillPattern::ManyHashes => fill_hashes(&server, &workload, interrupt)?,
    }
    Ok(cpu::resident_bytes(server.pid())?.saturating_sub(before))
}

/// Every hash has a name as long as a key, and one entry.
fn fill_hashes(server: &Server, workload: &Workload, interrupt: &Interrupt) -> Result<(), Error> {
    let needs_create = workload.protocol == Protocol::Text;
    let digits = KEY_BYTES - 1;
    let request = |index: u64, out: &mut Vec<u8>| {
        let bucket = format!("b{index:0digits$}");
        if needs_create {
            out.extend_from_slice(format!("CREATE {bucket}\r\n").as_bytes());
        }
        Workload { bucket, ..workload.clone() }.requests().write(0, out);
    };
    let created = if needs_create { "OK\r\n" } else { "" };
    load::write_all(
        server.address,
        workload.keys,
        &(created.to_owned() + &workload.reply()),
        request,
        interrupt,
    )
}
