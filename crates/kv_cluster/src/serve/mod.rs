//! Handles what a peer sends: executes its requests, and passes its replies and changes to whoever awaits
//! them.

mod large_reply;
pub(crate) mod node_queries;
mod proposals;
mod requests;
mod slow_calls;
mod subscriptions;

use crate::{
    error::{LinkClosed, ProtocolError},
    limits::{
        CALL_BYTES_IN_FLIGHT, CALL_REQUESTS, CALLS_IN_FLIGHT, LARGE_CALL_BYTES_IN_FLIGHT, SUBSCRIPTIONS,
        TRANSACTION_REQUESTS, TURN_MS,
    },
    link::{
        Link,
        buffers::WriteBuffer,
        codec::{self, Message},
        node_query::{NodeQuery, NodeReply},
        reassembly::Reassembly,
        replies::CallReplies,
        send_queue::MessageWriter,
    },
    local::LocalNode,
    serve::{proposals::Proposals, slow_calls::SlowCalls, subscriptions::ChangeStreams},
};
use kv::{Op, Publication, Request, free_buffer};
use std::{borrow::Cow, collections::VecDeque, sync::Arc};

/// The receiving side of one link. Replies go to the `output` that the link task passes in.
#[derive(Debug)]
pub(crate) struct Inbound {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    reassembly: Reassembly,
    streams: ChangeStreams,
    proposals: Proposals,
    slow_calls: SlowCalls,
    /// Requests that arrived while too much was unsent, or after the end of a turn. The protocol bounds them,
    /// so this node never has to stop reading, and two nodes cannot deadlock by each waiting until the other
    /// reads.
    deferred: VecDeque<Vec<u8>>,
    /// Messages that are being published, in their order, with the ids of the queries.
    publications: VecDeque<(u32, Publication)>,
    /// Bytes of both, and of large calls.
    deferred_bytes: usize,
    turn: Turn,
    /// Identifies the watches of this link.
    watcher_link: u64,
    /// Whether the peer has watched a bucket.
    has_watched: bool,
}

/// How long the task of a link executes requests before other tasks run.
#[derive(Debug, Clone, Copy, Default)]
enum Turn {
    /// Nothing has been executed yet.
    #[default]
    Fresh,
    /// Since this time, in milliseconds since 1970.
    Since(u64),
    Over,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handled {
    Done,
    /// It is a call, a transaction or a query that is a task, which has yet to start.
    Slow,
}

impl Turn {
    /// Whether one more request may be executed.
    fn goes_on(&mut self) -> bool {
        *self = match *self {
            Turn::Fresh => Turn::Since(kv::time::now_ms()),
            Turn::Since(began_ms) if kv::time::now_ms().abs_diff(began_ms) >= TURN_MS => Turn::Over,
            turn => turn,
        };
        !matches!(self, Turn::Over)
    }
}

impl Inbound {
    pub(crate) fn new(local: Arc<LocalNode>, link: Arc<Link>) -> Inbound {
        Inbound {
            watcher_link: local.next_watcher_link(),
            has_watched: false,
            local,
            link,
            reassembly: Reassembly::default(),
            streams: ChangeStreams::default(),
            proposals: Proposals::default(),
            slow_calls: SlowCalls::default(),
            deferred: VecDeque::new(),
            publications: VecDeque::new(),
            deferred_bytes: 0,
            turn: Turn::Fresh,
        }
    }

    /// Handles one frame, or defers it.
    pub(crate) fn receive(
        &mut self,
        frame: Cow<'_, [u8]>,
        output: &mut WriteBuffer,
    ) -> Result<(), LinkClosed> {
        let (message, items) = codec::decode_frame(&frame)?;
        let is_request = matches!(
            message,
            Message::Call { .. }
                | Message::Subscribe { .. }
                | Message::Unsubscribe { .. }
                | Message::Transact { .. }
                | Message::NodeQuery { .. }
        );
        if is_request {
            let can_execute = self.deferred.is_empty() && self.has_room_for_replies(output);
            if !can_execute || !self.turn.goes_on() {
                return self.defer(frame.into_owned());
            }
        }
        match (self.handle(message, items, output)?, frame) {
            (Handled::Done, Cow::Borrowed(_)) => Ok(()),
            (Handled::Done, Cow::Owned(frame)) => {
                free_buffer(frame);
                Ok(())
            }
            (Handled::Slow, frame) => self.start_slow_call(frame.into_owned()),
        }
    }

