//! What a peer sends: its requests are executed, and its replies and changes go to those who wait for them.

pub(crate) mod node_queries;
mod requests;
mod subscriptions;

use crate::{
    error::{LinkClosed, ProtocolError},
    limits::{
        CALL_BYTES_IN_FLIGHT, CALL_REQUESTS, CALLS_IN_FLIGHT, LARGE_CALL_BYTES_IN_FLIGHT, LARGE_UNSENT_BYTES,
        TRANSACTION_REQUESTS, UNSENT_BYTES,
    },
    link::{
        Link,
        buffers::WriteBuffer,
        codec::{self, Message},
        reassembly::Reassembly,
        replies::Replies,
        send_queue::FrameWriter,
    },
    local::LocalNode,
    serve::subscriptions::ChangeStreams,
};
use std::{collections::VecDeque, sync::Arc};

/// The receiving side of one link.
#[derive(Debug)]
pub(crate) struct Inbound {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    reassembly: Reassembly,
    pub(crate) output: WriteBuffer,
    streams: ChangeStreams,
    /// Requests that arrived while too much was unsent. The protocol bounds them, so reading never has to
    /// stop, and two nodes that both wait to be read cannot deadlock.
    deferred: VecDeque<Box<[u8]>>,
    deferred_bytes: usize,
}

impl Inbound {
    pub(crate) fn new(local: Arc<LocalNode>, link: Arc<Link>) -> Inbound {
        Inbound {
            local,
            link,
            reassembly: Reassembly::default(),
            output: WriteBuffer::default(),
            streams: ChangeStreams::default(),
            deferred: VecDeque::new(),
            deferred_bytes: 0,
        }
    }

    /// Handles one frame, or defers it.
    pub(crate) fn receive(&mut self, frame: &[u8]) -> Result<(), LinkClosed> {
        let (message, items) = codec::decode_frame(frame)?;
        let is_request = matches!(
            message,
            Message::Call { .. }
                | Message::Subscribe { .. }
                | Message::Transact { .. }
                | Message::NodeQuery { .. }
        );
        if is_request && !(self.has_room() && self.deferred.is_empty()) {
            return self.defer(frame);
        }
        self.dispatch(message, items)
    }

    /// Handles deferred frames while there is room for the replies.
    pub(crate) fn run_deferred(&mut self) -> Result<(), LinkClosed> {
        while self.has_room() {
            let Some(frame) = self.deferred.pop_front() else { break };
            self.deferred_bytes -= frame.len();
            let (message, items) = codec::decode_frame(&frame)?;
            self.dispatch(message, items)?;
        }
        Ok(())
    }

    /// Moves what this node has queued for the peer to the write buffer.
    pub(crate) fn fill_output(&mut self) {
        if self.output.unwritten().len() < UNSENT_BYTES {
            self.link.drain_outgoing(|queue| self.output.append(queue));
        }
    }

    /// Removes the next change stream that has ended. Pending while there is none.
    pub(crate) async fn reap_stream(&mut self) {
        self.streams.reap().await;
    }

    fn dispatch(&mut self, message: Message<'_>, items: &[u8]) -> Result<(), LinkClosed> {
        let queue = self.output.queue();
        match message {
            Message::Heartbeat => {}
            Message::Call { id } => {
                requests::execute(&self.local, id, &codec::decode_requests(items, CALL_REQUESTS)?, queue);
            }
            Message::Replies { id } => self.link.on_replies(id, Replies::decode(items)?)?,
            Message::Subscribe { id, subscription, bucket } => {
                let result = self.streams.start(&self.local, &self.link, subscription, bucket);
                FrameWriter::begin(queue, &Message::Subscribed { id, result }).finish();
            }
            Message::Subscribed { id, result } => self.link.on_subscribed(id, result)?,
            Message::Unsubscribe { subscription } => self.streams.stop(subscription),
            Message::Changed { subscription, change } => {
                self.link.on_change(subscription, change.into_owned());
            }
            Message::Transact { id, watched } => {
                let requests = codec::decode_requests(items, TRANSACTION_REQUESTS)?;
                requests::transact(&self.local, id, &watched, &requests, queue);
            }
            Message::Transacted { id, result } => {
                self.link.on_transacted(id, result, Replies::decode(items)?)?;
            }
            Message::NodeQuery { id, query } => node_queries::answer(&self.local, id, &query, queue),
            Message::NodeReply { id, reply } => self.link.on_node_reply(id, reply)?,
            Message::Fragment { remaining, bytes } => {
                if let Some(message) = self.reassembly.push(remaining, bytes)? {
                    self.receive_reassembled(&message)?;
                }
            }
        }
        Ok(())
    }

    fn receive_reassembled(&mut self, message: &[u8]) -> Result<(), LinkClosed> {
        if let (Message::Fragment { .. }, _) = codec::decode_frame(message)? {
            return Err(ProtocolError("a fragment within a fragment".into()).into());
        }
        self.receive(message)
    }

    fn defer(&mut self, frame: &[u8]) -> Result<(), LinkClosed> {
        self.deferred_bytes += frame.len();
        let limit = CALL_BYTES_IN_FLIGHT + LARGE_CALL_BYTES_IN_FLIGHT;
        if self.deferred_bytes > limit || self.deferred.len() >= CALLS_IN_FLIGHT {
            return Err(LinkClosed::Flooded);
        }
        self.deferred.push_back(frame.into());
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.output.unwritten().len() < UNSENT_BYTES && self.output.large_bytes() <= LARGE_UNSENT_BYTES
    }
}
