//! The task of one link: it owns the socket, and reads and writes until the link closes.

use crate::{
    error::LinkClosed,
    limits::{FLUSH_TIMEOUT, FRAME_PROGRESS_BYTES, LATE_CALLS},
    link::{
        Link,
        buffers::{ReadBuffer, WriteBuffer},
        codec::Message,
        send_queue::MessageWriter,
    },
    local::{LinkSettings, LocalNode},
    peer::{AuthenticatedSocket, Peer},
    routing::Agreement,
    serve::Inbound,
};
use otp::Stop;
use std::{convert::Infallible, future::ready, io, pin::pin, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    task::yield_now,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, warn};

/// Runs the link over this socket until it closes. Until then the peer is up.
pub(crate) async fn run(socket: AuthenticatedSocket, peer: &Peer, local: &Arc<LocalNode>, stop: &Stop) {
    let AuthenticatedSocket { mut stream, routes, version } = socket;
    // Before the link is up: no request passes it that only one of the two nodes refuses.
    let cluster = local.replicated.table.borrow().cluster;
    if routes.cluster > 0 && cluster == 0 {
        local.join_cluster();
    }
    let agreement = Agreement::of(cluster, routes.cluster);
    let disputed = local.table.dispute(peer.index(), &routes.routes, agreement);
    let link = Arc::new(Link::new(peer.name().clone()));
    let mut task = LinkTask::new(local.clone(), link.clone());
    let guard = peer.mark_up(link, version);
    if disputed.is_some() {
        let names = local.table.disputed_names(peer.index()).unwrap_or_default();
        if agreement == Agreement::Different {
            warn!(
                node = %peer.name(),
                "the other node belongs to a cluster that was formed apart from this one, with copies of its own \
                 of the same names: stop the nodes of the one that is not wanted, and wipe their data directories"
            );
        }
        warn!(
            node = %peer.name(), %names,
            "the routes of this node and the other differ: neither serves these names; give both the same \
             configuration"
        );
    }
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY on a link");
    }
    let (mut reader, mut writer) = stream.split();
    let Err(reason) = task.run(&mut reader, &writer, stop).await;
    if let LinkClosed::Stopped = reason {
        task.flush(&mut writer).await;
    }
    // What the peer holds here ends before it counts as down.
    drop(task);
    guard.close(&reason);
}

struct LinkTask {
    local: Arc<LocalNode>,
    link: Arc<Link>,
    input: ReadBuffer,
    output: WriteBuffer,
    inbound: Inbound,
    /// Heartbeats since something was read.
    missed_reads: u32,
    /// Heartbeats since something was last written, counted while bytes are waiting to be written.
    missed_writes: u32,
    /// Whether the frame that is arriving grows, and whether it is complete in time.
    frame_growth: Progress,
    frame_end: Progress,
    /// Whether the large message that is arriving grows.
    message_growth: Progress,
}

/// Detects an incomplete frame or message that does not go on, from one heartbeat to the next.
#[derive(Debug, Default)]
struct Progress {
    /// What is arriving, and how many of its bytes had arrived when it last made progress.
    last: Option<(u64, usize)>,
    /// Heartbeats since then.
    heartbeats: u32,
}

impl Progress {
    /// Fails when, for more than `timeout` heartbeats, the same frame or message has been arriving and fewer
    /// than `bytes` of it have.
    fn check(
        &mut self,
        arriving: Option<(u64, usize)>,
        bytes: usize,
        timeout: u32,
    ) -> Result<(), LinkClosed> {
        let is_stuck = match (self.last, arriving) {
            (Some((last, before)), Some((current, now))) => last == current && now - before < bytes,
            _ => false,
        };
        if !is_stuck {
            *self = Progress { last: arriving, heartbeats: 0 };
            return Ok(());
        }
        self.heartbeats += 1;
        if self.heartbeats > timeout { Err(LinkClosed::Stalled) } else { Ok(()) }
    }
}

impl LinkTask {
    fn new(local: Arc<LocalNode>, link: Arc<Link>) -> LinkTask {
        LinkTask {
            input: ReadBuffer::default(),
            output: WriteBuffer::default(),
            inbound: Inbound::new(local.clone(), link.clone()),
            local,
            link,
            missed_reads: 0,
            missed_writes: 0,
            frame_growth: Progress::default(),
            frame_end: Progress::default(),
            message_growth: Progress::default(),
        }
    }

