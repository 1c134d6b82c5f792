//! Reads of a range. They are executed on its store, which has all that was ever acknowledged as long as this
//! replica leads: for that it has a lease, or else a majority confirms it.

use super::Range;
use crate::{
    error::RangeError,
    limits::READ_REPLY_BYTES,
    proposals::{
        confirmations::Confirmation,
        replies::{GroupReplies, Replies},
        ticket::Ticket,
    },
};
use kv::{Request, time::now_ms};
use std::{
    ops::ControlFlow::{Break, Continue},
    sync::atomic::Ordering::Acquire,
    time::Duration,
};

/// Why the leader of a range knows that no other one does, before it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadGuard {
    /// A majority has answered so recently that it elects no other one for this long. If that is zero, it is
    /// asked before the next read.
    Lease(Duration),
    /// It asks a majority for each read.
    Confirmed,
}

impl Range {
    /// Whether it serves requests now: it has all that was ever acknowledged.
    #[inline]
    pub fn may_read(&self) -> Result<(), RangeError> {
        let may = self.is_leader() || cfg!(kv_fault = "stale_read");
        if may { Ok(()) } else { Err(self.refusal()) }
    }

    /// Whether this node serves its requests.
    #[inline]
    pub fn is_leader(&self) -> bool {
        let has_lease = || self.lease.as_ref().is_none_or(|lease| lease.is_valid());
        self.is_ready.load(Acquire) && (has_lease() || cfg!(kv_fault = "read_without_lease"))
    }

    /// Whether this replica asks the others before it reads, whatever its lease.
    pub fn confirms_reads(&self) -> bool {
        self.confirms_reads
    }

    /// Whether reads are executed at once, on the caller's thread, without a [`Self::confirm`] before.
    #[inline]
    pub fn reads_at_once(&self) -> bool {
        !self.confirms_reads && self.is_leader()
    }

    /// Waits until reads may be executed that came before: a majority has answered this replica as its
    /// leader since, unless [`Self::reads_at_once`].
    pub fn confirm(&self) -> Confirmation {
        if self.reads_at_once() {
            return Confirmation::ready(Ok(()));
        }
        self.confirmations.ask().unwrap_or_else(|| Confirmation::ready(Err(self.refusal())))
    }

    /// Executes the first of these requests, which only read, when [`Self::confirm`] has been waited for:
    /// those whose replies have room together, and at least one.
    pub fn read_confirmed(&self, requests: &[Request<'_>]) -> Result<Replies, RangeError> {
        self.check_lead()?;
        self.check_requests(requests)?;
        let mut replies = GroupReplies::default();
        replies.begin_step();
        self.store.read(requests, self.clock(now_ms()), |reply| {
            replies.push(reply);
            if replies.bytes() < READ_REPLY_BYTES { Continue(()) } else { Break(()) }
        });
        Ok(replies.into_step())
    }

    /// Executes a transaction that only reads, when [`Self::confirm`] has been waited for.
    pub(super) fn read_transaction(&self, requests: &[Request<'_>]) -> Result<Ticket, RangeError> {
        self.check_lead()?;
        self.check_requests(requests)?;
        let mut replies = GroupReplies::default();
        replies.begin_step();
        let clock = self.clock(now_ms());
        let read = self.store.read_transaction(requests, clock, |reply| replies.push(reply));
        Ok(Ticket::ready(read.map_or_else(GroupReplies::refused, |()| replies)))
    }

    /// Fails if this replica leads no more, or another one has its vote.
    fn check_lead(&self) -> Result<(), RangeError> {
        let leads = self.is_ready.load(Acquire) && self.lease.as_ref().is_none_or(|lease| lease.has_begun());
        if leads { Ok(()) } else { Err(self.refusal()) }
    }

    /// How it reads, if it leads and there are other replicas.
    pub fn read_guard(&self) -> Option<ReadGuard> {
        let lease = self.lease.as_ref().filter(|_| self.is_ready.load(Acquire))?;
        Some(match self.confirms_reads {
            true => ReadGuard::Confirmed,
            false => ReadGuard::Lease(lease.left()),
        })
    }
}