    /// Handles deferred frames while there is room for the replies and the turn goes on.
    pub(crate) fn run_deferred(&mut self, output: &mut WriteBuffer) -> Result<(), LinkClosed> {
        while !self.deferred.is_empty() && self.has_room_for_replies(output) && self.turn.goes_on() {
            let Some(frame) = self.deferred.pop_front() else { break };
            self.deferred_bytes -= frame.len();
            let (message, items) = codec::decode_frame(&frame)?;
            match self.handle(message, items, output)? {
                Handled::Done => free_buffer(frame),
                Handled::Slow => self.start_slow_call(frame)?,
            }
        }
        Ok(())
    }

    /// Goes on with the first publication. The next ones follow in this turn if it is complete.
    pub(crate) fn publish(&mut self, output: &mut WriteBuffer) {
        while let Some((id, publication)) = self.publications.front_mut() {
            let Some(receivers) = publication.step() else { return };
            node_queries::write(*id, NodeReply::Counts(vec![receivers as u64]), output.queue());
            self.deferred_bytes -= publication.size();
            self.publications.pop_front();
            if !self.turn.goes_on() {
                return;
            }
        }
    }

    /// Whether there is work for another turn.
    pub(crate) fn has_work(&self, output: &WriteBuffer) -> bool {
        !self.publications.is_empty() || !self.deferred.is_empty() && self.has_room_for_replies(output)
    }

    /// Whether the replies to another request may be added to `output`, with those that are being copied.
    fn has_room_for_replies(&self, output: &WriteBuffer) -> bool {
        output.has_room_for_replies(self.slow_calls.reply_bytes())
    }

    /// Begins a turn, after other tasks have run.
    pub(crate) fn begin_turn(&mut self) {
        self.turn = Turn::Fresh;
    }

    /// The large message that has begun to arrive, and how many of its bytes have arrived.
    pub(crate) fn arriving(&self) -> Option<(u64, usize)> {
        self.reassembly.arriving()
    }

    /// Removes the next change stream that has ended, or queues the replies of a durable range or to a large
    /// call. Pending until there is one.
    pub(crate) async fn progress(&mut self, output: &mut WriteBuffer) {
        tokio::select! {
            () = self.streams.reap() => {}
            finished = self.proposals.next() => {
                let large = proposals::write(finished, output.queue());
                large.into_iter().for_each(|large| self.slow_calls.reply(large));
            }
            mut finished = self.slow_calls.next() => {
                self.deferred_bytes -= finished.bytes;
                output.append(&mut finished.reply);
            }
        }
    }

