//! The durable ranges of this node: whether a bucket is in one of them or volatile, and what all of them do
//! together.

use super::LocalNode;
use crate::{
    error::{Error, RangeFailure, RangeFailureKind},
    node_name::NodeName,
    routing::table::Destination,
};
use kv::{Database, Reply, Request};
use kv_raft::{Range, RangeError, RangeState, Ranges, Ticket};
use otp::{ChildSpec, PassiveChildren, Shutdown, Strategy, Supervisor, Tree};
use std::{ops::ControlFlow, path::PathBuf, ptr, sync::Arc, thread, time::Duration};

/// Where this node has a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In its volatile store.
    Volatile,
    /// In a durable range.
    Range(&'a Range),
}

impl<'a> Place<'a> {
    /// Whether both are the same.
    pub(crate) fn is_same(&self, other: &Place<'_>) -> bool {
        match (self, other) {
            (Place::Volatile, Place::Volatile) => true,
            (Place::Range(one), Place::Range(other)) => ptr::eq(*one, *other),
            _ => false,
        }
    }

    /// Its names, as errors call them.
    pub(crate) fn text(&self) -> &'a str {
        match self {
            Place::Volatile => VOLATILE,
            Place::Range(range) => &range.span().text,
        }
    }

    /// The error of a command that names buckets of both.
    pub(crate) fn several(&self, other: &Place<'_>) -> Error {
        Error::SeveralRanges { one: self.text().into(), other: other.text().into() }
    }
}

/// Some of the buckets that this node has.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All, also those of replicas that other nodes lead.
    All,
    /// Those that it owns alone.
    Own,
    /// Those of a range with replicas.
    Replica(&'a Range),
}

/// The end of all buckets, in durable ranges, in flight.
#[derive(Debug)]
pub(crate) struct Flushing {
    /// With the names of the ranges.
    tickets: Vec<(Arc<str>, Result<Ticket, RangeError>)>,
    /// Whether volatile buckets have ended.
    has_volatile: bool,
}

impl Flushing {
    /// Whether there is nothing to wait for.
    pub(crate) fn is_done(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Waits until it is on disk and executed in all ranges.
    pub(crate) async fn done(self) -> Result<(), RangeFailure> {
        let (mut flushed, mut failed) = (Vec::new(), Vec::new());
        if self.has_volatile {
            flushed.push(VOLATILE.into());
        }
        for (range, ticket) in self.tickets {
            let ended = match ticket {
                Ok(ticket) => ticket.await.map(drop),
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => flushed.push(range),
                Err(error) => failed.push(error),
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(not_flushed(&flushed, failed)),
        }
    }
}

/// The failure of a flush: that of the first range if nothing was done, and else one that says what was.
fn not_flushed(flushed: &[Arc<str>], mut failed: Vec<RangeError>) -> RangeFailure {
    let is_unknown = failed.iter().any(|error| matches!(error, RangeError::Unknown { .. }));
    if !is_unknown && flushed.is_empty() {
        return failed.swap_remove(0).into();
    }
    let failed: Vec<_> = failed.iter().map(RangeError::to_string).collect();
    let flushed = if flushed.is_empty() { "nothing".into() } else { flushed.join(", ") };
    let message = format!("not all ranges were flushed: {}; flushed: {flushed}", failed.join("; "));
    RangeFailure::new(RangeFailureKind::Unknown, message)
}

/// The volatile store, as errors call it.
const VOLATILE: &str = "the volatile buckets";

impl LocalNode {
    /// The durable ranges, in the order of their names.
    pub fn ranges(&self) -> Vec<&Arc<Range>> {
        let replicas = self.replicated.rows.iter().filter_map(|(_, row)| row.placed().here.as_ref());
        let mut ranges: Vec<_> = self.ranges_alone.iter().chain(replicas).collect();
        ranges.sort_by(|one, other| one.span().start.cmp(&other.span().start));
        ranges
    }

    /// The durable range of this index among those of which this node has the only copy.
    #[inline]
    pub(crate) fn range_alone(&self, index: usize) -> &Range {
        &self.ranges_alone[index]
    }

    /// The durable ranges of a scope.
    pub(super) fn ranges_in<'l>(&'l self, scope: Scope<'l>) -> Vec<&'l Range> {
        match scope {
            Scope::All => self.ranges().into_iter().map(|range| &**range).collect(),
            Scope::Own => self.ranges_alone.iter().map(|range| &**range).collect(),
            Scope::Replica(range) => vec![range],
        }
    }

    /// What this node owns alone, or the range with replicas that begins with this name.
    pub(crate) fn scope(&self, range: Option<&[u8]>) -> Result<Scope<'_>, RangeFailure> {
        let Some(first_name) = range else { return Ok(Scope::Own) };
        match self.replicated.find(first_name).and_then(|row| row.here()) {
            Some(range) => Ok(Scope::Replica(range)),
            None => {
                let message = "this node has no replica of the range";
                Err(RangeFailure::new(RangeFailureKind::NoLeader, message))
            }
        }
    }

    /// The same, if it may be read here.
    pub(crate) fn served_scope(&self, range: Option<&[u8]>) -> Result<Scope<'_>, RangeFailure> {
        let scope = self.scope(range)?;
        self.check_scope(scope)?;
        Ok(scope)
    }

