//! The task of one link: it owns the socket, and reads and writes until the link closes.

use crate::{
    error::LinkClosed,
    limits::FLUSH_TIMEOUT,
    link::{
        Link,
        buffers::{ReadBuffer, WriteBuffer},
        codec::Message,
        send_queue::MessageWriter,
    },
    local::LocalNode,
    peer::Peer,
    serve::Inbound,
};
use otp::Stop;
use std::{convert::Infallible, io, pin::pin, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    task::yield_now,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::debug;

/// Runs the link over this socket until it closes. Until then the peer is up.
pub(crate) async fn run(mut stream: TcpStream, peer: &Peer, local: &Arc<LocalNode>, stop: &Stop) {
    let link = Arc::new(Link::new(peer.name().clone()));
    let mut task = LinkTask::new(local.clone(), link.clone());
    let guard = peer.mark_up(link);
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
        }
    }

    async fn run(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &WriteHalf<'_>,
        stop: &Stop,
    ) -> Result<Infallible, LinkClosed> {
        let heartbeat = self.local.heartbeat;
        let mut ticks = interval(heartbeat.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = pin!(stop.cancelled());
        let link = self.link.clone();
        loop {
            let is_writing = !self.output.is_empty();
            tokio::select! {
                biased;
                () = &mut stopped => return Err(LinkClosed::Stopped),
                _ = ticks.tick() => self.heartbeat(heartbeat.missed)?,
                read = reader.read_buf(self.input.reserve()) => self.read(read?)?,
                ready = writer.writable(), if is_writing => ready?,
                // Other ready tasks run first, so that their calls leave in one write.
                () = link.send_ready(), if !is_writing => yield_now().await,
                () = self.inbound.reap_stream() => {}
            }
            self.write(writer)?;
        }
    }

    /// Handles the frames that the newly read bytes have completed.
    fn read(&mut self, bytes: usize) -> Result<(), LinkClosed> {
        if bytes == 0 {
            return Err(LinkClosed::ByPeer);
        }
        self.missed_reads = 0;
        while let Some(frame) = self.input.next_frame()? {
            self.inbound.receive(frame, &mut self.output)?;
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
    }

    /// Queues a heartbeat if the link is idle, and checks that the peer is alive.
    fn heartbeat(&mut self, max_missed: u32) -> Result<(), LinkClosed> {
        if self.missed_reads >= max_missed {
            return Err(LinkClosed::HeartbeatTimeout);
        }
        if self.missed_writes >= max_missed {
            return Err(LinkClosed::NotReading);
        }
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
        cookie::Cookie,
        limits::{FRAME_BYTES, IDLE_BUFFER_BYTES},
        local::{Heartbeat, StoreSettings},
        node_name::NodeName,
        routing::Routes,
    };

    #[test]
    fn an_idle_link_frees_the_memory_that_a_large_frame_took() {
        let name: NodeName = "foo@host".parse().unwrap();
        let local = LocalNode::new(
            name.clone(),
            Cookie::new("weknoweachother"),
            Heartbeat::default(),
            Routes::all(name.clone()),
            StoreSettings::default(),
        );
        let mut task = LinkTask::new(Arc::new(local), Arc::new(Link::new(name)));
        task.output.queue().frames.reserve(FRAME_BYTES);
        assert!(task.heartbeat(3).is_ok());
        assert!(task.output.queue().frames.capacity() <= IDLE_BUFFER_BYTES);
    }
}
