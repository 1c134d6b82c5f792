//! Executes what the log of a range has ordered. The same entries leave the same contents in every store,
//! whatever its seed and number of shards, and its node's clock, memory and threads.
//!
//! Time and limits come from the entry. Memory is judged before a request is proposed, not here. A panic that
//! would end a bucket of a volatile store, and memory that cannot be had, halt the store: it has to be
//! rebuilt from a snapshot and the log.

use super::{Store, batch::Terms};
use crate::{
    database::FullName,
    error::CommandError,
    memory::{budget::Budget, large::LargeValue},
    reply::Reply,
    request::Request,
    store::{cost::TransactionLimits, prepare::TransactionPreparation},
    time::Clock,
};
use foldhash::{SharedSeed, fast::SeedableRandomState};
use std::ops::ControlFlow;

/// What an entry of the log says about its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTerms {
    /// When they are executed, in milliseconds since 1970; never less than that of an entry before it.
    pub stamp_ms: u64,
    /// What a transaction, or a command on several buckets, may touch.
    pub limits: TransactionLimits,
}

/// The store did not execute all of an entry, and executes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has halted")]
pub enum Halted {
    /// A panic.
    Crashed,
    /// Memory could not be had.
    OutOfMemory,
}

impl Store {
    /// An empty store for a range with a log, with a seed that clients must not know, and a number of shards
    /// for each database, a power of two. Other replicas have others.
    pub fn for_range(seed: u64, shards: usize) -> Store {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Store::with_shards(shards, hasher, true)
    }

    /// Executes the requests of an entry in order, and passes each reply to `on_reply`.
    pub fn apply(
        &self,
        batch: &[Request<'_>],
        entry: EntryTerms,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> Result<(), Halted> {
        let (mut halted, budget) = (Ok(()), Budget::default());
        let on_reply = |reply: Reply<'_>| {
            halted = check(&reply);
            on_reply(reply);
            if halted.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        match batch {
            [request] if LargeValue::holds(request.op.payload_bytes()) => {
                self.apply_large(request, entry.terms(&budget), on_reply);
            }
            _ => drop(self.execute_on(batch, entry.terms(&budget), on_reply)),
        }
        halted
    }

    /// Executes a request whose large arguments are copied before its shard is locked, so that reads go on
    /// meanwhile.
    fn apply_large(
        &self,
        request: &Request<'_>,
        terms: Terms<'_>,
        on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) {
        let string_len = || self.string_len(request, terms.clock.now_ms);
        let mut preparation = self.prepare_unrefused(request, string_len);
        // Without memory for a copy, it turns out when the request is executed whether it needs one.
        while let Ok(true) = preparation.step() {}
        self.execute_prepared_on(request, preparation, terms, on_reply);
    }

    /// Executes the requests of an entry as one step, as [`Self::transact`] does.
    pub fn apply_transaction(
        &self,
        watched: &[(FullName<'_>, u64)],
        batch: &[Request<'_>],
        entry: EntryTerms,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> Result<Result<bool, CommandError>, Halted> {
        let (mut halted, budget) = (Ok(()), Budget::default());
        let mut preparation = self.prepare_transaction_within(entry.limits, batch, entry.stamp_ms);
        // As in `apply_large`.
        while let Ok(true) = preparation.step() {}
        let executed = self.transact_on(watched, batch, preparation, entry.terms(&budget), |reply| {
            halted = halted.and(check(&reply));
            on_reply(reply);
        });
        if self.crash_reports.is_restarting() { Err(Halted::Crashed) } else { halted.map(|()| executed) }
    }

    /// Waits until the store has halted: it executes nothing more until [`Self::restart`].
    pub async fn wait_for_halt(&self) {
        self.crash_reports.wait_for_any().await;
    }

    /// Executes requests that change nothing, without an entry, in order. `clock.removal_ms` is the stamp of
    /// the last entry. Stops when `on_reply` returns `Break`. Returns how many requests were executed.
    pub fn read(
        &self,
        batch: &[Request<'_>],
        clock: Clock,
        on_reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.execute_on(batch, Terms { clock, budget: &self.budget, limits: None }, on_reply)
    }

    /// Executes requests that change nothing as one step, as [`Self::read`] does, unless they may touch more
    /// than a transaction may.
    pub fn read_transaction(
        &self,
        batch: &[Request<'_>],
        clock: Clock,
        on_reply: impl FnMut(Reply<'_>),
    ) -> Result<(), CommandError> {
        let terms = Terms { clock, budget: &self.budget, limits: None };
        self.transact_on(&[], batch, TransactionPreparation::default(), terms, on_reply).map(drop)
    }
}

impl EntryTerms {
    fn terms(self, budget: &Budget) -> Terms<'_> {
        Terms { clock: Clock::at(self.stamp_ms), budget, limits: Some(self.limits) }
    }
}

/// Whether a request was executed. Without a budget, memory is short only if an arena is full.
fn check(reply: &Reply<'_>) -> Result<(), Halted> {
    match reply {
        Reply::Restarting => Err(Halted::Crashed),
        Reply::Error(CommandError::OutOfMemory) => Err(Halted::OutOfMemory),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
