//! One client: reads what has arrived, has it answered as a batch, and writes the replies at once.

use crate::{
    input::Input,
    limits::Limits,
    output::Output,
    protocol::text::{Progress, Session},
};
use kv_cluster::Cluster;
use otp::Stop;
use std::{io, pin::pin};
use tokio::net::TcpStream;

/// Serves one client until it leaves, is told to leave, or the node stops.
pub(crate) async fn serve(mut stream: TcpStream, cluster: Cluster, limits: Limits, stop: Stop) {
    let ended = converse(&mut stream, cluster, limits, stop).await;
    match ended {
        Ok(()) => tracing::debug!("connection closed"),
        Err(error) => tracing::debug!(%error, "connection lost"),
    }
}

async fn converse(stream: &mut TcpStream, cluster: Cluster, limits: Limits, stop: Stop) -> io::Result<()> {
    let mut stopped = pin!(stop.cancelled());
    let mut input = Input::default();
    let (mut reader, writer) = stream.split();
    let mut output = Output::new(writer);
    let mut session = Session::new(cluster, limits);
    loop {
        tokio::select! {
            biased;
            ready = reader.readable() => ready?,
            still_open = session.next_events(&mut output.bytes) => {
                output.flush().await?;
                if still_open { continue } else { return Ok(()) }
            }
            () = &mut stopped => return Ok(()),
        }
        match input.read_from(&mut reader).await? {
            Some(0) => return Ok(()),
            Some(_) => {}
            None => {
                input.rest();
                continue;
            }
        }
        output.wake();
        loop {
            let progress = session.answer(&mut input, &mut output).await?;
            if progress != Progress::More || output.is_full() {
                output.flush().await?;
            }
            match progress {
                Progress::More => {}
                Progress::Starved => break,
                Progress::Close => return Ok(()),
            }
        }
        input.rest();
        output.rest();
    }
}
