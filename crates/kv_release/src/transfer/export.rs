//! `export` and `backup`: the running node's buckets as JSON lines, or as they are at one moment, in a file
//! or on standard output.

use super::{destination::write_to, session::contents};
use crate::{
    control::{
        client::{Content, ControlClient},
        message::PageHead,
        run_dir::RunDir,
    },
    error::Error,
    output::counted,
    records::pages::ExportCounts,
};
use std::path::Path;

/// Exports the node's buckets, or backs them up, and says what was written.
pub(crate) fn run(run_dir: &RunDir, content: Content, to: Option<&Path>) -> Result<(), Error> {
    let (verb, done) = match content {
        Content::Export { .. } => ("export", "exported"),
        Content::Backup => ("backup", "backed up"),
    };
    let (counts, scope) = write_to(to, |output, progress| {
        let mut written = ExportCounts::default();
        let on_bytes = |page: PageHead, bytes: &[u8]| {
            output.write_all(bytes).map_err(Error::io(format!("write the {verb}")))?;
            written = page.counts;
            let ExportCounts { buckets, entries, strings } = page.counts;
            let (names, total) = (buckets + strings, page.total);
            // There may be more of them by now.
            let percent = (names * 100 / total.max(1)).min(100);
            let (total, entries) = (counted(total, "name", "names"), counted(entries, "entry", "entries"));
            progress.update(format_args!("{percent} %, {names} of {total}, {entries}"));
            Ok(())
        };
        let scope = ControlClient::for_transfer(run_dir)?.receive_pages(content, on_bytes)?;
        Ok((written, scope))
    })?;
    let ExportCounts { buckets, entries, strings } = counts;
    eprintln!("{done} {}, of {}", contents(buckets, entries, strings), scope.node);
    if !scope.others.is_empty() {
        eprintln!("the buckets of {} are not included: run `{verb}` there as well", scope.others.join(", "));
    }
    for reason in &scope.stopped {
        eprintln!("the buckets of a range are not included: {reason}");
    }
    if scope.stopped.is_empty() { Ok(()) } else { Err(Error::Printed) }
}
