//! The stream of server-sent events: all that is known, and then what changes, until the node drains.

use crate::{context::Context, limits::RETRY_AFTER, observer::Update, response};
use axum::{
    body::Body,
    extract::{Query, State},
    http::{
        StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER as RETRY_AFTER_HEADER},
    },
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use std::convert::Infallible;
use tokio_stream::{StreamExt, once, wrappers::BroadcastStream};

/// Who does not keep up gets all that is known again, instead of the changes in between.
pub(super) async fn events(State(context): State<Context>) -> Response {
    let observer = context.observer;
    let Some((permit, updates)) = observer.watch() else {
        let refusal =
            response::error(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open; try again");
        return ([(RETRY_AFTER_HEADER, RETRY_AFTER)], refusal).into_response();
    };
    let whole = observer.whole();
    let changes = BroadcastStream::new(updates).map_while(move |update| {
        let _permit = &permit;
        match update {
            Ok(Update::Delta(event)) => Some(event),
            Ok(Update::End) => None,
            Err(_) => Some(observer.whole()),
        }
    });
    let body = Body::from_stream(once(whole).chain(changes).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Whose samples are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct OfNode {
    node: String,
}

/// The samples that this node has of a node.
pub(super) async fn samples(
    State(context): State<Context>,
    Query(OfNode { node }): Query<OfNode>,
) -> Response {
    match context.observer.samples(&node) {
        Some(samples) => axum::Json(samples).into_response(),
        None => response::error(StatusCode::NOT_FOUND, format!("there are no samples of {node:?}")),
    }
}
