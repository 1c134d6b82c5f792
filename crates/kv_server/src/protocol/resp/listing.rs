//! Lists what is too large for one answer: page by page, so that neither a lock nor the thread is held for long.

use super::{render, session::Session, write::Writer};
use crate::{limits::LISTED_BYTES, pipeline::buffers::Output};
use kv::{Op, Projection, Reply, Request};
use std::io;
use tokio::task::yield_now;

/// Pages as they will be written. How much there is stands before them, so they wait until all have come.
#[derive(Default)]
pub(super) struct Pages {
    rendered: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pages {
    /// Takes in one more. `false`: that is more than is listed.
    pub(super) fn add(&mut self, page: Vec<u8>) -> bool {
        self.bytes += page.len();
        self.rendered.push(page);
        self.bytes <= LISTED_BYTES
    }

    /// Writes them all, and lets other clients of this thread come before each.
    pub(super) async fn write(self, output: &mut Output<'_>) -> io::Result<()> {
        output.flush().await?;
        for page in self.rendered {
            yield_now().await;
            output.write(&page).await?;
        }
        Ok(())
    }
}

/// Lists what is asked for of the entries of a hash.
pub(super) async fn list(
    session: &Session,
    bucket: &[u8],
    projection: Projection,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let (mut pages, mut count, mut cursor) = (Pages::default(), 0, 0);
    loop {
        let mut rendered = Vec::new();
        let request = Request { bucket, op: Op::Entries { projection, cursor } };
        let mut writer = Writer::new(&mut rendered, session.version);
        let page = session.server.cluster.execute(request, |reply| match reply {
            Reply::Page { items, next } => {
                count += items.len();
                items.iter().for_each(|item| render::reply(&mut writer, bucket, item));
                Some(next)
            }
            // It is gone by now.
            Reply::NoBucket | Reply::NoKey => Some(0),
            other => {
                render::reply(&mut session.writer(output), bucket, &other);
                None
            }
        });
        match page.await {
            Ok(Some(next)) => cursor = next,
            Ok(None) => return Ok(()),
            Err(error) => {
                render::failure(&mut session.writer(output), &error);
                return Ok(());
            }
        }
        if !pages.add(rendered) {
            let what = format!("ERR more than {LISTED_BYTES} bytes to be listed: use HSCAN");
            session.writer(output).error(&what);
            return Ok(());
        }
        if cursor == 0 {
            break;
        }
        // Other clients of this thread come before the next page.
        yield_now().await;
    }
    let mut writer = session.writer(output);
    match projection {
        Projection::Both => writer.map(count / 2),
        Projection::Keys | Projection::Values => writer.list(count),
    }
    pages.write(output).await
}
