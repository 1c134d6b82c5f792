//! Calls and transactions with large arguments. They are copied piece by piece before the lock of the link is
//! taken, and other tasks run between the pieces.

use crate::{
    error::Error,
    limits::{COPY_BYTES, FRAME_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS},
    link::{
        Link,
        codec::{self, Message, TransactionResult},
        pending::{ReplyReceiver, ReplySender, Waiter},
        replies::CallReplies,
    },
};
use kv::{FullName, Request, free_buffer};
use serde::Serialize;
use std::{mem::take, slice};
use tokio::task::yield_now;

impl Link {
    /// Sends one request as one call, as [`Link::call`] does.
    pub(crate) async fn call_large(
        &self,
        request: &Request<'_>,
    ) -> Result<ReplyReceiver<CallReplies>, Error> {
        let (reply, receiver) = ReplySender::new();
        let requests = slice::from_ref(request);
        let waiter = Waiter::Call { requests: 1, reply };
        let call = self.begin_large(|id| Message::Call { id }, requests, waiter)?;
        call.ok_or_else(|| self.too_large(MESSAGE_BYTES))?.copy_and_send(requests).await?;
        Ok(receiver)
    }

    /// Sends all requests as one transaction, or none, as [`Link::transact`] does.
    pub(crate) async fn transact_large(
        &self,
        watched: &[(FullName<'_>, u64)],
        requests: &[Request<'_>],
    ) -> Result<ReplyReceiver<(TransactionResult, CallReplies)>, Error> {
        let (reply, receiver) = ReplySender::new();
        if requests.len() > TRANSACTION_REQUESTS {
            return Err(self.transaction_too_large());
        }
        let message = |id| Message::Transact { id, watched: watched.to_vec() };
        let waiter = Waiter::Transaction { requests: requests.len(), reply };
        let call = self.begin_large(message, requests, waiter)?;
        call.ok_or_else(|| self.transaction_too_large())?.copy_and_send(requests).await?;
        Ok(receiver)
    }

    /// Begins a call with these requests: it has an id, and room. `None` if they exceed a message.
    fn begin_large<'m>(
        &self,
        message: impl FnOnce(u32) -> Message<'m>,
        requests: &[Request<'_>],
        waiter: Waiter,
    ) -> Result<Option<LargeCall<'_>>, Error> {
        let bytes: usize = requests.iter().map(codec::encoded_len).sum();
        let mut state = self.lock();
        if state.closed {
            return Err(self.just_lost());
        }
        let id = state.calls.next_id().ok_or_else(|| self.busy())?;
        let mut head = Vec::new();
        codec::encode(&mut head, &message(id));
        let size = head.len() + bytes;
        if head.len() > FRAME_BYTES {
            return Err(self.too_large(FRAME_BYTES));
        }
        if size > MESSAGE_BYTES {
            return Ok(None);
        }
        if !state.calls.has_room(size) {
            return Err(self.busy());
        }
        state.calls.insert(waiter, size);
        drop(state);
        head.reserve_exact(bytes);
        Ok(Some(LargeCall { link: self, id, message: head }))
    }
}

/// A call that is being copied. Without [`LargeCall::send`] it has never been there.
struct LargeCall<'l> {
    link: &'l Link,
    id: u32,
    message: Vec<u8>,
}

impl LargeCall<'_> {
    /// Copies its items, and sends it.
    async fn copy_and_send(mut self, items: &[impl Serialize]) -> Result<(), Error> {
        let mut end = COPY_BYTES;
        for item in items {
            let (size, mut copied) = (codec::encoded_len(item), 0);
            while copied < size {
                if self.message.len() >= end {
                    yield_now().await;
                    end = self.message.len() + COPY_BYTES;
                }
                let piece = size.min(copied + end - self.message.len()) - copied;
                codec::encode_piece(&mut self.message, item, copied, piece);
                copied += piece;
            }
        }
        self.send()
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
            free_buffer(take(&mut self.message));
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
    fn others_send_while_a_large_transaction_is_copied_a_step_at_a_time() {
        let link = Link::new("bar@127.0.0.1".parse().unwrap());
        let value: Vec<u8> = (0..=u8::MAX).cycle().take(COPY_BYTES / 16).collect();
        let longer: Vec<u8> = (0..=u8::MAX).cycle().take(5 * COPY_BYTES).collect();
        let put = |value| Request::new(b"shopping", Op::Put { key: b"milk", value });
        let requests: Vec<_> = [put(&longer)].into_iter().chain(vec![put(&value); 160]).collect();
        let watched = [(FullName::new(b"shopping"), 7)];
        let mut sending = pin!(link.transact_large(&watched, &requests));
        let mut context = Context::from_waker(Waker::noop());
        let small = Request::new(b"shopping", Op::Create);
        let mut others = Vec::new();
        while sending.as_mut().poll(&mut context).map(Result::unwrap).is_pending() {
            others.push(link.call(&[small]).unwrap());
        }
        // No step takes more bytes, or there would be fewer.
        assert_eq!(others.len(), 15);
        let mut whole = SendQueue::default();
        let mut expected = Vec::new();
        codec::encode(&mut expected, &Message::Transact { id: 0, watched: watched.to_vec() });
        requests.iter().for_each(|request| codec::encode(&mut expected, request));
        link.drain_outgoing(|queue| whole.append_large(queue));
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
