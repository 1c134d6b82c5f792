//! The replies to one call or transaction, as they arrived over the link.

use crate::{
    error::ProtocolError,
    link::codec::{ForwardedReply, Items},
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
}

impl CallReplies {
    /// Copies the items of a frame, once each has been decoded without an error.
    pub(crate) fn decode(items: &[u8]) -> Result<CallReplies, ProtocolError> {
        Ok(CallReplies { remaining: count(items)?, message: items.into(), decoded: 0 })
    }

    /// Takes over a message whose items begin at `start`, once each has been decoded without an error.
    pub(crate) fn of_message(message: Vec<u8>, start: usize) -> Result<CallReplies, ProtocolError> {
        Ok(CallReplies { remaining: count(&message[start..])?, message, decoded: start })
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

/// The number of these items.
fn count(items: &[u8]) -> Result<usize, ProtocolError> {
    Items::<ForwardedReply<'_>>::new(items).try_fold(0, |count, reply| reply.map(|_| count + 1))
}