    fn handle(
        &mut self,
        message: Message<'_>,
        items: &[u8],
        output: &mut WriteBuffer,
    ) -> Result<Handled, LinkClosed> {
        let queue = output.queue();
        match message {
            Message::Heartbeat => {}
            Message::Call { .. } | Message::Transact { .. } | Message::NodeQuery { .. }
                if self.proposals.are_too_many() =>
            {
                return Err(LinkClosed::Flooded);
            }
            Message::Call { id } => {
                let mut requests = codec::decode_requests(items, CALL_REQUESTS)?;
                if slow_calls::is_slow_call(&self.local, &requests) {
                    return Ok(Handled::Slow);
                }
                self.attribute_watches(&mut requests);
                let large = requests::execute(&self.local, id, &requests, &mut self.proposals, queue);
                large.into_iter().for_each(|large| self.slow_calls.reply(large));
            }
            Message::Replies { id } => self.link.on_replies(id, CallReplies::decode(items)?)?,
            Message::Subscribe { id, subscription, bucket } => {
                let result = self.streams.start(&self.local, &self.link, subscription, bucket);
                MessageWriter::begin(queue, &Message::Subscribed { id, result }).finish();
            }
            Message::Subscribed { id, result } => self.link.on_subscribed(id, result)?,
            Message::Unsubscribe { subscription } => self.streams.stop(subscription),
            Message::Changed { subscription, change } => {
                self.link.on_change(subscription, change.into_owned());
            }
            Message::Transact { id, watched } => {
                let requests = codec::decode_requests(items, TRANSACTION_REQUESTS)?;
                if slow_calls::is_slow_transaction(&self.local, &watched, &requests) {
                    return Ok(Handled::Slow);
                }
                requests::transact(&self.local, id, &watched, &requests, &mut self.proposals, queue);
            }
            Message::Transacted { id, result } => {
                self.link.on_transacted(id, result, CallReplies::decode(items)?)?;
            }
            Message::NodeQuery { id, query: NodeQuery::Publish { channel, payload } } => {
                let publication = Publication::new(&self.local.channels, channel, payload);
                self.count_deferred(publication.size())?;
                self.publications.push_back((id, publication));
            }
            Message::NodeQuery { id, query: NodeQuery::Flush { range, database } } => {
                self.proposals.flush(&self.local, id, (range, database), queue);
            }
            Message::NodeQuery { query, .. } if slow_calls::queried_range(&self.local, &query).is_some() => {
                return Ok(Handled::Slow);
            }
            Message::NodeQuery { id, query } if self.proposals.query(&self.local, id, &query) => {}
            Message::NodeQuery { id, query } => node_queries::write_reply(&self.local, id, &query, queue),
            Message::NodeReply { id, reply } => self.link.on_node_reply(id, reply)?,
            Message::Replica => self.local.receive_of_replica(self.link.node(), items),
            Message::Fragment { remaining, bytes } => {
                if let Some(message) = self.reassembly.push(remaining, bytes)? {
                    self.receive_reassembled(message, output)?;
                }
            }
        }
        Ok(Handled::Done)
    }

    fn start_slow_call(&mut self, message: Vec<u8>) -> Result<(), LinkClosed> {
        self.count_deferred(message.len())?;
        self.slow_calls.start(self.local.clone(), message);
        Ok(())
    }

    /// Notes in each watch that it came over this link, with which it ends.
    fn attribute_watches(&mut self, requests: &mut [Request<'_>]) {
        for request in requests {
            if let Op::Watch { watcher } | Op::Unwatch { watcher } = &mut request.op {
                watcher.link = self.watcher_link;
                self.has_watched = true;
            }
        }
    }

    fn receive_reassembled(&mut self, message: Vec<u8>, output: &mut WriteBuffer) -> Result<(), LinkClosed> {
        let (head, items) = codec::decode_frame(&message)?;
        let start = message.len() - items.len();
        let (id, result) = match head {
            Message::Fragment { .. } => {
                return Err(ProtocolError("a fragment within a fragment".into()).into());
            }
            Message::Replies { id } => (id, None),
            Message::Transacted { id, result } => (id, Some(result)),
            _ => return self.receive(message.into(), output),
        };
        // They are not copied.
        let replies = CallReplies::of_message(message, start)?;
        match result {
            None => self.link.on_replies(id, replies)?,
            Some(result) => self.link.on_transacted(id, result, replies)?,
        }
        Ok(())
    }

    fn defer(&mut self, frame: Vec<u8>) -> Result<(), LinkClosed> {
        self.count_deferred(frame.len())?;
        self.deferred.push_back(frame);
        Ok(())
    }

    /// Counts one more deferred request, unless there are more than the protocol allows.
    fn count_deferred(&mut self, bytes: usize) -> Result<(), LinkClosed> {
        self.deferred_bytes += bytes;
        let bytes = CALL_BYTES_IN_FLIGHT + LARGE_CALL_BYTES_IN_FLIGHT;
        // The end of a subscription is no call.
        let requests = CALLS_IN_FLIGHT + SUBSCRIPTIONS;
        if self.deferred_bytes > bytes || self.deferred.len() + self.publications.len() >= requests {
            return Err(LinkClosed::Flooded);
        }
        Ok(())
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if self.has_watched {
            self.local.unwatch_link(self.watcher_link);
        }
    }
}

#[cfg(test)]
mod tests;
