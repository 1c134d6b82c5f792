//! Replies too large for one step: their pages are collected first, so no step holds a lock for long.

use crate::{
    limits::PAGED_REPLY_BYTES,
    memory::{Account, Charge, Use},
    pipeline::{
        buffers::{Output, ReplyBuffer},
        router,
    },
    protocol::resp::{
        encoder::RespEncoder,
        reply::{error::cluster_error, write_reply},
        session::RespSession,
    },
};
use kv::{Op, Projection, Reply, Request};
use std::{io, sync::Arc};
use tokio::task::yield_now;

/// Encoded pages. They are kept until all are read, since the header before them contains the total count.
pub(super) struct PagedReply {
    pages: Vec<ReplyBuffer>,
    bytes: usize,
    /// Bytes of the pages' buffers.
    held: usize,
    charge: Charge,
}

impl PagedReply {
    /// A reply without pages, charged to `account`.
    pub(super) fn new(account: &Arc<Account>) -> PagedReply {
        PagedReply { pages: Vec::new(), bytes: 0, held: 0, charge: Charge::new(account, Use::Output) }
    }

    /// Adds a page. `false`: the reply exceeds the limit.
    pub(super) fn push(&mut self, page: ReplyBuffer) -> bool {
        self.bytes += page.size();
        self.held += page.held();
        self.charge.set(self.held);
        self.pages.push(page);
        self.bytes <= PAGED_REPLY_BYTES
    }

    /// Writes all pages; other connections of this thread run between them.
    pub(super) async fn write(mut self, output: &mut Output<'_>) -> io::Result<()> {
        output.flush().await?;
        for page in self.pages {
            yield_now().await;
            self.held -= page.held();
            output.write(page).await?;
            self.charge.set(self.held);
        }
        Ok(())
    }
}

/// Writes all entries of a hash: the fields, the values, or both.
pub(crate) async fn write_entries(
    session: &RespSession,
    bucket: &[u8],
    projection: Projection,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let (mut reply, mut count, mut cursor) = (PagedReply::new(&session.client.account), 0, 0);
    loop {
        let op = Op::Entries { projection, cursor };
        let request = Request { database: session.database, bucket, op };
        let page = read_page(session, request, output, |encoder, items| {
            count += items.len();
            items.iter().for_each(|item| write_reply(encoder, bucket, item));
        });
        let Some((encoded, next)) = page.await else { return Ok(()) };
        if !reply.push(encoded) {
            write_too_large(session, "HSCAN", output);
            return Ok(());
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let mut encoder = session.encoder(output);
    match projection {
        Projection::Both => encoder.map(count / 2),
        Projection::Keys | Projection::Values => encoder.array(count),
    }
    reply.write(output).await
}

/// Reads one page, which `encode` writes. Returns its bytes and the cursor of the next one; `None` if another
/// reply or an error was written instead. Other connections of this thread run before it.
pub(super) async fn read_page(
    session: &RespSession,
    request: Request<'_>,
    output: &mut Output<'_>,
    encode: impl FnOnce(&mut RespEncoder<'_>, &[Reply<'_>]),
) -> Option<(ReplyBuffer, u64)> {
    yield_now().await;
    let mut encoded = ReplyBuffer::default();
    let mut encoder = RespEncoder::new(&mut encoded, session.version);
    let page = router::execute_one(&session.context.cluster, request, |reply| match reply {
        Reply::Page { items, next } => {
            encode(&mut encoder, &items);
            Some(next)
        }
        // The hash has been removed since the last page.
        Reply::NoBucket | Reply::NoKey => Some(0),
        other => {
            write_reply(&mut session.encoder(output), request.bucket, &other);
            None
        }
    });
    match page.await {
        Ok(next) => next.map(|next| (encoded, next)),
        Err(error) => {
            cluster_error(&mut session.encoder(output), &error);
            None
        }
    }
}

/// Writes that the reply exceeds the limit, and what to use instead.
pub(super) fn write_too_large(session: &RespSession, instead: &str, output: &mut Output<'_>) {
    let message = format!("ERR more than {PAGED_REPLY_BYTES} bytes to be listed: use {instead}");
    session.encoder(output).error(&message);
}
