//! One live link as the rest of the node sees it: calls go in, answers and changes come out.
//!
//! The socket belongs to the link's connection (connection.rs), which fetches what is written here.

pub(crate) mod buffers;
pub(crate) mod codec;
pub(crate) mod node_query;
mod pending;
pub(crate) mod reassembly;
pub(crate) mod replies;
pub(crate) mod send_queue;

use crate::{
    error::{Error, Malformed},
    limits::{BATCH_BYTES, CALL_REQUESTS, FRAME_BYTES, MESSAGE_BYTES, TRANSACTION_REQUESTS, UNSENT_BYTES},
    link::codec::{Message, Outcome, Verdict},
    link::node_query::{Question, Told},
    link::pending::{Calls, Subscriber, Waiter},
    link::replies::Replies,
    link::send_queue::{Frame, Outgoing},
    node_name::NodeName,
};
use kv::{Change, EndReason, Event, Request, Subscription};
use serde_bytes::Bytes;
use std::{
    borrow::Cow,
    collections::HashMap,
    mem::take,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, futures::Notified, oneshot};

/// One live link to a peer.
#[derive(Debug)]
pub(crate) struct Link {
    node: NodeName,
    state: Mutex<State>,
    next_subscription: AtomicU64,
    /// There is something to send and the connection sleeps.
    work: Notify,
    /// There is room again for changes to send.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// The connection has fetched everything and is to be woken.
    idle: bool,
    outgoing: Outgoing,
    calls: Calls,
    subscribers: HashMap<u64, Subscriber>,
}

/// Why a change could not be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// Too much is unsent; there will be room.
    Full,
    /// It exceeds a frame.
    TooLarge,
    /// The link is gone.
    Closed,
}

impl Link {
    pub(crate) fn new(node: NodeName) -> Link {
        Link {
            node,
            state: Mutex::default(),
            next_subscription: AtomicU64::new(0),
            work: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Sends as many of the requests as one call takes. Returns how many, and where their answers will come.
    pub(crate) fn call(
        &self,
        requests: &[Request<'_>],
    ) -> Result<(usize, oneshot::Receiver<Replies>), Error> {
        let (answer, receiver) = oneshot::channel();
        let mut taken = 0;
        let fill = |frame: &mut Frame<'_>| {
            let fits = |(place, request): &(usize, &Request<'_>)| {
                // Only alone may a request exceed a frame.
                let limit = if *place == 0 { MESSAGE_BYTES } else { FRAME_BYTES };
                frame.bytes() < BATCH_BYTES && frame.item_within(limit, *request)
            };
            taken = requests.iter().take(CALL_REQUESTS).enumerate().take_while(fits).count();
            if taken > 0 || requests.is_empty() { Ok(taken) } else { Err(self.too_large(MESSAGE_BYTES)) }
        };
        self.ask(|id| Message::Call { id }, fill, |requests| Waiter::Call { requests, answer })?;
        Ok((taken, receiver))
    }

    /// Sends all requests as one transaction, or none.
    pub(crate) fn transact(
        &self,
        watched: &[(&[u8], u64)],
        requests: &[Request<'_>],
    ) -> Result<oneshot::Receiver<(Verdict, Replies)>, Error> {
        let (answer, receiver) = oneshot::channel();
        let watched = watched.iter().map(|(name, version)| (Bytes::new(name), *version)).collect();
        let fill = |frame: &mut Frame<'_>| {
            let few = requests.len() <= TRANSACTION_REQUESTS;
            let fits = few && requests.iter().all(|request| frame.item_within(MESSAGE_BYTES, request));
            let too_large = || Error::TransactionTooLarge {
                node: self.node.shared(),
                requests: TRANSACTION_REQUESTS,
                bytes: MESSAGE_BYTES,
            };
            fits.then_some(requests.len()).ok_or_else(too_large)
        };
        let waiter = |requests| Waiter::Transaction { requests, answer };
        self.ask(|id| Message::Transact { id, watched }, fill, waiter)?;
        Ok(receiver)
    }

    /// Asks for the changes of a bucket.
    pub(crate) fn subscribe(
        &self,
        bucket: &[u8],
    ) -> Result<(Subscription, oneshot::Receiver<Outcome>), Error> {
        let (answer, receiver) = oneshot::channel();
        let (publisher, changes) = Subscription::new(bucket);
        let subscriber = Subscriber { bucket: bucket.into(), publisher };
        let subscription = self.next_subscription.fetch_add(1, Relaxed);
        let message = |id| Message::Subscribe { id, subscription, bucket };
        self.ask(message, |_| Ok(0), |_| Waiter::Subscribe { subscription, subscriber, answer })?;
        Ok((changes, receiver))
    }

    /// Asks something of the node as a whole.
    pub(crate) fn question(&self, question: &Question<'_>) -> Result<oneshot::Receiver<Told>, Error> {
        let (answer, receiver) = oneshot::channel();
        let message = |id| Message::Ask { id, question: question.clone() };
        self.ask(message, |_| Ok(0), |_| Waiter::Question { answer })?;
        Ok(receiver)
    }

    /// Sends one message, to which `fill` adds requests, of which it says how many; `waiter` waits for the answer.
    fn ask<'m>(
        &self,
        message: impl FnOnce(u32) -> Message<'m>,
        fill: impl FnOnce(&mut Frame<'_>) -> Result<usize, Error>,
        waiter: impl FnOnce(usize) -> Waiter,
    ) -> Result<(), Error> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(Error::NodeDown {
                node: self.node.shared(),
                reason: "its link has just gone".into(),
            });
        }
        let busy = || Error::Busy { node: self.node.shared() };
        let id = state.calls.next_id().ok_or_else(busy)?;
        let mut frame = Frame::begin(&mut state.outgoing, &message(id));
        let filled = match frame.bytes() {
            ..=FRAME_BYTES => fill(&mut frame),
            _ => Err(self.too_large(FRAME_BYTES)),
        };
        let filled = match filled {
            Ok(_) if !state.calls.has_room(frame.bytes()) => Err(busy()),
            filled => filled,
        };
        let requests = match filled {
            Ok(requests) => requests,
            Err(error) => {
                frame.abandon();
                return Err(error);
            }
        };
        let bytes = frame.finish();
        state.calls.insert(waiter(requests), bytes);
        self.wake(guard);
        Ok(())
    }

