//! What every request has to pass, and the headers that every response gets.
//!
//! A web page of anyone may have a browser send requests to this port. It does not see the responses, unless
//! the name of its own host leads here (DNS rebinding): such a request names that host, and is refused.

use crate::{context::Context, hosts::Hosts, response};
use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::Response,
};

/// Set on every response.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Passes on what only reads and names a host of this node.
pub(crate) async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&request, &context.hosts) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(request: &Request, hosts: &Hosts) -> Option<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Some(response::method_not_allowed());
    }
    let mut named = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Some(response::error(StatusCode::BAD_REQUEST, "one Host header, please"));
    };
    let in_header = Authority::try_from(host.as_bytes()).ok();
    let in_target = request.uri().authority();
    let is_known = |authority: &Authority| hosts.has(authority.host());
    if in_header.is_some_and(|host| is_known(&host)) && in_target.is_none_or(is_known) {
        return None;
    }
    let message = "this node is not called so; use its address, or list the name in admin_hosts";
    Some(response::error(StatusCode::MISDIRECTED_REQUEST, message))
}
