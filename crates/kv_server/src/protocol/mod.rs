//! The two protocols that clients speak; the session of each implements [`crate::pipeline::Protocol`].

mod bucket_subscriptions;
mod lines;
pub(crate) mod resp;
pub(crate) mod text;

use kv::EndReason;

/// Why a subscription to a bucket has ended.
fn describe_end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Dropped => "the bucket was dropped",
        EndReason::Expired => "the bucket expired",
        EndReason::Crashed => "the bucket crashed",
        EndReason::Restarted => "the store restarted",
        EndReason::FellBehind => "this connection did not keep up with the changes",
        EndReason::NodeDown => "its node is down",
    }
}

#[cfg(test)]
mod tests;
