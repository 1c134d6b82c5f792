//! The node's end of the control socket.

use super::{Reply, Request, place::Place};
use crate::{
    console::{self, Node},
    error::Error,
    limits::{CONTROL_CONNECTIONS, CONTROL_REPLY_BYTES, CONTROL_REQUEST_BYTES},
};
use otp::{ChildSpec, Stop, Strategy, Supervisor, TaskSupervisor};
use serde_json::Value;
use std::{fs, io, os::unix::fs::PermissionsExt, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

/// Binds the socket of a node whose claim is held.
pub(crate) fn bind(place: &Place) -> Result<Arc<UnixListener>, Error> {
    let path = place.socket();
    let refused = || Error::io(format!("listen at {}", path.display()));
    let listener = UnixListener::bind(&path).map_err(refused())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(refused())?;
    Ok(Arc::new(listener))
}

/// The acceptor and its conversations.
pub(crate) fn supervisor(listener: &Arc<UnixListener>, node: &Arc<Node>) -> Supervisor {
    let conversations = TaskSupervisor::new("conversations", CONTROL_CONNECTIONS);
    let (listener, node, tasks) = (listener.clone(), node.clone(), conversations.clone());
    let acceptor = ChildSpec::worker("acceptor", move |stop| {
        accept(listener.clone(), node.clone(), tasks.clone(), stop)
    });
    Supervisor::new("control", Strategy::RestForOne).child(ChildSpec::tasks(conversations)).child(acceptor)
}

async fn accept(
    listener: Arc<UnixListener>,
    node: Arc<Node>,
    conversations: TaskSupervisor,
    stop: Stop,
) -> io::Result<()> {
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = stop.cancelled() => return Ok(()),
        };
        let node = node.clone();
        let begun = conversations.spawn("conversation", move |stop| async move {
            tokio::select! {
                outcome = converse(stream, &node) => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, "a conversation at the control socket broke off");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "a conversation at the control socket was refused");
        }
    }
}

/// Answers line after line until the other end goes.
async fn converse(stream: UnixStream, node: &Node) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut stream).take(CONTROL_REQUEST_BYTES).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => answer(node, &request).await,
            Err(error) => Reply::Error(format!("not a request: {error}")),
        };
        let mut line = serde_json::to_vec(&reply)?;
        if line.len() as u64 >= CONTROL_REPLY_BYTES {
            let message = format!("the result is longer than {CONTROL_REPLY_BYTES} bytes");
            line = serde_json::to_vec(&Reply::Error(message))?;
        }
        line.push(b'\n');
        stream.write_all(&line).await?;
    }
}

async fn answer(node: &Node, request: &Request) -> Reply {
    match console::evaluate(node, &request.expression).await {
        Ok(answer) if request.json => Reply::Result(answer.json()),
        Ok(answer) => Reply::Result(Value::String(answer.text())),
        Err(message) => Reply::Error(message),
    }
}
