//! Repairs the data of a node that does not run.

use super::runtime;
use crate::{config::Settings, error::Error, output::print_line, transfer::owner::as_owner};
use kv_cluster::Membership;
use kv_raft::{Recoverable, SkippableEntry};
use std::{
    io::{self, Write, stdin, stdout},
    path::Path,
};

/// Leaves an entry out of the log of a durable range, if whoever asks for it agrees when the requests in it
/// are shown.
pub(crate) fn skip(settings: &Settings, range: &str, index: u64, is_agreed: bool) -> Result<(), Error> {
    let data_dir = data_dir(settings)?;
    as_owner(data_dir, || skip_in(data_dir, range, index, is_agreed))
}

fn data_dir(settings: &Settings) -> Result<&Path, Error> {
    let name = &settings.node.name;
    let missing = || Error::Refused(format!("{name} has no data_dir; name it with --data-dir or --config"));
    settings.node.data_dir.as_deref().ok_or_else(missing)
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
    if !is_agreed {
        print_line("These writes were acknowledged, and are lost for good if the entry is left out.");
        print_line("Do that only to an entry that the node names in an error, because it crashes the range.");
        check_agreement("Leave it out?")?;
    }
    entry.skip().map_err(refused)?;
    print_line("The entry is left out from now on. Start the node.");
    Ok(())
}

/// Makes this node's replica the only one of its range, if whoever asks for it agrees when it is shown what
/// may be lost.
pub(crate) fn recover(settings: &Settings, range: &str, is_agreed: bool) -> Result<(), Error> {
    let (data_dir, node) = (data_dir(settings)?, settings.node.name.as_str());
    check_is_replicated(settings, range)?;
    as_owner(data_dir, || {
        let refused = |error: kv_raft::OpenError| Error::Refused(error.to_string());
        let replica = Recoverable::find(data_dir, node, range).map_err(refused)?;
        let (last, acknowledged) = (replica.last_entry(), replica.acknowledged_entry());
        print_line(format_args!("This replica of {range} has the log up to entry {last}."));
        print_line("What others had after that is lost, although it may have been acknowledged.");
        if acknowledged < last {
            print_line(format_args!(
                "Entries after {acknowledged} may not have been acknowledged: they count as written from now on."
            ));
        }
        if !is_agreed {
            print_line("The other replicas must never run again with their old data: wipe them first.");
            check_agreement("Make this replica the only one?")?;
        }
        let kept = replica.recover(runtime::threads()).map_err(refused)?;
        print_line(format_args!("Done. What was there is kept in {}. Start the node.", kept.display()));
        Ok(())
    })
}

/// Has the node get its replica of a range from the others again.
pub(crate) fn rebuild(settings: &Settings, range: &str) -> Result<(), Error> {
    let data_dir = data_dir(settings)?;
    check_is_replicated(settings, range)?;
    as_owner(data_dir, || {
        let kept = kv_raft::set_aside(data_dir, range).map_err(|error| Error::Refused(error.to_string()))?;
        print_line(format_args!("What was there is kept in {}.", kept.display()));
        print_line("Start the node: it gets the range from the others. `ranges` shows when it has all.");
        Ok(())
    })
}

/// Fails if no other node has a replica of the range.
fn check_is_replicated(settings: &Settings, range: &str) -> Result<(), Error> {
    // Rows may have been split, or moved, since the configuration was written.
    let saved = Membership::load(settings.node.data_dir.as_deref());
    let saved = saved.map_err(|error| Error::DataDir(error.to_string()))?;
    let mut rows = settings.routes.spans().iter().filter(|row| row.is_replicated()).peekable();
    let is_meta = rows.peek().is_some() && range == "meta";
    match is_meta || saved.has_row(range) || rows.any(|row| row.buckets() == range) {
        true => Ok(()),
        false => Err(Error::Refused(format!(
            "range {range} has one replica, by [[routes]]: there is no other to get it from, and none that is missing"
        ))),
    }
}

/// Asks, and fails unless the answer is yes.
fn check_agreement(question: &str) -> Result<(), Error> {
    let ask = || -> io::Result<String> {
        print!("{question} [y/N] ");
        stdout().flush()?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        Ok(answer.trim().to_lowercase())
    };
    match ["y", "yes"].contains(&ask().map_err(Error::io("read the answer"))?.as_str()) {
        true => Ok(()),
        false => Err(Error::Refused("nothing was changed".into())),
    }
}