    async fn run(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &WriteHalf<'_>,
        stop: &Stop,
    ) -> Result<Infallible, LinkClosed> {
        let settings = self.local.links;
        let mut ticks = interval(settings.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = pin!(stop.cancelled());
        let link = self.link.clone();
        loop {
            self.inbound.begin_turn();
            let (is_writing, has_work) = (!self.output.is_empty(), self.inbound.has_work(&self.output));
            tokio::select! {
                biased;
                () = &mut stopped => return Err(LinkClosed::Stopped),
                _ = ticks.tick() => self.heartbeat(settings)?,
                read = reader.read_buf(self.input.reserve()) => self.read(read?)?,
                ready = writer.writable(), if is_writing => ready?,
                // Other ready tasks run first, so that their calls leave in one write.
                () = link.send_ready(), if !is_writing => yield_now().await,
                () = self.inbound.progress(&mut self.output) => {}
                () = ready(()), if has_work => {}
            }
            self.inbound.publish(&mut self.output);
            self.inbound.run_deferred(&mut self.output)?;
            self.write(writer)?;
            if self.inbound.has_work(&self.output) {
                // Other tasks run between two turns.
                yield_now().await;
            }
        }
    }

    /// Handles the frames that the newly read bytes have completed.
    fn read(&mut self, bytes: usize) -> Result<(), LinkClosed> {
        if bytes == 0 {
            return Err(LinkClosed::ByPeer);
        }
        self.missed_reads = 0;
        while let Some(frame) = self.input.next_frame()? {
            self.inbound.receive(frame.into(), &mut self.output)?;
        }
        Ok(())
    }

    /// Writes queued frames and one fragment of a large message, as far as the socket takes them. The socket
    /// is read before the next fragment.
    fn write(&mut self, writer: &WriteHalf<'_>) -> Result<(), LinkClosed> {
        self.output.push_fragment();
        loop {
            self.fill_output();
            if self.output.unwritten().is_empty() {
                return Ok(());
            }
            match writer.try_write(self.output.unwritten()) {
                Ok(bytes) => {
                    self.missed_writes = 0;
                    self.output.advance(bytes);
                    self.inbound.run_deferred(&mut self.output)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Moves what this node has queued for the peer to the write buffer.
    fn fill_output(&mut self) {
        if self.output.has_room() {
            self.link.drain_outgoing(|queue| self.output.append(queue));
        }
        self.link.note_large_bytes(self.output.large_bytes());
    }

    /// Queues a heartbeat if the link is idle, and checks that the peer is alive.
    fn heartbeat(&mut self, settings: LinkSettings) -> Result<(), LinkClosed> {
        let max_missed = settings.missed_heartbeats;
        if self.missed_reads >= max_missed {
            return Err(LinkClosed::HeartbeatTimeout);
        }
        if self.missed_writes >= max_missed {
            return Err(LinkClosed::NotReading);
        }
        self.check_progress(settings)?;
        self.missed_reads += 1;
        self.output.shrink();
        if self.output.is_empty() {
            MessageWriter::begin(self.output.queue(), &Message::Heartbeat).finish();
        } else {
            self.missed_writes += 1;
        }
        self.input.shrink();
        self.link.reap();
        Ok(())
    }

    /// Checks that what has begun to arrive goes on, and ends the wait for replies that are late.
    fn check_progress(&mut self, settings: LinkSettings) -> Result<(), LinkClosed> {
        let timeout = settings.call_timeout_heartbeats();
        let frame = self.input.arriving();
        self.frame_growth.check(frame, FRAME_PROGRESS_BYTES, settings.missed_heartbeats)?;
        self.frame_end.check(frame, usize::MAX, timeout)?;
        self.message_growth.check(self.inbound.arriving(), 1, timeout)?;
        match self.link.time_out_calls(timeout) {
            ..=LATE_CALLS => Ok(()),
            late => Err(LinkClosed::Unresponsive(late)),
        }
    }

    /// Writes what is left when the node stops, within a time limit.
    async fn flush(&mut self, writer: &mut WriteHalf<'_>) {
        let written = async {
            self.fill_output();
            while !self.output.is_empty() {
                self.output.push_fragment();
                let unwritten = self.output.unwritten();
                let bytes = unwritten.len();
                writer.write_all(unwritten).await?;
                self.output.advance(bytes);
            }
            writer.shutdown().await
        };
        // What is not written in time is lost, as if the link had been cut.
        drop(timeout(FLUSH_TIMEOUT, written).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::{FRAME_BYTES, IDLE_BUFFER_BYTES},
        tests::local_node,
    };

    #[test]
    fn an_idle_link_frees_the_memory_that_a_large_frame_took() {
        let local = local_node();
        let link = Link::new(local.name.clone());
        let mut task = LinkTask::new(local, Arc::new(link));
        task.output.queue().frames.reserve(FRAME_BYTES);
        assert!(task.heartbeat(LinkSettings::default()).is_ok());
        assert!(task.output.queue().frames.capacity() <= IDLE_BUFFER_BYTES);
    }
}
