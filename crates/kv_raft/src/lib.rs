//! Ranges of buckets with a log: what is acknowledged is on disk.
//!
//! [`Ranges`] are all durable ranges of a node; a [`Range`] executes reads on its store at once, and answers
//! what writes with a [`Ticket`], which is ready when the log is on disk and executed.

// A write passes through the modules in this order:
//
// 1. `range`: what users see of a range.
// 2. `proposals`: what waits becomes one group; `group` is its bytes.
// 3. `replica`: proposes one group after the other; it also loads the log, and begins again after a crash.
// 4. `consensus` orders the entries, `log` keeps them on disk.
// 5. `machine` executes them on the store; `proposals` hands the replies to those who wait.

mod consensus;
mod disk;
mod error;
mod group;
mod identity;
mod limits;
mod log;
mod machine;
mod proposals;
mod range;
mod ranges;
mod replica;
pub mod snapshot;

pub use consensus::transport::{ReplicaStatus, SendFrame};
pub use disk::format_bytes;
pub use error::{OpenError, RangeError};
pub use group::encode::is_immediate;
pub use identity::{Placement, ReplicaSpan, Span};
pub use limits::LOG_CACHE_LEAST;
pub use log::{Fsync, LogOptions, LogStats};
pub use proposals::{
    confirmations::Confirmation,
    replies::{ProposalOutcome, RangeReply, Replies},
    ticket::Ticket,
    wakes,
};
pub use range::{
    Range, is_large,
    leader::Leader,
    only_reads,
    reads::ReadGuard,
    state::{LoadStatus, RangeState, RangeStatus},
};
pub use ranges::{
    Ranges, RangesSettings,
    recover::{Recoverable, set_aside},
    restore::Restore,
    skip::SkippableEntry,
};
