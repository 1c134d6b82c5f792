//! Answers one command by itself: what is no plain request to a bucket, or must not be answered as usual.

use super::{
    catalog::Found,
    exec,
    parse::Words,
    requests,
    rows::Row,
    session::{Replies, Session, Trouble},
    split::Parts,
    write::Version,
};
use crate::pipeline::{Next, buffers::Output};
use kv::CommandError;
use std::io;

/// Answers one command, or leaves its reply out.
pub(super) async fn answer(
    session: &mut Session,
    words: Words<'_>,
    output: &mut Output<'_>,
) -> io::Result<Next> {
    let wanted = session.replies;
    if wanted != Replies::On {
        output.flush().await?;
        output.suppress(true);
    }
    if let Err(trouble) = obey(session, words, output).await {
        session.complain(trouble, output)?;
    }
    if wanted == Replies::SkipNext && session.replies == Replies::SkipNext {
        session.replies = Replies::On;
        output.flush().await?;
    } else if session.replies == Replies::Off {
        output.suppress(true);
        output.flush().await?;
    }
    output.suppress(false);
    Ok(if session.closing { Next::Close } else { Next::Continue })
}

async fn obey(session: &mut Session, words: Words<'_>, output: &mut Output<'_>) -> Result<(), Trouble> {
    let found = match session.catalog.judge(&words) {
        Ok(found) => found,
        Err(refusal) => {
            session.server.metrics.record_rejection();
            session.transaction.spoil();
            return Err(refusal.into());
        }
    };
    let words = found.own(&words);
    check_subscribed(session, found)?;
    if session.transaction.is_open() && found.waits_for_exec() {
        queue(session, found, &words)?;
        session.writer(output).word("QUEUED");
        return Ok(());
    }
    session.server.metrics.record_calls(found.number, 1);
    match found.row() {
        Row::Bucket(command) => requests::answer_command(session, command, &words, output).await,
        Row::Session(command) if command.is_exec() => exec::exec(session, output).await,
        Row::Session(command) => command.execute(session, words, output).await,
    }
}

/// Puts a command off until EXEC.
fn queue(session: &mut Session, found: Found, words: &Words<'_>) -> Result<(), CommandError> {
    if let Row::Bucket(command) = found.row()
        && let Err(refusal) = Parts::new(command, words, &session.server.cluster)
    {
        session.transaction.spoil();
        return Err(refusal);
    }
    session.transaction.queue(found, words)
}

/// In RESP2 a client that is subscribed can tell replies from messages only when it asks for nothing else.
fn check_subscribed(session: &Session, found: Found) -> Result<(), CommandError> {
    let name = found.spec.name;
    let allowed = ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"];
    if session.version == Version::Resp3 || !session.is_subscribed() || allowed.contains(&name) {
        return Ok(());
    }
    Err(CommandError::Other(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )))
}
