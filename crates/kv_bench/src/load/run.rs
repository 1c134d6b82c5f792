//! The event loop: reads and checks replies, and sends the next batch.

use super::{
    Plan, Report, connection::Connection, progress::Progress, replies::Replies, ring::Ring,
    schedule::Schedule,
};
use crate::{
    cpu::CpuTime,
    error::{Context, Error},
    interrupt::Interrupt,
    limits,
};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

/// Loads the server as planned.
pub(crate) fn run(plan: &Plan, interrupt: &Interrupt) -> Result<Report, Error> {
    run_ring(plan, Ring::of_random_keys(&plan.workload), interrupt)
}

/// The same, with the requests of this ring.
pub(crate) fn run_ring(plan: &Plan, ring: Ring, interrupt: &Interrupt) -> Result<Report, Error> {
    let mut run = Run::prepare(plan, ring)?;
    let server_before = CpuTime::of_all(&plan.server_pids)?;
    let own_before = CpuTime::own()?;
    let start = Instant::now();
    run.drive(plan, start, interrupt)?;
    let elapsed = start.elapsed();
    let own = CpuTime::own()? - own_before;
    let server = CpuTime::of_all(&plan.server_pids)? - server_before;
    Ok(Report::new(plan, run.completed, elapsed, own, server, &run.latencies))
}

struct Run {
    poll: Poll,
    connections: Vec<Connection>,
    ring: Ring,
    replies: Replies,
    schedule: Option<Schedule>,
    /// Nanoseconds from the intended start of a batch to its last reply.
    latencies: Histogram<u64>,
    /// The maximum number of batches.
    batches: u64,
    /// Batches started so far.
    started: u64,
    /// Batches completed so far.
    completed: u64,
}

impl Run {
    fn prepare(plan: &Plan, ring: Ring) -> Result<Run, Error> {
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let open = |token| Connection::open(plan, poll.registry(), Token(token));
        let connections = (0..plan.connections).map(open).collect::<Result<_, _>>()?;
        Ok(Run {
            poll,
            connections,
            ring,
            replies: Replies::to_workload(&plan.workload),
            schedule: None,
            latencies: Histogram::new_with_bounds(1, limits::MAX_RUN.as_nanos() as u64, 3)?,
            batches: plan.batches(),
            started: 0,
            completed: 0,
        })
    }

    fn drive(&mut self, plan: &Plan, start: Instant, interrupt: &Interrupt) -> Result<(), Error> {
        let duration = plan.duration();
        let pipeline = plan.workload.pipeline as f64;
        self.schedule = plan.rate.map(|rate| Schedule::new(start, rate as f64 / pipeline, plan.connections));
        // In an open loop a wait would delay batches, so the clock is polled instead.
        let timeout = if plan.rate.is_some() { Duration::ZERO } else { limits::POLL_TIMEOUT };
        let mut events = Events::with_capacity(limits::EVENTS);
        let mut buffer = vec![0; limits::READ_BYTES];
        let mut progress = Progress::new(duration, self.batches);
        let mut last_event = start;
        self.start_all(start)?;
        while self.completed < self.batches && start.elapsed() < duration {
            interrupt.check()?;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.context("cannot wait for sockets")?,
            }
            for event in &events {
                self.serve(event.token().0, &mut buffer)?;
            }
            let now = Instant::now();
            self.start_due(now)?;
            if !events.is_empty() || self.started == self.completed {
                last_event = now;
            } else if now - last_event > limits::REPLY_TIMEOUT {
                return Err(Error::ReplyTimeout(limits::REPLY_TIMEOUT.as_secs()));
            }
            progress.show(now - start, self.completed);
        }
        Ok(())
    }

    /// In a closed loop every connection has a batch in flight from the start.
    fn start_all(&mut self, now: Instant) -> Result<(), Error> {
        if self.schedule.is_none() {
            for connection in 0..self.connections.len() {
                self.start(connection, now)?;
            }
        }
        Ok(())
    }

    /// In an open loop connections start when they are due; a busy one starts as soon as it is idle.
    fn start_due(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(due) = self.schedule.as_mut().and_then(|schedule| schedule.due(now)) {
            let connection = &self.connections[due.connection];
            if connection.intended.is_none() && connection.started == due.batch {
                self.start(due.connection, due.intended)?;
            }
        }
        Ok(())
    }

    /// Handles a connection that is ready.
    fn serve(&mut self, connection: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let ready = &mut self.connections[connection];
        ready.send(&self.ring)?;
        let Some(intended) = ready.receive(&self.replies, buffer)? else { return Ok(()) };
        let started = ready.started;
        let now = Instant::now();
        self.completed += 1;
        self.latencies.saturating_record((now - intended).as_nanos() as u64);
        match self.schedule.as_ref().map(|schedule| schedule.intended(connection, started)) {
            None => self.start(connection, now),
            Some(overdue) if overdue <= now => self.start(connection, overdue),
            Some(_) => Ok(()),
        }
    }

    fn start(&mut self, connection: usize, intended: Instant) -> Result<(), Error> {
        if self.started < self.batches {
            self.started += 1;
            self.connections[connection].start(&mut self.ring, intended)?;
        }
        Ok(())
    }
}
