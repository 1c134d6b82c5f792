//! The node's end of the control socket.

use super::{
    message::{Reply, Request},
    run_dir::RunDir,
};
use crate::{
    console::{self, Node},
    error::Error,
    limits::{CONTROL_CONNECTIONS, CONTROL_REPLY_BYTES, CONTROL_REQUEST_BYTES},
};
use otp::{AcceptErrors, ChildSpec, LogLimiter, Stop, Strategy, Supervisor, TaskSupervisor};
use serde_json::Value;
use std::{fs, io, os::unix::fs::PermissionsExt, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

/// Binds the socket of a node whose pid lock is held.
pub(crate) fn bind(run_dir: &RunDir) -> Result<Arc<UnixListener>, Error> {
    let path = run_dir.socket();
    let io_error = || run_dir.unusable("listen at", &path);
    let listener = UnixListener::bind(&path).map_err(io_error())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io_error())?;
    Ok(Arc::new(listener))
}

/// The acceptor and its connections.
pub(crate) fn supervisor(listener: &Arc<UnixListener>, node: &Arc<Node>) -> Supervisor {
    let connections = TaskSupervisor::new("connections", CONTROL_CONNECTIONS);
    let (listener, node, tasks) = (listener.clone(), node.clone(), connections.clone());
    let errors = AcceptErrors::new("control connections");
    let acceptor = ChildSpec::worker("acceptor", move |stop| {
        accept(listener.clone(), node.clone(), tasks.clone(), errors.clone(), stop)
    });
    Supervisor::new("control", Strategy::RestForOne).child(ChildSpec::tasks(connections)).child(acceptor)
}

async fn accept(
    listener: Arc<UnixListener>,
    node: Arc<Node>,
    connections: TaskSupervisor,
    errors: AcceptErrors,
    stop: Stop,
) -> io::Result<()> {
    let refusals = LogLimiter::new("control connections were refused", 1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return Ok(()),
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                stop.run_until_cancelled(errors.pause(&error)).await;
                continue;
            }
        };
        let node = node.clone();
        let spawned = connections.spawn("connection", move |stop| async move {
            tokio::select! {
                outcome = handle_connection(stream, &node) => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, "control connection failed");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
        if let Err(error) = spawned
            && refusals.admit()
        {
            tracing::warn!(%error, "control connection refused");
        }
    }
}

/// Replies to one line after another until the client closes the connection.
async fn handle_connection(stream: UnixStream, node: &Node) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut stream).take(CONTROL_REQUEST_BYTES).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => execute(node, &request).await,
            Err(error) => Reply::Error(format!("invalid request: {error}")),
        };
        let mut line = serde_json::to_vec(&reply)?;
        if line.len() as u64 >= CONTROL_REPLY_BYTES {
            let message = format!("the result exceeds {CONTROL_REPLY_BYTES} bytes");
            line = serde_json::to_vec(&Reply::Error(message))?;
        }
        line.push(b'\n');
        stream.write_all(&line).await?;
    }
}

async fn execute(node: &Node, request: &Request) -> Reply {
    match console::evaluate(node, &request.expression).await {
        Ok(value) if request.json => Reply::Result(value.json()),
        Ok(value) => Reply::Result(Value::String(value.text())),
        Err(message) => Reply::Error(message),
    }
}
