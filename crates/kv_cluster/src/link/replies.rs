//! The replies to one call or transaction, as they arrived over the link.

use crate::{
    error::ProtocolError,
    link::codec::{ForwardedReply, Items},
};

/// Replies to the first requests of a call, in order. There is at least one; requests without a reply are
/// sent in the next call.
#[derive(Debug)]
pub(crate) struct CallReplies {
    items: Box<[u8]>,
    decoded: usize,
    remaining: usize,
}

impl CallReplies {
    /// Copies the items of a frame, once each has been decoded without an error.
    pub(crate) fn decode(items: &[u8]) -> Result<CallReplies, ProtocolError> {
        let mut remaining = 0;
        for reply in Items::<ForwardedReply<'_>>::new(items) {
            reply?;
            remaining += 1;
        }
        Ok(CallReplies { items: items.into(), decoded: 0, remaining })
    }

    /// The number of replies that have not been taken.
    pub(crate) fn len(&self) -> usize {
        self.remaining
    }

    /// Whether all have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Takes the next reply, which borrows from the frame.
    pub(crate) fn next(&mut self) -> Option<ForwardedReply<'_>> {
        let mut items = Items::new(&self.items[self.decoded..]);
        let reply = items.next()?.ok();
        self.decoded = self.items.len() - items.rest().len();
        self.remaining -= 1;
        reply
    }
}
