//! Takes each request of a batch to the node that owns its bucket, and brings the replies back in order.

use crate::{output::Output, reactor::yield_to_group};
use kv::{Reply, Request};
use kv_cluster::{Cluster, Error, Owner};
use std::{io, ops::ControlFlow};

/// What became of a request.
pub(crate) type Outcome<'a> = Result<&'a Reply<'a>, &'a Error>;

/// Has the memory asked for that a request will need if this node answers it, while other connections take their turns: for
/// one that came alone, and so has no others of its batch to wait with.
pub(crate) async fn approach(cluster: &Cluster, request: &Request<'_>) {
    if let Owner::Local(node) = cluster.owner(request.bucket) {
        let mut prefetch = node.prefetch(request);
        while node.prefetch_step(request, &mut prefetch) {
            yield_to_group().await;
        }
    }
}

/// Answers the leading requests that need no other node, as of `now`, at once and without a task hop, until the output is full
/// or `render`, which puts an outcome into the client's language, breaks off. Returns how many.
pub(crate) fn answer_here(
    cluster: &Cluster,
    batch: &[Request<'_>],
    now: u64,
    output: &mut Output<'_>,
    mut render: impl FnMut(&mut Vec<u8>, &Request<'_>, Outcome<'_>) -> ControlFlow<()>,
) -> usize {
    let (mut done, mut flow) = (0, ControlFlow::Continue(()));
    while done < batch.len() && flow.is_continue() && !output.is_full() {
        match cluster.owner(batch[done].bucket) {
            Owner::Local(node) => {
                let mine = done + leading(cluster, &batch[done..]);
                node.execute(&batch[done..mine], now, |reply| {
                    flow = render(&mut output.bytes, &batch[done], Ok(&reply));
                    done += 1;
                    if output.is_full() { ControlFlow::Break(()) } else { flow }
                });
            }
            Owner::Unrouted => {
                let error = Error::no_route(batch[done].bucket);
                flow = render(&mut output.bytes, &batch[done], Err(&error));
                done += 1;
            }
            Owner::Remote(_) => break,
        }
    }
    done
}

/// How many of the requests, of which the first is this node's, come before one of another bucket that is not.
fn leading(cluster: &Cluster, batch: &[Request<'_>]) -> usize {
    if cluster.owns_all() {
        return batch.len();
    }
    let is_other = |pair: &[Request<'_>]| {
        pair[1].bucket != pair[0].bucket && !matches!(cluster.owner(pair[1].bucket), Owner::Local(_))
    };
    batch.windows(2).position(is_other).map_or(batch.len(), |last| last + 1)
}

/// Answers a batch whose buckets live on several nodes. All forwarded leave before the first answer is awaited,
/// so the other nodes work side by side; the replies come in the order of the requests. Returns how many came until
/// `render` broke off.
pub(crate) async fn answer_anywhere(
    cluster: &Cluster,
    batch: &[Request<'_>],
    output: &mut Output<'_>,
    mut render: impl FnMut(&mut Vec<u8>, &Request<'_>, Outcome<'_>) -> ControlFlow<()>,
) -> io::Result<usize> {
    let mut forwarded = cluster.dispatch(batch);
    let (mut done, mut flow) = (0, ControlFlow::Continue(()));
    while done < batch.len() && flow.is_continue() {
        let owner = cluster.owner(batch[done].bucket);
        if let Some(sent) = forwarded.iter_mut().find(|sent| sent.goes_to(&owner)) {
            let outcome = sent.resolve_next().await;
            flow = render(&mut output.bytes, &batch[done], outcome.as_ref());
            done += 1;
        } else {
            done += answer_here(
                cluster,
                &batch[done..],
                kv::time::now_ms(),
                output,
                |bytes, request, outcome| {
                    flow = render(bytes, request, outcome);
                    flow
                },
            );
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    Ok(done)
}