    fn too_large(&self, limit: usize) -> Error {
        Error::TooLarge { node: self.node.shared(), limit }
    }

    /// Sends one change of a bucket of ours to the peer that subscribed to it.
    pub(crate) fn send_change(&self, subscription: u64, change: &Change) -> Result<(), NotSent> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed);
        }
        if state.outgoing.frames.len() >= UNSENT_BYTES {
            return Err(NotSent::Full);
        }
        let change = Cow::Borrowed(change);
        let frame = Frame::begin(&mut state.outgoing, &Message::Changed { subscription, change });
        if frame.bytes() > FRAME_BYTES {
            frame.abandon();
            return Err(NotSent::TooLarge);
        }
        frame.finish();
        self.wake(state);
        Ok(())
    }

    /// Ready when there is room for changes again.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Ready when there is something to fetch.
    pub(crate) fn work(&self) -> Notified<'_> {
        self.work.notified()
    }

    /// Hands all that is to be sent to `sender`; when that is nothing, the link will call for `work` next time.
    pub(crate) fn fetch(&self, sender: impl FnOnce(&mut Outgoing)) {
        let mut state = self.lock();
        state.idle = state.outgoing.is_empty();
        if state.idle {
            return;
        }
        let was_full = state.outgoing.frames.len() >= UNSENT_BYTES;
        sender(&mut state.outgoing);
        drop(state);
        if was_full {
            self.room.notify_waiters();
        }
    }

    /// The answers to a call have come.
    pub(crate) fn answers(&self, id: u32, replies: Replies) -> Result<(), Malformed> {
        match self.lock().calls.remove(id) {
            Some(Waiter::Call { requests, answer })
                if replies.len() <= requests && (requests == 0 || !replies.is_empty()) =>
            {
                // A caller that has gone does not want its answers.
                drop(answer.send(replies));
                Ok(())
            }
            _ => Err(unasked(id)),
        }
    }

    /// The answer to a wish to subscribe has come.
    pub(crate) fn subscribed(&self, id: u32, outcome: Outcome) -> Result<(), Malformed> {
        let mut state = self.lock();
        let Some(Waiter::Subscribe { subscription, subscriber, answer }) = state.calls.remove(id) else {
            return Err(unasked(id));
        };
        if outcome == Outcome::Subscribed {
            state.subscribers.insert(subscription, subscriber);
        }
        // An asker that has gone is found out by the next beat.
        let _ = answer.send(outcome);
        Ok(())
    }

    /// The outcome of a transaction has come.
    pub(crate) fn transacted(&self, id: u32, verdict: Verdict, replies: Replies) -> Result<(), Malformed> {
        match self.lock().calls.remove(id) {
            Some(Waiter::Transaction { requests, answer })
                if replies.len() == if verdict == Verdict::Done { requests } else { 0 } =>
            {
                drop(answer.send((verdict, replies)));
                Ok(())
            }
            _ => Err(unasked(id)),
        }
    }

    /// The peer has answered a question.
    pub(crate) fn told(&self, id: u32, told: Told) -> Result<(), Malformed> {
        let Some(Waiter::Question { answer }) = self.lock().calls.remove(id) else { return Err(unasked(id)) };
        drop(answer.send(told));
        Ok(())
    }

    /// A change of a bucket of the peer has come. One that nobody waits for any more is of no interest.
    pub(crate) fn changed(&self, subscription: u64, change: Change) {
        let mut state = self.lock();
        let Some(subscriber) = state.subscribers.get(&subscription) else { return };
        let ended = matches!(change, Change::Ended(_));
        let event = Event { bucket: subscriber.bucket.clone(), change };
        let heard = subscriber.publisher.publish(Arc::new(event));
        if ended {
            state.subscribers.remove(&subscription);
        } else if !heard {
            unsubscribe(&mut state, subscription);
            self.wake(state);
        }
    }

    /// Tells the peer of the subscribers that have gone, and gives back memory that is not needed now.
    pub(crate) fn tidy(&self) {
        let mut state = self.lock();
        let gone =
            |(number, subscriber): (&u64, &Subscriber)| subscriber.publisher.is_closed().then_some(*number);
        let gone: Vec<u64> = state.subscribers.iter().filter_map(gone).collect();
        for subscription in &gone {
            unsubscribe(&mut state, *subscription);
        }
        buffers::shrink(&mut state.outgoing.frames);
        if !gone.is_empty() {
            self.wake(state);
        }
    }

    /// Ends the link: whoever waits for an answer learns that it is lost, and every subscription ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let (calls, subscribers) = (take(&mut state.calls), take(&mut state.subscribers));
        state.outgoing = Outgoing::default();
        drop(state);
        self.room.notify_waiters();
        drop(calls);
        for Subscriber { bucket, publisher } in subscribers.into_values() {
            publisher.publish(Arc::new(Event { bucket, change: Change::Ended(EndReason::NodeDown) }));
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let idle = take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of one user of the link must not spread to the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unsubscribe(state: &mut State, subscription: u64) {
    state.subscribers.remove(&subscription);
    Frame::begin(&mut state.outgoing, &Message::Unsubscribe { subscription }).finish();
}

fn unasked(id: u32) -> Malformed {
    Malformed(format!("an answer to call {id} that does not fit what was asked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::CALLS_IN_FLIGHT,
        link::codec::{self, Answer},
    };
    use kv::Op;

    fn link() -> Link {
        Link::new("bar@127.0.0.1".parse().unwrap())
    }

    #[test]
    fn a_link_with_too_many_bytes_unanswered_is_busy_until_some_are_answered() {
        let (link, value) = (link(), vec![b'x'; 1024 * 1024]);
        let request = Request { bucket: b"shopping", op: Op::Put { key: b"milk", value: &value } };
        let calls: Vec<_> = (0..1_000).map_while(|_| link.call(&[request]).ok()).collect();
        assert_eq!(calls.len(), 63, "64 MiB, less the frames' own bytes");
        assert!(matches!(link.call(&[request]), Err(Error::Busy { .. })));
        let mut answers = Vec::new();
        codec::encode(&mut answers, &Answer::NotOwner);
        link.answers(0, Replies::read(&answers).unwrap()).unwrap();
        assert!(link.call(&[request]).is_ok());
    }

    #[test]
    fn a_link_with_too_many_calls_unanswered_is_busy() {
        let (link, request) = (link(), Request { bucket: b"shopping", op: Op::Create });
        let calls: Vec<_> = (0..1_000_000).map_while(|_| link.call(&[request]).ok()).collect();
        assert_eq!(calls.len(), CALLS_IN_FLIGHT);
        assert!(matches!(link.call(&[request]), Err(Error::Busy { .. })));
    }

    #[test]
    fn changes_wait_when_too_much_is_unsent_and_calls_of_a_closed_link_end() {
        let (link, value) = (link(), vec![b'x'; 1024 * 1024].into_boxed_slice());
        let change = Change::Set { key: b"milk".as_slice().into(), value };
        while link.send_change(1, &change).is_ok() {}
        assert_eq!(link.send_change(1, &change), Err(NotSent::Full));
        link.fetch(|outgoing| outgoing.frames.clear());
        assert_eq!(link.send_change(1, &change), Ok(()));
        let (_, mut answer) = link.call(&[Request { bucket: b"shopping", op: Op::Create }]).unwrap();
        link.close();
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert_eq!(link.send_change(1, &change), Err(NotSent::Closed));
    }
}
