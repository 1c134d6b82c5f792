//! Lists a hash that is too large for one answer: page by page, so that no lock is held for long.

use super::{render, session::Session, write::Writer};
use crate::{limits::LISTED_BYTES, output::Output};
use kv::{Op, Part, Reply, Request};
use std::io;
use tokio::task::yield_now;

/// Lists what is asked for of the entries of a hash. How many there are stands before them, so they wait until all
/// have come.
pub(super) async fn list(
    session: &Session,
    bucket: &[u8],
    part: Part,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let (mut entries, mut count, mut cursor) = (Vec::new(), 0, 0);
    loop {
        let request = Request { bucket, op: Op::Entries { part, cursor } };
        let mut writer = Writer::new(&mut entries, session.version);
        let page = session.server.cluster.ask(request, |reply| match reply {
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
            Ok(Some(0)) => break,
            Ok(Some(next)) => cursor = next,
            Ok(None) => return Ok(()),
            Err(error) => {
                render::failure(&mut session.writer(output), &error);
                return Ok(());
            }
        }
        if entries.len() > LISTED_BYTES {
            let what = format!("ERR more than {LISTED_BYTES} bytes to be listed: use HSCAN");
            session.writer(output).error(&what);
            return Ok(());
        }
        // Other clients of this thread come before the next page.
        yield_now().await;
    }
    let mut writer = session.writer(output);
    match part {
        Part::Both => writer.map(count / 2),
        Part::Keys | Part::Values => writer.list(count),
    }
    output.flush().await?;
    output.write(&entries).await
}
