//! Takes each request of a batch to the node that owns its bucket, and brings the replies back in order.

use crate::output::Output;
use kv::{Reply, Request};
use kv_cluster::{Cluster, Errand, Error, Owner};
use std::{io, ops::ControlFlow};

/// How an outcome is put into the client's language.
pub(crate) type Render = fn(&mut Vec<u8>, &Request<'_>, Result<Reply<'_>, Error>);

/// Answers the leading requests that need no other node, at once and without a task hop, until the output is
/// full. Returns how many.
pub(crate) fn answer_here(
    cluster: &Cluster,
    batch: &[Request<'_>],
    output: &mut Output<'_>,
    render: Render,
) -> usize {
    let mut done = 0;
    while done < batch.len() && !output.is_full() {
        match cluster.owner(batch[done].bucket) {
            Owner::Here => done += execute(cluster, &batch[done..], output, render),
            Owner::Nobody => {
                render(&mut output.bytes, &batch[done], Err(Error::no_route(batch[done].bucket)));
                done += 1;
            }
            Owner::There(_) => break,
        }
    }
    done
}

/// Executes the leading requests that belong here on this node's store. Returns how many.
fn execute(cluster: &Cluster, batch: &[Request<'_>], output: &mut Output<'_>, render: Render) -> usize {
    let mine =
        batch.iter().take_while(|request| matches!(cluster.owner(request.bucket), Owner::Here)).count();
    let mut done = 0;
    cluster.store().execute(&batch[..mine], kv::now(), |reply| {
        render(&mut output.bytes, &batch[done], Ok(reply));
        done += 1;
        if output.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Answers a batch whose buckets live on several nodes. All errands leave before the first answer is awaited,
/// so the other nodes work side by side; the replies come in the order of the requests.
pub(crate) async fn answer_anywhere(
    cluster: &Cluster,
    batch: &[Request<'_>],
    output: &mut Output<'_>,
    render: Render,
) -> io::Result<()> {
    let mut errands = send(cluster, batch);
    let mut done = 0;
    while done < batch.len() {
        if let Owner::There(peer) = cluster.owner(batch[done].bucket) {
            let errand = errands.iter_mut().find(|errand| errand.peer().name() == peer.name());
            let outcome = errand.expect("every owner elsewhere was sent to").next().await;
            render(&mut output.bytes, &batch[done], outcome);
            done += 1;
        } else {
            done += answer_here(cluster, &batch[done..], output, render);
        }
        if output.is_full() {
            output.flush().await?;
        }
    }
    Ok(())
}

/// Sends each node elsewhere its share of the batch.
fn send<'c>(cluster: &'c Cluster, batch: &[Request<'c>]) -> Vec<Errand<'c>> {
    let mut errands: Vec<Errand<'c>> = Vec::new();
    for request in batch {
        let Owner::There(peer) = cluster.owner(request.bucket) else { continue };
        match errands.iter_mut().find(|errand| errand.peer().name() == peer.name()) {
            Some(errand) => errand.add(*request),
            None => errands.push(Errand::new(peer, *request)),
        }
    }
    errands.iter_mut().for_each(Errand::send);
    errands
}
