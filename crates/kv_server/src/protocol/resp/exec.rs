//! EXEC: commands that are executed as one step on the node where all their keys live.

use super::{
    catalog::Found,
    merge::Merger,
    parse::Words,
    rows::Row,
    session::{Session, Trouble},
    split::Parts,
    write::Writer,
};
use crate::{
    limits::TRANSACTION_ANSWER_BYTES,
    pipeline::{Rendered, buffers::Output},
};
use kv::{
    CommandError, Reply, Request,
    flag::{READ, WRITE},
};
use kv_cluster::Error;

/// A bucket, and the number that it had when it was watched.
type Watched<'a> = (&'a [u8], u64);

/// Executes what has waited. A command on all keys, such as FLUSHALL, is a step of its own between those before it and
/// those after it.
pub(super) async fn exec(session: &mut Session, output: &mut Output<'_>) -> Result<(), Trouble> {
    let (queue, watched) = session.transaction.close();
    let refused = |what: &str| Trouble::Refused(CommandError::Other(what.to_owned()));
    let queue = queue.ok_or_else(|| refused("ERR EXEC without MULTI"))?;
    if queue.spoiled {
        return Err(refused("EXECABORT Transaction discarded because of previous errors."));
    }
    let mut watched: Vec<Watched<'_>> = watched.iter().map(|(name, version)| (&**name, *version)).collect();
    let commands: Vec<(Found, Words<'_>)> = queue.commands().collect();
    live_together(session, &watched, &commands)?;
    let mut steps = commands.split_inclusive(|(found, _)| is_for_all_keys(found.row()));
    let mut step = steps.next().unwrap_or_default();
    let Some(mut answers) = execute(session, &watched, step).await? else {
        session.writer(output).no_list();
        return Ok(());
    };
    watched.clear();
    session.writer(output).list(commands.len());
    loop {
        answer(session, step, &answers, output).await?;
        step = match steps.next() {
            Some(step) => step,
            None => return Ok(()),
        };
        answers = execute(session, &watched, step).await?.unwrap_or_default();
    }
}

/// Whether the command is about all keys, and so cannot be a part of one bucket's step.
fn is_for_all_keys(row: Row) -> bool {
    matches!(row, Row::Session(command) if command.spec.flags & (READ | WRITE) != 0)
}

/// Checks that all keys of a transaction live on one node.
fn live_together(
    session: &Session,
    watched: &[Watched<'_>],
    commands: &[(Found, Words<'_>)],
) -> Result<(), Trouble> {
    let requests: Vec<Request<'_>> = parts(session, commands).into_iter().flatten().collect();
    let names = requests.iter().flat_map(Request::names);
    session.server.cluster.single_owner(watched.iter().map(|(name, _)| *name).chain(names))?;
    Ok(())
}

/// The requests of the commands on buckets. That there are some was seen when the command was queued.
fn parts<'a>(session: &Session, commands: &[(Found, Words<'a>)]) -> Vec<Parts<'a>> {
    let parts = |(found, words): &(Found, Words<'a>)| match found.row() {
        Row::Bucket(command) => Parts::new(command, words, &session.server.cluster).ok(),
        Row::Session(_) => None,
    };
    commands.iter().filter_map(parts).collect()
}

/// What came of the commands on buckets of one step, one after the other as rendered, and where each ends.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Executes the commands on buckets among `commands` as one step. `None`: a watched bucket has changed.
async fn execute(
    session: &Session,
    watched: &[Watched<'_>],
    commands: &[(Found, Words<'_>)],
) -> Result<Option<Answers>, Trouble> {
    let parts = parts(session, commands);
    let requests: Vec<Request<'_>> = parts.iter().cloned().flatten().collect();
    let (mut answers, mut merger) = (Answers::default(), Merger::default());
    let (mut to_come, mut answered) = (parts.iter(), requests.iter());
    let take = |outcome: Result<Reply<'_>, Error>| {
        if merger.is_done() {
            merger.expect(to_come.next().expect("no more answers than requests"));
        }
        let request = answered.next().expect("no more answers than requests");
        let outcome = outcome.map(|reply| within(answers.bytes.len(), reply));
        let mut writer = Writer::new(&mut answers.bytes, session.version);
        if let Rendered::Paused(_) = merger.take(&mut writer, request, outcome.as_ref()) {
            // What comes page by page would not be of one moment.
            writer.error("ERR the hash is too large to be listed in a transaction: use HSCAN");
        }
        if merger.is_done() {
            answers.ends.push(answers.bytes.len());
        }
    };
    let done = session.server.cluster.transact(watched, &requests, take).await?;
    Ok(done.then_some(answers))
}

/// The reply, or that there is no room for its values after so many bytes of answers: until the step is done they all
/// are held at once.
fn within(bytes: usize, reply: Reply<'_>) -> Reply<'_> {
    match reply {
        Reply::Value(_) | Reply::OwnedValue(_) | Reply::List(_) | Reply::Map(_) | Reply::PairList(_)
            if bytes >= TRANSACTION_ANSWER_BYTES =>
        {
            let what = format!(
                "ERR answers of a transaction before this one exceed {TRANSACTION_ANSWER_BYTES} bytes"
            );
            Reply::Error(CommandError::Other(what))
        }
        reply => reply,
    }
}

/// Writes the answers of one step, and does between them what is no request to a bucket.
async fn answer(
    session: &mut Session,
    commands: &[(Found, Words<'_>)],
    answers: &Answers,
    output: &mut Output<'_>,
) -> Result<(), Trouble> {
    let (mut start, mut ends) = (0, answers.ends.iter());
    for (found, words) in commands {
        session.server.metrics.record_calls(found.number, 1);
        match found.row() {
            Row::Bucket(_) => {
                let end = *ends.next().unwrap_or(&start);
                output.bytes.extend_from_slice(&answers.bytes[start..end]);
                start = end;
            }
            Row::Session(command) => {
                if let Err(trouble) = command.execute(session, *words, output).await {
                    session.complain(trouble, output)?;
                }
            }
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    Ok(())
}
