//! The loop of a reactor.

use super::{
    driver::Driver,
    queue::{Call, Conversation, Queue, Told},
    slot::Slot,
    turn,
};
use crate::limits::GROUP;
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    io,
    sync::Arc,
    task::{Context, Waker},
};

/// Serves connections until it is told to stop. Those that are left then are dropped.
pub(super) fn run(driver: Driver, queue: &Arc<Queue>) -> io::Result<()> {
    let mut reactor = Reactor { driver, connections: HashMap::default(), due: Vec::new() };
    let mut told = Told::default();
    loop {
        let may_wait = reactor.due.is_empty() && queue.fall_asleep();
        reactor.driver.turn(may_wait, &mut reactor.due)?;
        queue.wake_up(&mut told);
        if told.stop {
            return Ok(());
        }
        for (slot, conversation) in told.newcomers.drain(..) {
            reactor.welcome(slot, conversation, queue);
        }
        reactor.take_turns();
        if !told.woken.is_empty() {
            // Who was called, perhaps by itself, may have much to do: what the others have left does not wait for that.
            reactor.driver.submit()?;
            reactor.due.append(&mut told.woken);
            reactor.take_turns();
        }
    }
}

struct Reactor {
    driver: Driver,
    connections: HashMap<usize, Connection, RandomState>,
    /// Those that have something to do, in the order in which that came.
    due: Vec<usize>,
}

struct Connection {
    slot: Arc<Slot>,
    call: Arc<Call>,
    /// Makes the call.
    waker: Waker,
    conversation: Conversation,
}

impl Reactor {
    fn welcome(&mut self, slot: Arc<Slot>, conversation: Conversation, queue: &Arc<Queue>) {
        if let Err(error) = self.driver.welcome(&slot) {
            return tracing::error!(%error, "cannot serve a client");
        }
        self.due.push(slot.number);
        let call = Arc::new(Call::new(slot.number, queue.clone()));
        let waker = Waker::from(call.clone());
        self.connections.insert(slot.number, Connection { slot, call, waker, conversation });
    }

    /// Polls those that are due, group by group, each group until none of it pauses any more.
    fn take_turns(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        for group in due.chunks_mut(GROUP) {
            let (size, mut left) = (group.len(), group.len());
            while left > 0 {
                let mut paused = 0;
                for place in 0..left {
                    if self.take_turn(group[place], size) {
                        group.swap(paused, place);
                        paused += 1;
                    }
                }
                left = paused;
            }
        }
        due.clear();
        due.append(&mut self.due);
        self.due = due;
    }

    /// Polls one of a group of so many. Returns whether it paused.
    fn take_turn(&mut self, number: usize, group: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        connection.call.is_answered();
        let mut context = Context::from_waker(&connection.waker);
        let conversation = connection.conversation.as_mut();
        let (polled, has_paused) = turn::take(group, || conversation.poll(&mut context));
        if polled.is_ready() {
            self.connections.remove(&number);
            self.driver.forget(number);
        } else if !has_paused && self.driver.carry(&connection.slot) {
            self.due.push(number);
        }
        has_paused
    }
}
