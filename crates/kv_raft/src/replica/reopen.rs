//! Opens the log of a replica among others again when it has failed, as if the node had been restarted: what
//! is on disk is what the replica has promised, and the others have the rest.

use super::files::LOG;
use crate::{
    error::LastReason,
    limits::{RENEW_PAUSE, RENEW_PAUSE_LIMIT, STEADY_LOG},
    range::Range,
};
use rustix::fs::{Advice, fadvise};
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A log that has failed, perhaps again and again.
#[derive(Default)]
pub(super) struct Reopening {
    /// How long it was waited for last, and when that ended.
    last: Option<(Duration, Instant)>,
    reason: LastReason,
}

impl Reopening {
    /// Has the range load again, and waits until its log may be opened: longer each time, and as long as the
    /// disk is full. Returns `false` if the range was closed.
    pub(super) async fn wait(&mut self, range: &Range, reason: &str) -> bool {
        let last = self.last.filter(|(_, ended)| ended.elapsed() < STEADY_LOG);
        let pause = last.map_or(RENEW_PAUSE, |(pause, _)| (2 * pause).min(RENEW_PAUSE_LIMIT));
        if self.reason.replace(Some(reason.to_owned())) || last.is_none() {
            let span = &*range.span().text;
            tracing::error!(
                range = span,
                reason,
                "the log has failed; it is opened again when there is space"
            );
        }
        if !range.begin_loading() {
            return false;
        }
        range.wait_for_log(reason);
        range.store.restart();
        sleep(pause).await;
        while range.snapshots.disk.is_full() && !range.proposals.is_closed() {
            sleep(RENEW_PAUSE).await;
        }
        self.last = Some((pause, Instant::now()));
        !range.proposals.is_closed()
    }
}

/// Whether a log cannot be opened since the disk does not let it, which may change, and not because of what
/// is in its place or in it.
pub(super) fn is_of_disk(error: &io::Error) -> bool {
    use ErrorKind::{
        AlreadyExists, InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied, UnexpectedEof,
        WouldBlock,
    };
    !matches!(
        error.kind(),
        InvalidData
            | UnexpectedEof
            | NotFound
            | IsADirectory
            | NotADirectory
            | AlreadyExists
            | PermissionDenied
            | WouldBlock
    )
}

/// Has the files of a log read from the disk again. What a sync could not bring there is in the memory of the
/// system, which takes it for written.
pub(super) fn forget_cached(directory: &Path) -> io::Result<()> {
    for file in fs::read_dir(directory.join(LOG))? {
        fadvise(File::open(file?.path())?, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