    /// Takes what a replica of another node says to that of this one.
    pub(crate) fn receive_of_replica(&self, node: &NodeName, frame: &[u8]) {
        if let Some(ranges) = &self.ranges {
            ranges.receive(node.as_str(), frame.to_vec());
        }
    }

    /// Directories with the data of ranges that this node does not have. They are kept.
    pub fn left_over_ranges(&self) -> &[PathBuf] {
        self.ranges.as_ref().map_or(&[], Ranges::left_over)
    }

    /// Executes requests that only read a durable range at once, in order, and passes each reply to `reply`,
    /// which may break off. Returns how many were executed, or why the range cannot be read.
    #[inline]
    pub fn read(
        &self,
        range: &Range,
        batch: &[Request<'_>],
        now_ms: u64,
        reply: impl FnMut(Reply<'_>) -> ControlFlow<()>,
    ) -> Result<usize, RangeFailure> {
        range.may_read()?;
        range.check_requests(batch)?;
        Ok(range.store().read(batch, range.clock(now_ms), reply))
    }

    /// Where this node has the bucket; `None` if it does not own it.
    pub(crate) fn place(&self, bucket: &[u8]) -> Option<Place<'_>> {
        self.place_of_destination(self.table.look_up(bucket))
    }

    /// Where this node has the bucket by its own routes, whatever its peers say.
    pub(crate) fn configured_place(&self, bucket: &[u8]) -> Option<Place<'_>> {
        self.place_of_destination(self.table.configured(bucket))
    }

    fn place_of_destination(&self, destination: Destination) -> Option<Place<'_>> {
        match destination {
            Destination::Local => Some(Place::Volatile),
            Destination::Range(index) => Some(Place::Range(self.range_alone(index))),
            Destination::Replicated(row) => self.replicated.rows[row].here().map(Place::Range),
            Destination::Peer(_) | Destination::Nowhere | Destination::Disputed(_) => None,
        }
    }

    /// The one place of all these buckets; `None` if this node does not own them all. The volatile store if
    /// there are none.
    pub(crate) fn common_place<'n>(
        &self,
        names: impl IntoIterator<Item = &'n [u8]>,
    ) -> Option<Result<Place<'_>, RangeFailure>> {
        let mut common: Option<Place<'_>> = None;
        let mut several = None;
        for name in names {
            let place = self.place(name)?;
            let first = *common.get_or_insert(place);
            if !first.is_same(&place) {
                several.get_or_insert_with(|| first.several(&place));
            }
        }
        Some(match several {
            None => Ok(common.unwrap_or(Place::Volatile)),
            Some(error) => Err(RangeFailure::new(RangeFailureKind::Several, error.to_string())),
        })
    }

    /// The one place of all buckets that the request names; see [`Self::common_place`].
    pub(crate) fn place_of(&self, request: &Request<'_>) -> Option<Result<Place<'_>, RangeFailure>> {
        match request.spans_buckets() {
            true => self.common_place(request.names()),
            false => self.place(request.bucket).map(Ok),
        }
    }

    /// Ends the watches that came over a link.
    pub(crate) fn unwatch_link(&self, link: u64) {
        self.store.unwatch_link(link);
        // A range that refuses this ends all watches when it accepts requests again.
        self.ranges().iter().for_each(|range| drop(range.end_watches(link)));
    }

    /// Ends all buckets of a database, or of all of them, unless a range refuses that now: then nothing is
    /// done. The memory of volatile ones is freed in the background.
    pub(crate) fn flush(
        &self,
        scope: Scope<'_>,
        database: Option<Database>,
    ) -> Result<Flushing, RangeFailure> {
        self.check_scope(scope)?;
        self.ranges_in(scope).into_iter().try_for_each(Range::may_propose)?;
        let flush = |range: &Range| (range.span().text.as_ref().into(), range.flush(database));
        let tickets: Vec<_> = self.ranges_in(scope).into_iter().map(flush).collect();
        // One may have begun to refuse meanwhile.
        let is_accepted = tickets.iter().all(|(_, ticket)| ticket.is_ok());
        let has_volatile = is_accepted && !matches!(scope, Scope::Replica(_));
        if has_volatile {
            let detached = self.store.flush(database);
            // If the system has no thread for it, it is freed here: an error drops the closure.
            drop(thread::Builder::new().spawn(|| drop(detached)));
        }
        let has_volatile = has_volatile && self.volatile_rows().next().is_some();
        Ok(Flushing { tickets, has_volatile })
    }

    /// Checks that all ranges are loaded, so that a part is not taken for the whole.
    pub fn check_ranges(&self) -> Result<(), RangeFailure> {
        let is_loaded = |range: &Range| match range.may_read() {
            Err(RangeError::NotLeader { .. } | RangeError::NoLeader { .. }) => Ok(()),
            loaded => loaded,
        };
        self.ranges_in(Scope::All).into_iter().try_for_each(is_loaded).map_err(RangeFailure::from)
    }

    /// Checks that all ranges of a scope may be read here.
    pub(super) fn check_scope(&self, scope: Scope<'_>) -> Result<(), RangeFailure> {
        self.ranges_in(scope).into_iter().try_for_each(Range::may_read).map_err(RangeFailure::from)
    }

    /// Which durable ranges there are here, as errors call them. Fails while one is being split.
    pub fn spans(&self) -> Result<Vec<String>, RangeFailure> {
        let span = |range: &Arc<Range>| match range.is_being_split() {
            true => Err(RangeFailure::new(
                RangeFailureKind::Invalid,
                format!("range {} is being split: try again in a moment", range.span().text),
            )),
            false => Ok(range.span().text.to_string()),
        };
        self.ranges().into_iter().map(span).collect()
    }

    /// The ranges that have stopped, and why.
    pub fn stopped_ranges(&self) -> Vec<String> {
        let errors = self.ranges().into_iter().filter_map(|range| range.may_read().err());
        errors
            .filter(|error| matches!(error, RangeError::Stopped { .. }))
            .map(|error| error.to_string())
            .collect()
    }

    /// The most file descriptors that durable ranges take.
    pub fn range_descriptors(&self) -> usize {
        self.ranges.as_ref().map_or(0, Ranges::descriptors)
    }

    /// Has other nodes lead the ranges that this one leads and they have replicas of.
    pub async fn hand_over_ranges(&self) {
        if let Some(ranges) = &self.ranges {
            ranges.hand_over().await;
        }
    }

    /// The supervisor of the durable ranges. When it is stopped, they may take up to `close_timeout` to
    /// execute what waits, to write a log again that has failed, and to close their files.
    pub fn range_supervisor(self: &Arc<Self>, close_timeout: Duration) -> Supervisor {
        let (local, observed) = (self.clone(), self.clone());
        let child = ChildSpec::worker("ranges", move |stop| {
            let local = local.clone();
            async move {
                stop.cancelled().await;
                if let Some(ranges) = &local.ranges {
                    ranges.close().await;
                }
                Ok::<(), String>(())
            }
        });
        let passive_children = move |limit| {
            let shown = observed.ranges().into_iter().take(limit).map(|range| Tree::passive(describe(range)));
            let (total, shown) = (observed.ranges().len(), shown.collect());
            PassiveChildren { total, shown, ..PassiveChildren::default() }
        };
        let child = child.passive_children(passive_children).shutdown(Shutdown::Deadline(close_timeout));
        Supervisor::new("kv_raft", Strategy::OneForOne).child(child)
    }
}

