//! Why a subscription to a bucket has ended, in the words of both protocols.

use kv::EndReason;

/// What happened to the bucket or the subscriber.
pub(super) fn describe(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Dropped => "the bucket was dropped",
        EndReason::Expired => "the bucket expired",
        EndReason::Crashed => "the bucket crashed",
        EndReason::Restarted => "the store restarted",
        EndReason::FellBehind => "this connection did not keep up with the changes",
        EndReason::NodeDown => "its node is down",
    }
}
