//! The replies to one call or transaction, as they arrived over the link.

use crate::{
    error::{Error, ProtocolError},
    link::codec::{ForwardedReply, Items},
    node_name::NodeName,
};
use kv::free_buffer;
use std::mem::take;

/// Replies to the first requests of a call, in order. There is at least one; requests without a reply are
/// sent in the next call.
#[derive(Debug)]
pub(crate) struct CallReplies {
    message: Vec<u8>,
    decoded: usize,
    remaining: usize,
    /// Whether one of them is the failure of a range, or there is none.
    has_failure: bool,
}

impl CallReplies {
    /// Copies the items of a frame, once each has been decoded without an error.
    pub(crate) fn decode(items: &[u8]) -> Result<CallReplies, ProtocolError> {
        let (remaining, has_failure) = count(items)?;
        Ok(CallReplies { remaining, has_failure, message: items.into(), decoded: 0 })
    }

    /// Takes over a message whose items begin at `start`, once each has been decoded without an error.
    pub(crate) fn of_message(message: Vec<u8>, start: usize) -> Result<CallReplies, ProtocolError> {
        let (remaining, has_failure) = count(&message[start..])?;
        Ok(CallReplies { remaining, has_failure, message, decoded: start })
    }

    /// The number of replies that have not been taken.
    pub(crate) fn len(&self) -> usize {
        self.remaining
    }

    /// Whether all have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.message.capacity()
    }

    /// The failure of a range of this peer, or that it has none, if that is the next reply.
    pub(crate) fn next_failure(&self, peer: &NodeName) -> Option<Error> {
        if !self.has_failure {
            return None;
        }
        match Items::new(&self.message[self.decoded..]).next()?.ok()? {
            ForwardedReply::Failed(failure) => Some(failure.into()),
            ForwardedReply::NotOwner => Some(Error::NotOwner { node: peer.shared() }),
            _ => None,
        }
    }

    /// Takes the next reply, which borrows from the frame.
    pub(crate) fn next(&mut self) -> Option<ForwardedReply<'_>> {
        let mut items = Items::new(&self.message[self.decoded..]);
        let reply = items.next()?.ok();
        self.decoded = self.message.len() - items.rest().len();
        self.remaining -= 1;
        reply
    }
}

impl Drop for CallReplies {
    fn drop(&mut self) {
        free_buffer(take(&mut self.message));
    }
}

/// The number of these items, and whether one of them is the failure of a range, or there is none.
fn count(items: &[u8]) -> Result<(usize, bool), ProtocolError> {
    Items::<ForwardedReply<'_>>::new(items).try_fold((0, false), |(count, has_failure), reply| {
        Ok((count + 1, has_failure || matches!(reply?, ForwardedReply::Failed(_) | ForwardedReply::NotOwner)))
    })
}
