//! Calls with large arguments. They are copied piece by piece before the lock of the link is taken, and other
//! tasks run between the pieces.

use crate::{
    error::Error,
    limits::{COPY_BYTES, MESSAGE_BYTES},
    link::{
        Link,
        codec::{self, Message},
        pending::{ReplyReceiver, ReplySender, Waiter},
        replies::CallReplies,
    },
};
use kv::Request;
use serde::Serialize;
use std::mem::take;
use tokio::task::yield_now;

impl Link {
    /// Sends one request as one call, as [`Link::call`] does.
    pub(crate) async fn call_large(
        &self,
        request: &Request<'_>,
    ) -> Result<ReplyReceiver<CallReplies>, Error> {
        let (reply, receiver) = ReplySender::new();
        let mut call = self.begin_large(codec::encoded_len(request), Waiter::Call { requests: 1, reply })?;
        while call.copy_next(request) {
            yield_now().await;
        }
        call.send()?;
        Ok(receiver)
    }

    /// Begins a call with one request of `bytes` bytes: it has an id, and room.
    fn begin_large(&self, bytes: usize, waiter: Waiter) -> Result<LargeCall<'_>, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(self.just_lost());
        }
        let id = state.calls.next_id().ok_or_else(|| self.busy())?;
        let mut message = Vec::new();
        codec::encode(&mut message, &Message::Call { id });
        let size = message.len() + bytes;
        if size > MESSAGE_BYTES {
            return Err(self.too_large(MESSAGE_BYTES));
        }
        if !state.calls.has_room(size) {
            return Err(self.busy());
        }
        state.calls.insert(waiter, size);
        drop(state);
        message.reserve_exact(bytes);
        Ok(LargeCall { link: self, id, message, copied: 0, size: bytes })
    }
}

/// A call that is being copied. Without [`LargeCall::send`] it has never been there.
struct LargeCall<'l> {
    link: &'l Link,
    id: u32,
    message: Vec<u8>,
    /// How much of its item, and of how much, is in the message.
    copied: usize,
    size: usize,
}

impl LargeCall<'_> {
    /// Copies the next piece of the item; `false` when it is complete.
    fn copy_next(&mut self, item: &impl Serialize) -> bool {
        codec::encode_piece(&mut self.message, item, self.copied, COPY_BYTES);
        self.copied += COPY_BYTES;
        self.copied < self.size
    }

    /// Sends it, unless the link was lost meanwhile.
    fn send(mut self) -> Result<(), Error> {
        let mut state = self.link.lock();
        if state.closed {
            return Err(self.link.just_lost());
        }
        state.queue.push_message(take(&mut self.message));
        self.link.wake_task(state);
        Ok(())
    }
}

impl Drop for LargeCall<'_> {
    fn drop(&mut self) {
        // A message that was sent is empty here.
        if !self.message.is_empty() {
            self.link.lock().calls.remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::FRAME_BYTES, link::send_queue::SendQueue};
    use kv::Op;
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    #[test]
    fn others_send_while_a_large_request_is_copied() {
        let link = Link::new("bar@127.0.0.1".parse().unwrap());
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(FRAME_BYTES + 7).collect();
        let large = Request::new(b"shopping", Op::Put { key: b"milk", value: &value });
        let mut sending = pin!(link.call_large(&large));
        let mut context = Context::from_waker(Waker::noop());
        let small = Request::new(b"shopping", Op::Create);
        let (mut steps, mut others) = (1, Vec::new());
        while sending.as_mut().poll(&mut context).map(Result::unwrap).is_pending() {
            assert!(link.lock().queue.large_bytes() == 0, "nothing is sent before all is copied");
            others.push(link.call(&[small]).unwrap());
            steps += 1;
        }
        assert_eq!(steps, FRAME_BYTES / COPY_BYTES + 1);
        let mut whole = SendQueue::default();
        let mut expected = Vec::new();
        codec::encode(&mut expected, &Message::Call { id: 0 });
        codec::encode(&mut expected, &large);
        link.drain_outgoing(|queue| whole.append_large(queue));
        assert_eq!(whole.large_bytes(), expected.len());
        assert!(whole.pop_large() == Some(expected));
    }

    #[test]
    fn a_large_call_that_is_given_up_leaves_its_id_and_its_room() {
        let link = Link::new("bar@127.0.0.1".parse().unwrap());
        let value = vec![0; MESSAGE_BYTES / 2];
        let large = Request::new(b"shopping", Op::Put { key: b"milk", value: &value });
        for _ in 0..3 {
            let mut sending = pin!(link.call_large(&large));
            assert!(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(!link.lock().calls.has_room(MESSAGE_BYTES));
        }
    }
}
