//! Repairs the data of a node that does not run.

use crate::{config::Settings, error::Error, output::print_line, transfer::owner::as_owner};
use kv_raft::SkippableEntry;
use std::{
    io::{Write, stdin, stdout},
    path::Path,
};

/// Leaves an entry out of the log of a durable range, if whoever asks for it agrees when the requests in it
/// are shown.
pub(crate) fn skip(settings: &Settings, range: &str, index: u64, is_agreed: bool) -> Result<(), Error> {
    let Some(data_dir) = &settings.node.data_dir else {
        let name = &settings.node.name;
        return Err(Error::Refused(format!("{name} has no data_dir; name it with --data-dir or --config")));
    };
    as_owner(data_dir, || skip_in(data_dir, range, index, is_agreed))
}

fn skip_in(data_dir: &Path, range: &str, index: u64, is_agreed: bool) -> Result<(), Error> {
    let refused = |error: kv_raft::OpenError| Error::Refused(error.to_string());
    let entry = SkippableEntry::find(data_dir, range, index).map_err(refused)?;
    print_line(format_args!("entry {index} of range {range}:"));
    for request in entry.requests() {
        print_line(format_args!("  {request}"));
    }
    if entry.hidden() > 0 {
        print_line(format_args!("  and {} more requests", entry.hidden()));
    }
    if !is_agreed && !agrees().map_err(Error::io("read the answer"))? {
        return Err(Error::Refused("nothing was changed".into()));
    }
    entry.skip().map_err(refused)?;
    print_line("The entry is left out from now on. Start the node.");
    Ok(())
}

/// Asks, and reads a line.
fn agrees() -> std::io::Result<bool> {
    print_line("These writes were acknowledged, and are lost for good if the entry is left out.");
    print_line("Do that only to an entry that the node names in an error, because it crashes the range.");
    print!("Leave it out? [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
