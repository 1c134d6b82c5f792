//! The node's end of the control socket.

use super::{
    message::{ImportPage, PageHead, Reply, Request},
    run_dir::RunDir,
};
use crate::{
    console::{self, Node},
    error::Error,
    limits::{
        CONTROL_CONNECTIONS, CONTROL_REPLY_BYTES, CONTROL_REQUEST_BYTES, IMPORT_LINE_BYTES,
        IMPORT_PAGE_BYTES, TRANSFER_TIMEOUT,
    },
    output::counted,
    records::{
        backup::Backup,
        export::Export,
        import::{Import, ImportCounts},
        pages::Pages,
    },
};
use kv_cluster::{Scope, escape_name};
use otp::{AcceptErrors, ChildSpec, LogLimiter, Stop, Strategy, Supervisor, TaskSupervisor};
use serde_json::Value;
use std::{fs, io, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, copy, sink},
    net::{UnixListener, UnixStream},
    task::spawn_blocking,
    time::timeout,
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

/// Replies to one request after another until the client closes the connection.
async fn handle_connection(stream: UnixStream, node: &Node) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut import = None;
    let ended = handle_requests(&mut stream, node, &mut import).await;
    if let Some(name) = import.as_ref().and_then(Import::incomplete) {
        let bucket = escape_name(name);
        tracing::warn!(
            bucket,
            "an import broke off in this bucket, which lacks entries; import again, which completes it, or \
             restore its backup into an empty node"
        );
    }
    ended
}

async fn handle_requests(
    stream: &mut BufReader<UnixStream>,
    node: &Node,
    import: &mut Option<Import>,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        (&mut *stream).take(CONTROL_REQUEST_BYTES).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(Request::Evaluate { expression, json }) => evaluate(node, &expression, json).await,
            Ok(Request::Export { export }) => {
                send_pages(stream, Export::new(node.cluster.clone(), export.name), Duration::MAX).await?
            }
            // It keeps memory for its client.
            Ok(Request::Backup { .. }) => {
                send_pages(stream, begin_backup(node).await?, TRANSFER_TIMEOUT).await?
            }
            Ok(Request::Import { import: page }) => {
                let lines = read_lines(&mut *stream, page.bytes, IMPORT_PAGE_BYTES).await?;
                let Some(lines) = lines else { return Ok(()) };
                match lines.and_then(|lines| check_target(node, import, page).map(|()| lines)) {
                    Ok(lines) => Reply::Imported(import_page(node, import, page, lines).await),
                    Err(message) => Reply::Error(message),
                }
            }
            Err(error) => Reply::Error(format!("invalid request: {error}")),
        };
        send(stream, &reply).await?;
    }
}

async fn send(stream: &mut BufReader<UnixStream>, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    if line.len() as u64 >= CONTROL_REPLY_BYTES {
        let message = format!("the result exceeds {CONTROL_REPLY_BYTES} bytes");
        line = serde_json::to_vec(&Reply::Error(message))?;
    }
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn evaluate(node: &Node, expression: &str, json: bool) -> Reply {
    match console::evaluate(node, expression).await {
        Ok(value) if json => Reply::Result(value.json()),
        Ok(value) => Reply::Result(Value::String(value.text())),
        Err(message) => Reply::Error(message),
    }
}

/// Sends page after page, each when the client has taken the one before, and returns the last reply. A client
/// that takes none for as long as `limit` ends it.
async fn send_pages(
    stream: &mut BufReader<UnixStream>,
    pages: Result<impl Pages, String>,
    limit: Duration,
) -> io::Result<Reply> {
    let mut pages = match pages {
        Ok(pages) => pages,
        Err(message) => return Ok(Reply::Error(message)),
    };
    let total = pages.total();
    loop {
        // Large values take too long for a thread that has other tasks.
        let read = spawn_blocking(move || {
            let page = pages.next_page();
            (pages, page)
        });
        let page;
        (pages, page) = read.await?;
        let bytes = match page {
            Ok(Some(bytes)) if bytes.is_empty() => continue,
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(message) => return Ok(Reply::Error(message)),
        };
        let head = PageHead { bytes: bytes.len() as u64, counts: pages.counts(), total };
        timeout(limit, async {
            send(stream, &Reply::Page(head)).await?;
            stream.write_all(&bytes).await
        })
        .await??;
    }
    let scope = spawn_blocking(move || pages.into_scope()).await?;
    Ok(scope.map_or_else(Reply::Error, Reply::Exported))
}

/// Begins a backup, when no range writes a snapshot.
async fn begin_backup(node: &Node) -> io::Result<Result<Backup, String>> {
    let cluster = node.cluster.clone();
    for range in cluster.local().ranges() {
        range.wait_until_written().await;
    }
    Ok(spawn_blocking(move || Backup::new(&cluster)).await?)
}

/// A restore begins only in a node without buckets.
fn check_target(node: &Node, import: &Option<Import>, page: ImportPage) -> Result<(), String> {
    if !page.into_empty || import.is_some() {
        return Ok(());
    }
    node.cluster.local().check_ranges().map_err(|failure| failure.to_string())?;
    let buckets: u64 = node.cluster.local().bucket_counts(Scope::All).iter().sum();
    if buckets > 0 {
        return Err(format!(
            "the node has {}, and a backup is restored into an empty node: start one, \
             or empty this one (FLUSHALL); `import` of an export adds to what is there",
            counted(buckets, "bucket or string", "buckets and strings")
        ));
    }
    Ok(())
}

async fn import_page(
    node: &Node,
    import: &mut Option<Import>,
    page: ImportPage,
    lines: Vec<u8>,
) -> ImportCounts {
    let state = import.get_or_insert_with(|| Import::new(page.replace));
    let counts = state.page(&node.cluster, lines).await;
    if page.last && counts.stopped.is_none() {
        *import = None;
    }
    counts
}

/// The lines of a page; `None` if the client has gone. Those of a page of more than `limit` bytes are
/// skipped.
pub(super) async fn read_lines(
    input: impl AsyncRead + Unpin,
    bytes: u64,
    limit: u64,
) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let (mut input, mut lines) = (input.take(bytes), Vec::new());
    if bytes > limit {
        let skipped = copy(&mut input, &mut sink()).await?;
        let message = format!("a line exceeds {IMPORT_LINE_BYTES} bytes");
        return Ok((skipped == bytes).then_some(Err(message)));
    }
    input.read_to_end(&mut lines).await?;
    Ok((lines.len() as u64 == bytes).then_some(Ok(lines)))
}
