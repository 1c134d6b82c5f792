//! Commands on all keys of all nodes.

use super::{is, number, other};
use crate::{
    limits::LISTED_BYTES,
    pipeline::buffers::Output,
    protocol::resp::{
        listing::Pages,
        session::{Session, Trouble},
        write::Writer,
    },
};
use kv::{Args, CommandError, Kind, ScanFilter};
use tokio::task::yield_now;

/// Names that one step of SCAN looks at when the client does not say.
const SCAN_COUNT: usize = 10;

/// `DBSIZE`
pub(in super::super) async fn dbsize(
    session: &mut Session,
    _: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let count = session.server.cluster.bucket_count().await?;
    session.writer(output).number(count as i64);
    Ok(())
}

/// `FLUSHALL [ASYNC|SYNC]`, and `FLUSHDB`, for there is one database. Names go at once and memory piece by piece.
pub(in super::super) async fn flushall(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let known = args.next().is_none_or(|mode| is(mode, "async") || is(mode, "sync"));
    if !known || args.next().is_some() {
        return Err(CommandError::Syntax.into());
    }
    session.server.cluster.flush().await?;
    session.writer(output).ok();
    Ok(())
}

/// `KEYS pattern`
pub(in super::super) async fn keys(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let wanted = ScanFilter { pattern: args.next(), kind: None, count: usize::MAX };
    let (mut pages, mut count, mut cursor) = (Pages::default(), 0, 0);
    loop {
        let page = session.server.cluster.scan(cursor, &wanted).await?;
        let mut rendered = Vec::new();
        page.names.iter().for_each(|name| Writer::new(&mut rendered, session.version).bulk(name));
        count += page.names.len();
        if !pages.add(rendered) {
            return Err(other(&format!("ERR more than {LISTED_BYTES} bytes of names: use SCAN")).into());
        }
        cursor = page.next;
        if cursor == 0 {
            break;
        }
        // Other clients of this thread come before the next page.
        yield_now().await;
    }
    session.writer(output).list(count);
    Ok(pages.write(output).await?)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(in super::super) async fn scan(
    session: &mut Session,
    mut args: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let cursor = args.next().and_then(|cursor| std::str::from_utf8(cursor).ok()?.parse().ok());
    let cursor: u64 = cursor.ok_or(CommandError::InvalidCursor)?;
    let mut wanted = ScanFilter { pattern: None, kind: None, count: SCAN_COUNT };
    let mut is_known = true;
    while let Some(option) = args.next() {
        let value = args.next().ok_or(CommandError::Syntax)?;
        if is(option, "match") {
            wanted.pattern = Some(value);
        } else if is(option, "count") {
            let count = number(Some(value)).ok_or(CommandError::NotInteger)?;
            wanted.count =
                usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
        } else if is(option, "type") {
            wanted.kind = Kind::ALL.into_iter().find(|kind| is(value, kind.name()));
            is_known = wanted.kind.is_some();
        } else {
            return Err(CommandError::Syntax.into());
        }
    }
    let (names, next) = if is_known {
        let page = session.server.cluster.scan(cursor, &wanted).await?;
        (page.names, page.next)
    } else {
        (Vec::new(), 0)
    };
    let mut writer = session.writer(output);
    writer.list(2);
    writer.bulk(next.to_string().as_bytes());
    writer.list(names.len());
    names.iter().for_each(|name| writer.bulk(name));
    Ok(())
}

/// `RANDOMKEY`
pub(in super::super) async fn randomkey(
    session: &mut Session,
    _: Args<'_>,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let name = session.server.cluster.random_name().await?;
    let mut writer = session.writer(output);
    match name {
        Some(name) => writer.bulk(&name),
        None => writer.nil(),
    }
    Ok(())
}
