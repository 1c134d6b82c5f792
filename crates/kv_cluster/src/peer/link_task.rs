//! The life of one link: its socket, read and written by one task until the link ends.

use crate::{
    error::LinkEnd, limits::FLUSH_TIMEOUT, link::Link, link::buffers::Input, link::codec::Message,
    link::send_queue::Frame, local::LocalNode, peer::Peer, serve::Service,
};
use otp::Stop;
use std::{io, pin::pin, sync::Arc};
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

/// Lets the peer be up over this socket until the link ends.
pub(crate) async fn serve(mut stream: TcpStream, peer: &Peer, local: &Arc<LocalNode>, stop: &Stop) {
    let link = Arc::new(Link::new(peer.name().clone()));
    let mut connection = Connection {
        input: Input::default(),
        service: Service::new(local.clone(), link.clone()),
        link: link.clone(),
        silent_beats: 0,
        stuck_beats: 0,
    };
    let up = peer.up(link);
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the link's socket delays small frames");
    }
    let (mut reader, mut writer) = stream.split();
    let Err(end) = connection.run(&mut reader, &writer, stop).await;
    if let LinkEnd::Stopped = end {
        connection.flush(&mut writer).await;
    }
    up.end(&end);
}

struct Connection {
    link: Arc<Link>,
    input: Input,
    service: Service,
    silent_beats: u32,
    stuck_beats: u32,
}

/// A connection runs until something ends it.
enum Never {}

impl Connection {
    async fn run(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &WriteHalf<'_>,
        stop: &Stop,
    ) -> Result<Never, LinkEnd> {
        let heartbeat = self.service.heartbeat();
        let mut beat = interval(heartbeat.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = pin!(stop.cancelled());
        let link = self.link.clone();
        loop {
            let sending = !self.service.output.is_empty();
            tokio::select! {
                biased;
                () = &mut stopped => return Err(LinkEnd::Stopped),
                _ = beat.tick() => self.beat(heartbeat.missed)?,
                read = reader.read_buf(self.input.room()) => self.hear(read?)?,
                ready = writer.writable(), if sending => ready?,
                // All who are ready to run have their say first, so that their calls leave in one write.
                () = link.work(), if !sending => yield_now().await,
                () = self.service.pumps.reap() => {}
            }
            self.send(writer)?;
        }
    }

    /// Does what the frames say of which the last bytes have come now.
    fn hear(&mut self, bytes: usize) -> Result<(), LinkEnd> {
        if bytes == 0 {
            return Err(LinkEnd::Closed);
        }
        self.silent_beats = 0;
        while let Some(frame) = self.input.frame()? {
            self.service.hear(frame)?;
        }
        Ok(())
    }

    /// Sends all frames that there are to send, as far as the socket takes them, and no more than one part of a large
    /// message, so that the peer is heard while the others go.
    fn send(&mut self, writer: &WriteHalf<'_>) -> Result<(), LinkEnd> {
        self.service.output.add_part();
        loop {
            self.service.gather();
            if self.service.output.unsent().is_empty() {
                return Ok(());
            }
            match writer.try_write(self.service.output.unsent()) {
                Ok(bytes) => {
                    self.stuck_beats = 0;
                    self.service.output.advance(bytes);
                    self.service.catch_up()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says that this node is alive, and finds out whether the peer is.
    fn beat(&mut self, missed: u32) -> Result<(), LinkEnd> {
        if self.silent_beats >= missed {
            return Err(LinkEnd::Silent);
        }
        if self.stuck_beats >= missed {
            return Err(LinkEnd::Stuck);
        }
        self.silent_beats += 1;
        let output = &mut self.service.output;
        output.shrink();
        if output.is_empty() {
            Frame::begin(output.outgoing(), &Message::Heartbeat).finish();
        } else {
            self.stuck_beats += 1;
        }
        self.input.shrink();
        self.link.tidy();
        Ok(())
    }

    /// Sends what is left when the node stops, in bounded time.
    async fn flush(&mut self, writer: &mut WriteHalf<'_>) {
        let sent = async {
            self.service.gather();
            while !self.service.output.is_empty() {
                self.service.output.add_part();
                let unsent = self.service.output.unsent();
                let bytes = unsent.len();
                writer.write_all(unsent).await?;
                self.service.output.advance(bytes);
            }
            writer.shutdown().await
        };
        // What the peer does not take in time is lost, as if the link had been cut.
        drop(timeout(FLUSH_TIMEOUT, sent).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cookie::Cookie,
        limits::{FRAME_BYTES, IDLE_BUFFER_BYTES},
        local::Heartbeat,
        local::StorageSettings,
        node_name::NodeName,
        routing::Routes,
    };

    #[test]
    fn an_idle_link_gives_back_the_memory_that_a_large_frame_took() {
        let me: NodeName = "foo@host".parse().unwrap();
        let local = LocalNode::new(
            me.clone(),
            Cookie::new("weknoweachother"),
            Heartbeat::default(),
            Routes::all(me.clone()),
            StorageSettings::default(),
        );
        let link = Arc::new(Link::new(me));
        let mut connection = Connection {
            input: Input::default(),
            service: Service::new(Arc::new(local), link.clone()),
            link,
            silent_beats: 0,
            stuck_beats: 0,
        };
        connection.service.output.outgoing().frames.reserve(FRAME_BYTES);
        assert!(connection.beat(3).is_ok());
        assert!(connection.service.output.outgoing().frames.capacity() <= IDLE_BUFFER_BYTES);
    }
}
