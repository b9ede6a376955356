//! HTTP/1.1 for browsers: runs an axum [`Router`] on a listener of `restante-net`, with its deadlines,
//! limits and drain.
//!
//! Before the router sees a request, its `Host` has been held against [`Hosts`] (a page elsewhere that
//! lets its own name point here reaches nothing), and its body is bounded. Afterwards each answer has the
//! header fields of [`secure`], unless the router has set them itself. A handler finds who asks, and whether over TLS,
//! as [`Client`] among the request's extensions.
//!
//! Deliberately absent: HTTP/2, compression, and CORS: no other site has anything to ask here.

mod headers;
mod hosts;
mod stall;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use restante_net::{Channel, Drain, Handler, Peer, Stream, Tls};
use tower::ServiceExt as _;

pub use headers::{PAGE_POLICY, secure};
pub use hosts::Hosts;

use crate::limits;
use stall::Watched;

/// How a listener serves HTTP.
#[derive(Clone)]
pub struct Options {
    /// HTTPS: TLS from the first octet. Make it with the ALPN name `b"http/1.1"`.
    pub tls: Option<Arc<Tls>>,
    /// The names that requests may be for.
    pub hosts: Hosts,
    /// The most octets of a request's body; see [`limits::HTTP_BODY_OCTETS`].
    pub body_octets: usize,
    /// How long browsers and handlers may take.
    pub timeouts: Timeouts,
}

/// How long browsers and handlers may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// See [`limits::HTTP_HEADER`].
    pub header: Duration,
    /// See [`limits::HTTP_ANSWER`].
    pub answer: Duration,
    /// See [`limits::HTTP_STALL`].
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: limits::HTTP_HEADER,
            answer: limits::HTTP_ANSWER,
            stall: limits::HTTP_STALL,
        }
    }
}

impl Default for Options {
    /// No TLS, and this machine's own names only.
    fn default() -> Self {
        Self {
            tls: None,
            hosts: Hosts::default(),
            body_octets: limits::HTTP_BODY_OCTETS,
            timeouts: Timeouts::default(),
        }
    }
}

/// Who sent a request: an extension of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The other end of the connection.
    pub peer: Peer,
    /// Whether the request came over TLS.
    pub tls: bool,
}

/// The HTTP server: a handler for [`restante_net::run`].
pub struct Http {
    router: Router,
    options: Options,
}

impl Http {
    /// Serves `router`.
    pub fn new(router: Router, options: Options) -> Self {
        let router = router.layer(DefaultBodyLimit::max(options.body_octets));
        Self { router, options }
    }

    /// One request: the checks that hold for every router, the router, the header fields.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
    ) -> Result<Response<Body>, Infallible> {
        let mut response = if self.options.hosts.permit(&request) {
            self.route(request.map(Body::new), client).await
        } else {
            tracing::warn!(peer = %client.peer, host = ?request.headers().get(header::HOST),
                "refused a request for a host that is not ours");
            refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "This address is not one of ours. Open the page by 127.0.0.1 or localhost, or name it in the configuration: `hosts` of `[reader]`, `host` of `[setup]`.\n",
            )
        };
        secure(response.headers_mut(), client.tls);
        Ok(response)
    }

    async fn route(&self, mut request: Request<Body>, client: Client) -> Response<Body> {
        request.extensions_mut().insert(client);
        let routed = self.router.clone().oneshot(request);
        match tokio::time::timeout(self.options.timeouts.answer, routed).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_elapsed) => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "This took too long; try again.\n",
            ),
        }
    }

    async fn serve(self: Arc<Self>, channel: Channel, peer: Peer, mut drain: Drain) {
        let client = Client {
            peer,
            tls: channel.is_tls(),
        };
        let timeouts = self.options.timeouts;
        let service =
            hyper::service::service_fn(move |request| Arc::clone(&self).answer(request, client));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(timeouts.header)
            .max_buf_size(limits::HTTP_HEADER_OCTETS)
            .max_headers(limits::HTTP_FIELDS);
        let io = TokioIo::new(Watched::new(channel, timeouts.stall));
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "an HTTP connection ended");
        }
    }
}

impl Handler for Http {
    async fn handle(self: Arc<Self>, stream: Stream, peer: Peer, drain: Drain) {
        let channel = match &self.options.tls {
            None => Channel::Plain(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Channel::Tls(stream),
                Err(error) => {
                    tracing::debug!(%peer, %error, "no TLS");
                    return;
                }
            },
        };
        // In a box: the machine of a connection is large, and so would be each task that may hold one.
        Box::pin(self.serve(channel, peer, drain)).await;
    }

    fn busy(&self) -> &[u8] {
        if self.options.tls.is_some() {
            b""
        } else {
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        }
    }
}

/// A short answer in plain text.
fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
