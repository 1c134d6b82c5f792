//! `backup`: all buckets of the running node, as they are at one moment, in a file or on standard output.

use super::{destination::write_to, session::contents};
use crate::{
    control::{client::ControlClient, message::PageHead, run_dir::RunDir},
    error::Error,
    output::counted,
    records::export::ExportCounts,
};
use std::path::Path;

/// Backs the node up, and says what the backup has.
pub(crate) fn run(run_dir: &RunDir, to: &Path) -> Result<(), Error> {
    let (counts, scope) = write_to(Some(to), |output, progress| {
        let mut written = ExportCounts::default();
        let on_bytes = |page: PageHead, bytes: &[u8]| {
            output.write_all(bytes).map_err(Error::io("write the backup"))?;
            written = page.counts;
            let ExportCounts { buckets, entries, strings } = page.counts;
            let (done, total) = (buckets + strings, page.total);
            let percent = done * 100 / total.max(1);
            let (total, entries) = (counted(total, "name", "names"), counted(entries, "entry", "entries"));
            progress.update(format_args!("{percent} %, {done} of {total}, {entries}"));
            Ok(())
        };
        let scope = ControlClient::for_transfer(run_dir)?.back_up(on_bytes)?;
        Ok((written, scope))
    })?;
    let ExportCounts { buckets, entries, strings } = counts;
    eprintln!("backed up {}, of {}", contents(buckets, entries, strings), scope.node);
    if !scope.others.is_empty() {
        eprintln!("the buckets of {} are not included: run `backup` there as well", scope.others.join(", "));
    }
    Ok(())
}
