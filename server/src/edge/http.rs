//! HTTP on the same port: the page, the probes, the figures, the cluster, and the door to WebSocket. A responder
//! of the size that these need: GET and HEAD, keep-alive, no bodies, a deadline on every wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidekeep_protocol::hello::WEBSOCKET_PATH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info};

use super::gate::Visit;
use super::input::Input;
use super::request::{self, HEAD_BYTES, Request};
use super::response::Response;
use super::upgrade::{self, Refused};
use super::ws::Ws;
use super::{cluster, connection, lingering, page, sessions};
use crate::observe::{self, Probe, Transport, TurnedAway};
use crate::server::Shared;
use crate::service::Presence;
use crate::session::{Millis, SLOWEST_BYTES_PER_MS};

/// How long a connection may be idle between requests.
const IDLE: Duration = Duration::from_secs(30);

/// How long a small response may take to leave; long ones get more.
const SEND: Duration = Duration::from_secs(10);

/// What to do after a request was answered.
enum Next {
    /// Wait for the next one.
    Stay,
    /// End the connection.
    Close,
    /// Speak WebSocket from here on.
    Upgrade,
}

struct Http {
    stream: TcpStream,
    /// Bytes that were read and not used.
    input: Vec<u8>,
    peer: SocketAddr,
    presence: Presence,
    shared: Arc<Shared>,
}

/// Answers requests until one of the sides ends the connection or it becomes a WebSocket. `early`
/// was read from the socket already; `peer` opened it at `since`.
pub(crate) async fn serve(
    stream: TcpStream,
    early: Vec<u8>,
    (peer, since): (SocketAddr, Millis),
    shared: Arc<Shared>,
) {
    let visit = shared.gate.visit(Transport::Http);
    let presence = shared.service.roster.enter(Transport::Http, Some(peer), since);
    presence.received(early.len());
    let mut http = Http { stream, input: early, peer, presence, shared };
    match http.run().await {
        Ok(true) => http.become_web_socket(visit).await,
        Ok(false) => lingering::close(http.stream).await,
        Err(error) => debug!(%error, "an HTTP connection broke"),
    }
}

impl Http {
    /// Answers requests; whether the connection is to become a WebSocket.
    async fn run(&mut self) -> io::Result<bool> {
        let mut wait = Duration::from_millis(self.shared.settings.handshake_ms);
        loop {
            if !self.read_head(wait).await? {
                return Ok(false);
            }
            let mut out = Vec::new();
            let ((next, hold), used) = match request::parse(&self.input) {
                Ok(Some((request, used))) => (self.answer(&request, &mut out).await, used),
                Ok(None) => ((Next::Close, None), 0),
                Err(response) => {
                    response.write_to(&mut out, false);
                    ((Next::Close, None), self.input.len())
                }
            };
            self.input.drain(..used);
            self.send(&out).await?;
            drop(hold);
            match next {
                Next::Stay => wait = IDLE,
                Next::Close => return Ok(false),
                Next::Upgrade => return Ok(true),
            }
        }
    }

    /// Reads until there is a whole request or something that is none; whether there is one. The
    /// first byte may take `wait`, the rest the time of a handshake.
    async fn read_head(&mut self, wait: Duration) -> io::Result<bool> {
        let handshake = Duration::from_millis(self.shared.settings.handshake_ms);
        let started = tokio::time::Instant::now();
        let mut until = started + if self.input.is_empty() { wait } else { handshake };
        while matches!(request::parse(&self.input), Ok(None)) {
            let was_empty = self.input.is_empty();
            self.input.reserve(1024);
            let mut limited = (&mut self.stream).take((HEAD_BYTES - self.input.len()) as u64);
            let read = limited.read_buf(&mut self.input);
            let Ok(read) = tokio::time::timeout_at(until, read).await else {
                return self.too_slow().await;
            };
            let count = read?;
            self.presence.heard(self.shared.clock.now());
            self.presence.received(count);
            let traffic = self.shared.metrics.traffic(Transport::Http);
            traffic.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
            if count == 0 {
                return Ok(false);
            }
            if was_empty {
                until = tokio::time::Instant::now() + handshake;
            }
        }
        Ok(true)
    }

