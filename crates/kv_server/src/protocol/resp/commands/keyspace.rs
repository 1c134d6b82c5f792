//! Commands on all keys of all nodes.

use super::{
    paging::PagedReply,
    table::{Call, SessionCommand, boxed},
};
use crate::{
    limits::PAGED_REPLY_BYTES,
    pipeline::buffers::ReplyBuffer,
    protocol::resp::{encoder::RespEncoder, reply::error::SessionError, session::RespSession},
};
use kv::{
    Args, CommandError, CommandSpec, Database, Group, Kind, ScanFilter,
    args::SCAN_COUNT,
    flag::{READ, WRITE},
    syntax::glob,
};
use tokio::task::yield_now;

pub(super) const OBJECT: SessionCommand = SessionCommand::new(
    CommandSpec::new("object", Group::Generic)
        .arity(-2)
        .since("2.2.3")
        .summary("Commands about the value of a key"),
);

pub(super) const DBSIZE: SessionCommand = SessionCommand::new(
    CommandSpec::new("dbsize", Group::Server)
        .flags(READ)
        .fast()
        .since("1.0.0")
        .summary("Number of keys of the database on all nodes"),
)
.run_async(boxed!(dbsize));
async fn dbsize(Call { session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let counts = session.context.cluster.bucket_counts().await?;
    session.encoder(output).integer(counts[session.database.index()] as i64);
    Ok(())
}

pub(super) const FLUSHALL: SessionCommand = SessionCommand::new(
    CommandSpec::new("flushall", Group::Server)
        .arity(-1)
        .flags(WRITE)
        .since("1.0.0")
        .syntax("[ASYNC|SYNC]")
        .summary("Removes all keys of all databases on all nodes"),
)
.run_async(boxed!(flushall));
async fn flushall(call: Call<'_, '_>) -> Result<(), SessionError> {
    flush(call, None).await
}

pub(super) const FLUSHDB: SessionCommand = SessionCommand::new(
    CommandSpec::new("flushdb", Group::Server)
        .arity(-1)
        .flags(WRITE)
        .since("1.0.0")
        .syntax("[ASYNC|SYNC]")
        .summary("Removes all keys of the database on all nodes"),
)
.run_async(boxed!(flushdb));
async fn flushdb(call: Call<'_, '_>) -> Result<(), SessionError> {
    let database = call.session.database;
    flush(call, Some(database)).await
}

/// Removes all keys of a database, or of all of them.
async fn flush(
    Call { session, mut args, output, .. }: Call<'_, '_>,
    database: Option<Database>,
) -> Result<(), SessionError> {
    let known = args
        .next()
        .is_none_or(|mode| mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync"));
    if !known || args.next().is_some() {
        return Err(CommandError::Syntax.into());
    }
    session.context.cluster.flush(database).await?;
    session.encoder(output).ok();
    Ok(())
}

pub(super) const SWAPDB: SessionCommand = SessionCommand::new(
    CommandSpec::new("swapdb", Group::Server)
        .arity(3)
        .flags(WRITE)
        .fast()
        .since("4.0.0")
        .syntax("index1 index2")
        .summary("Always an error: several nodes cannot exchange two databases as one step"),
)
.run(swapdb);
fn swapdb(_: &mut RespSession, _: Args, _: &mut RespEncoder) -> Result<(), SessionError> {
    Err(SessionError::reply("ERR SWAPDB is not supported: use MOVE, or SELECT another database"))
}

pub(super) const KEYS: SessionCommand = SessionCommand::new(
    CommandSpec::new("keys", Group::Generic)
        .arity(2)
        .flags(READ)
        .since("1.0.0")
        .syntax("pattern")
        .summary("Lists the keys of the database that match a pattern"),
)
.run_async(boxed!(keys));
async fn keys(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let pattern = Some(glob::checked(args.required()?)?);
    let filter = ScanFilter { pattern, kind: None, count: usize::MAX, database: session.database };
    let (mut pages, mut count, mut cursor) = (PagedReply::new(&session.client.account), 0, 0);
    loop {
        let page = session.context.cluster.scan(cursor, &filter).await?;
        let mut encoded = ReplyBuffer::default();
        page.names.iter().for_each(|name| RespEncoder::new(&mut encoded, session.version).bulk(name));
        count += page.names.len();
        if !pages.push(encoded) {
            return Err(SessionError::reply(format!(
                "ERR more than {PAGED_REPLY_BYTES} bytes of names: use SCAN"
            )));
        }
        cursor = page.next;
        if cursor == 0 {
            break;
        }
        // Other connections of this thread run between two pages.
        yield_now().await;
    }
    session.encoder(output).array(count);
    Ok(pages.write(output).await?)
}

pub(super) const SCAN: SessionCommand = SessionCommand::new(
    CommandSpec::new("scan", Group::Generic)
        .arity(-2)
        .flags(READ)
        .since("2.8.0")
        .syntax("cursor [MATCH pattern] [COUNT count] [TYPE type]")
        .summary("Iterates over the keys of the database on all nodes"),
)
.run_async(boxed!(scan));
async fn scan(Call { session, mut args, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let cursor = args.cursor()?;
    let mut filter = ScanFilter { pattern: None, kind: None, count: SCAN_COUNT, database: session.database };
    let mut is_known = true;
    while let Some(option) = args.next() {
        if option.eq_ignore_ascii_case(b"match") {
            filter.pattern = Some(glob::checked(args.required()?)?);
        } else if option.eq_ignore_ascii_case(b"count") {
            filter.count = args.scan_count()?;
        } else if option.eq_ignore_ascii_case(b"type") {
            let value = args.required()?;
            filter.kind =
                Kind::ALL.into_iter().find(|kind| value.eq_ignore_ascii_case(kind.name().as_bytes()));
            is_known = filter.kind.is_some();
        } else {
            return Err(CommandError::Syntax.into());
        }
    }
    let (names, next) = if is_known {
        let page = session.context.cluster.scan(cursor, &filter).await?;
        (page.names, page.next)
    } else {
        (Vec::new(), 0)
    };
    let mut encoder = session.encoder(output);
    encoder.array(2);
    encoder.bulk(next.to_string().as_bytes());
    encoder.array(names.len());
    names.iter().for_each(|name| encoder.bulk(name));
    Ok(())
}

pub(super) const RANDOMKEY: SessionCommand = SessionCommand::new(
    CommandSpec::new("randomkey", Group::Generic)
        .flags(READ)
        .since("1.0.0")
        .summary("Returns a random key of the database"),
)
.run_async(boxed!(randomkey));
async fn randomkey(Call { session, output, .. }: Call<'_, '_>) -> Result<(), SessionError> {
    let name = session.context.cluster.random_name(session.database).await?;
    let mut encoder = session.encoder(output);
    match name {
        Some(name) => encoder.bulk(&name),
        None => encoder.null(),
    }
    Ok(())
}
