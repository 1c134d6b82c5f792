//! What a peer says is understood here: its requests are executed, its answers and changes go to those who wait.

mod requests;
pub(crate) mod subscriptions;

use crate::{
    error::{LinkEnd, Malformed},
    limits::{
        CALL_BYTES_IN_FLIGHT, CALL_REQUESTS, CALLS_IN_FLIGHT, LARGE_CALL_BYTES_IN_FLIGHT, LARGE_UNSENT_BYTES,
        TRANSACTION_REQUESTS, UNSENT_BYTES,
    },
    link::Link,
    link::buffers::Output,
    link::codec::{self, Message},
    link::reassembly::Assembly,
    link::replies::Replies,
    link::send_queue::Frame,
    local::{Heartbeat, LocalNode},
    serve::subscriptions::Pumps,
};
use std::{collections::VecDeque, sync::Arc};

/// One link's service.
#[derive(Debug)]
pub(crate) struct Service {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    assembly: Assembly,
    pub(crate) output: Output,
    pub(crate) pumps: Pumps,
    /// Requests that came while too much was unsent. The protocol bounds them, so reading never has to stop, and
    /// two nodes that both wait to be read cannot wait for each other.
    deferred: VecDeque<Box<[u8]>>,
    deferred_bytes: usize,
}

impl Service {
    pub(crate) fn new(local: Arc<LocalNode>, link: Arc<Link>) -> Service {
        Service {
            local,
            link,
            assembly: Assembly::default(),
            output: Output::default(),
            pumps: Pumps::default(),
            deferred: VecDeque::new(),
            deferred_bytes: 0,
        }
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.local.heartbeat
    }

    /// Does what one frame says, or puts it off.
    pub(crate) fn hear(&mut self, frame: &[u8]) -> Result<(), LinkEnd> {
        let (message, items) = codec::read(frame)?;
        let asks = matches!(
            message,
            Message::Call { .. } | Message::Subscribe { .. } | Message::Transact { .. } | Message::Ask { .. }
        );
        if asks && !(self.has_room() && self.deferred.is_empty()) {
            return self.defer(frame);
        }
        self.act(message, items)
    }

    /// Does what was put off, as far as there is room for the answers.
    pub(crate) fn catch_up(&mut self) -> Result<(), LinkEnd> {
        while self.has_room() {
            let Some(frame) = self.deferred.pop_front() else { break };
            self.deferred_bytes -= frame.len();
            let (message, items) = codec::read(&frame)?;
            self.act(message, items)?;
        }
        Ok(())
    }

    /// Fetches what this node has for the peer.
    pub(crate) fn gather(&mut self) {
        if self.output.unsent().len() < UNSENT_BYTES {
            self.link.fetch(|more| self.output.gather(more));
        }
    }

    fn act(&mut self, message: Message<'_>, items: &[u8]) -> Result<(), LinkEnd> {
        let out = self.output.outgoing();
        match message {
            Message::Heartbeat => {}
            Message::Call { id } => {
                requests::call(&self.local, id, &codec::requests(items, CALL_REQUESTS)?, out)
            }
            Message::Answers { id } => self.link.answers(id, Replies::read(items)?)?,
            Message::Subscribe { id, subscription, bucket } => {
                let outcome = self.pumps.start(&self.local, &self.link, subscription, bucket);
                Frame::begin(out, &Message::Subscribed { id, outcome }).finish();
            }
            Message::Subscribed { id, outcome } => self.link.subscribed(id, outcome)?,
            Message::Unsubscribe { subscription } => self.pumps.stop(subscription),
            Message::Changed { subscription, change } => self.link.changed(subscription, change.into_owned()),
            Message::Transact { id, watched } => {
                let requests = codec::requests(items, TRANSACTION_REQUESTS)?;
                requests::transact(&self.local, id, &watched, &requests, out);
            }
            Message::Transacted { id, verdict } => {
                self.link.transacted(id, verdict, Replies::read(items)?)?;
            }
            Message::Ask { id, question } => requests::tell(&self.local, id, &question, out),
            Message::Told { id, told } => self.link.told(id, told)?,
            Message::Part { left, bytes } => {
                if let Some(whole) = self.assembly.add(left, bytes)? {
                    self.hear_large(&whole)?;
                }
            }
        }
        Ok(())
    }

    fn hear_large(&mut self, whole: &[u8]) -> Result<(), LinkEnd> {
        if let (Message::Part { .. }, _) = codec::read(whole)? {
            return Err(Malformed("a part within a part".into()).into());
        }
        self.hear(whole)
    }

    fn defer(&mut self, frame: &[u8]) -> Result<(), LinkEnd> {
        self.deferred_bytes += frame.len();
        let most = CALL_BYTES_IN_FLIGHT + LARGE_CALL_BYTES_IN_FLIGHT;
        if self.deferred_bytes > most || self.deferred.len() >= CALLS_IN_FLIGHT {
            return Err(LinkEnd::Flooded);
        }
        self.deferred.push_back(frame.into());
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.output.unsent().len() < UNSENT_BYTES && self.output.large_bytes() <= LARGE_UNSENT_BYTES
    }
}