/// What a range does, in words.
fn describe(range: &Range) -> String {
    let status = range.status();
    match (status.state, status.cannot_write) {
        (RangeState::Ready, Some(reason)) => format!("{}: read-only: {reason}", status.span),
        (RangeState::Ready, None) => {
            format!("{}: ready, {} entries of the log executed", status.span, status.applied)
        }
        (RangeState::Following { leader: Some(leader) }, _) => {
            format!("{}: follows {leader}, {} entries of the log executed", status.span, status.applied)
        }
        (RangeState::Following { leader: None }, _) => format!("{}: no leader", status.span),
        (RangeState::Loading, _) => format!("{}: loading, {} %", status.span, status.loaded),
        (RangeState::Stopped(reason), _) => format!("{}: stopped: {reason}", status.span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(range: &str) -> RangeError {
        RangeError::CannotWrite { range: range.into(), reason: "the disk is full".into() }
    }

    #[test]
    fn a_flush_that_fails_says_what_was_done() {
        let unknown = || RangeError::Unknown { range: "h..m".into() };
        let nothing = not_flushed(&[], vec![refused("a..g"), refused("h..m")]);
        assert_eq!(nothing, refused("a..g").into());
        let partly = not_flushed(&[VOLATILE.into(), "h..m".into()], vec![refused("a..g")]);
        let message = "not all ranges were flushed: range a..g cannot write: the disk is full; nothing was done; \
                       flushed: the volatile buckets, h..m";
        assert_eq!((partly.kind, &*partly.message), (RangeFailureKind::Unknown, message));
        let unknown = not_flushed(&[], vec![refused("a..g"), unknown()]);
        assert_eq!(unknown.kind, RangeFailureKind::Unknown, "whatever refused before");
        assert!(unknown.message.contains("outcome unknown: range h..m"), "{unknown}");
        assert!(unknown.message.ends_with("flushed: nothing"), "{unknown}");
    }
}