    /// Tells a client that began a request and did not finish it; an idle one is just closed.
    async fn too_slow(&mut self) -> io::Result<bool> {
        if !self.input.is_empty() {
            let mut out = Vec::new();
            Response::text(408, "the request did not come in time\n").write_to(&mut out, false);
            self.send(&out).await?;
        }
        Ok(false)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let time = SEND + Duration::from_millis(bytes.len() as u64 / SLOWEST_BYTES_PER_MS);
        tokio::time::timeout(time, self.stream.write_all(bytes)).await??;
        let traffic = self.shared.metrics.traffic(Transport::Http);
        traffic.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.presence.sent(bytes.len());
        Ok(())
    }

    /// Writes the answer to a request; with what is to be kept until it was sent.
    async fn answer(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> (Next, Option<OwnedSemaphorePermit>) {
        if let (false, Some(agent)) = (self.presence.is_named(), request.header("user-agent")) {
            self.presence.is_called(agent, None);
        }
        let response = match request.method {
            "GET" if request.path == WEBSOCKET_PATH => match self.upgrade(request) {
                Ok(head) => {
                    out.extend_from_slice(&head);
                    return (Next::Upgrade, None);
                }
                Err(response) => response,
            },
            "GET" | "HEAD" => self.route(request).await,
            _ => Response::text(405, "only GET and HEAD are served\n").with("allow", "GET, HEAD"),
        };
        let keep_alive = request.keep_alive;
        if request.method == "HEAD" {
            response.write_head(out, keep_alive);
        } else {
            response.write_to(out, keep_alive);
        }
        debug!(method = request.method, path = request.path, status = response.status, "http");
        (if keep_alive { Next::Stay } else { Next::Close }, response.into_hold())
    }

    async fn route(&self, request: &Request<'_>) -> Response {
        let shared = &self.shared;
        let commit = &*shared.service.commit;
        match request.path {
            "/livez" => probe(observe::live(commit)),
            "/readyz" => probe(observe::ready(commit, shared.drain.is_begun())),
            "/metrics" => {
                let page = observe::page(&shared.metrics, commit, shared.clock.now());
                Response::bytes(observe::CONTENT_TYPE, page.into_bytes())
                    .with("cache-control", "no-store")
            }
            "/cluster" => cluster::serve(commit).await,
            "/sessions" => sessions::serve(request, shared),
            _ => self.file(request).await.unwrap_or_else(|| Response::text(404, "not found\n")),
        }
    }

    /// A file of the folder that is served, if one is, or of the built-in page.
    async fn file(&self, request: &Request<'_>) -> Option<Response> {
        let Some(folder) = &self.shared.folder else { return page::serve(request) };
        let file = folder.serve(request).await;
        file.or_else(|| page::serve_package(request))
    }

    fn upgrade(&self, request: &Request<'_>) -> Result<Vec<u8>, Response> {
        if self.shared.drain.is_begun() {
            return Err(Response::text(503, "the server is stopping\n"));
        }
        upgrade::accept(request, &self.shared.hosts).map_err(|refused| match refused {
            Refused::Handshake(response) => response,
            Refused::Origin(response) => {
                let (origin, host) = (request.header("origin"), request.host);
                info!(origin, host, "a WebSocket was refused");
                self.shared.metrics.turned_away(TurnedAway::Origin);
                response
            }
        })
    }

    async fn become_web_socket(self, visit: Visit) {
        let Self { stream, input, peer, presence, shared } = self;
        drop((visit, presence));
        let _visit = shared.gate.visit(Transport::WebSocket);
        let since = shared.clock.now();
        let ws = Ws::new(stream, input, &shared.settings.limits);
        Box::pin(connection::run(ws, Input::new(), (peer, since), shared)).await;
    }
}

fn probe(probe: Probe) -> Response {
    Response::text(if probe.well { 200 } else { 503 }, probe.text)
}
