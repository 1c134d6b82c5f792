//! `export`: the running node's buckets as JSON lines, in a file or on standard output.

use super::{destination::write_to, session::contents};
use crate::{
    control::{client::ControlClient, message::PageHead, run_dir::RunDir},
    error::Error,
    output::counted,
    records::export::ExportCounts,
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// Exports the node's buckets, or those of one name, and says what it has exported.
pub(crate) fn run(run_dir: &RunDir, name: Option<&OsStr>, to: Option<&Path>) -> Result<(), Error> {
    let name = name.map(|name| name.as_bytes().to_vec());
    let (counts, scope) = write_to(to, |output, progress| {
        let mut exported = ExportCounts::default();
        let on_lines = |page: PageHead, lines: &[u8]| {
            output.write_all(lines).map_err(Error::io("write the export"))?;
            exported = page.counts;
            let ExportCounts { buckets, entries, strings } = page.counts;
            let (total, entries) =
                (counted(page.total, "name", "names"), counted(entries, "entry", "entries"));
            progress.update(format_args!("{} of {total}, {entries}", buckets + strings));
            Ok(())
        };
        let scope = ControlClient::for_transfer(run_dir)?.export(name, on_lines)?;
        Ok((exported, scope))
    })?;
    let ExportCounts { buckets, entries, strings } = counts;
    eprintln!("exported {}, of {}", contents(buckets, entries, strings), scope.node);
    if !scope.others.is_empty() {
        eprintln!("the buckets of {} are not included: run `export` there as well", scope.others.join(", "));
    }
    for reason in &scope.stopped {
        eprintln!("the buckets of a range are not included: {reason}");
    }
    if scope.stopped.is_empty() { Ok(()) } else { Err(Error::Printed) }
}
