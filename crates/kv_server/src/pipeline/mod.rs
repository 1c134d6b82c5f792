//! From the bytes of requests to the bytes of their replies, the same for both protocols: parse a batch,
//! execute what this node owns, forward the rest, render.
//!
//! Read in this order: the trait below -> batch (the loop) -> router (where requests are executed) ->
//! buffers. Whatever a client requests of a bucket passes the router, so checks of access belong there.

pub(crate) mod batch;
pub(crate) mod buffers;
pub(crate) mod clock;
pub(crate) mod router;

use self::buffers::{Output, ReplyBuffer};
use crate::{limits::BATCH_REQUESTS, metrics::Metrics};
use arrayvec::ArrayVec;
use kv::{Reply, Request};
use kv_cluster::Error;
use std::{io, pin::Pin};

/// What a client speaks: parses its commands and renders the replies.
pub(crate) trait Protocol: Sized {
    /// A command that cannot be part of a batch.
    type Command<'a>;
    /// A reply that cannot be rendered at once.
    type FollowUp<'a>;
    /// Received bytes that are not parsed yet. Text decodes quoted words where they lie.
    type Unparsed<'a>: Default;

    /// These received bytes, which are not parsed yet.
    fn unparsed(received: &mut [u8]) -> Self::Unparsed<'_>;

    /// Parses the leading requests of `input` into `batch`, up to the first command that cannot join it.
    fn parse<'a>(&mut self, input: Self::Unparsed<'a>, batch: &mut Batch<'a, Self>);

    /// Renders the result of a request. Called for each request of a batch, in order.
    fn render<'a>(
        &mut self,
        output: &mut ReplyBuffer,
        request: &Request<'a>,
        result: RequestResult<'_>,
    ) -> Rendered<Self::FollowUp<'a>>;

    /// Renders what [`Protocol::render`] could not.
    fn follow_up<'o, 'a: 'o>(
        &'o mut self,
        follow_up: Self::FollowUp<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<()>>;

    /// Counts the requests of a batch, or the command after it, which took `nanos` altogether.
    fn record(&mut self, metrics: &Metrics, nanos: u64);

    /// Executes the command that follows the requests of a batch.
    fn execute<'o, 'a: 'o>(
        &'o mut self,
        command: Self::Command<'a>,
        output: &'o mut Output<'_>,
    ) -> BoxFuture<'o, io::Result<Next>>;
}

/// The future of rare work, boxed so that the futures of connections stay small.
pub(crate) type BoxFuture<'o, T> = Pin<Box<dyn Future<Output = T> + Send + 'o>>;

/// The reply to a request, or why it could not be executed.
pub(crate) type RequestResult<'a> = Result<&'a Reply<'a>, &'a Error>;

/// Requests that are executed together, and the command after them.
pub(crate) struct Batch<'a, P: Protocol> {
    /// Large, so it is filled in place and never moved.
    pub(crate) requests: ArrayVec<Request<'a>, BATCH_REQUESTS>,
    /// Bytes of the input that the requests and the command take.
    pub(crate) consumed: usize,
    pub(crate) tail: Tail<'a, P>,
}

/// What follows the requests of a batch.
pub(crate) enum Tail<'a, P: Protocol> {
    /// Possibly more requests, for the next batch.
    More,
    /// These bytes, which the batch had no room for. If its requests have to wait, what follows them may be
    /// executed along with them.
    Full(P::Unparsed<'a>),
    /// Nothing, or the beginning of a request.
    Incomplete,
    /// A command that is executed after them, by itself.
    Command(P::Command<'a>),
}

/// How much of a reply has been rendered.
pub(crate) enum Rendered<F> {
    Complete,
    /// Nothing yet: it must be rendered before any other reply.
    Paused(F),
}

/// How a connection goes on after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There may be more requests in the input.
    Continue,
    NeedInput,
    Close,
}
