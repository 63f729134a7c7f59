//! The way to one node on one lane: whether it is connected, connecting, or was in vain and when it may be
//! tried again. Callers who come while a connection is made wait for that one.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::certificates::ClusterId;
use super::connection::{Connection, Driver, Ended, Failed};
use super::explain::explain;
use super::frame::{Inbox, Kind, Stream, buffered, next_frame};
use super::network::PeerOptions;
use super::tls;
use crate::link::Unreachable;
use crate::placement::NodeId;

/// Whom a way leads to.
pub(crate) struct Target {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) address: String,
    pub(crate) tls: TlsConnector,
    pub(crate) options: Arc<PeerOptions>,
}

/// The way to a node.
pub(crate) struct Way {
    target: Target,
    phase: watch::Sender<Phase>,
}

#[derive(Clone)]
enum Phase {
    /// There was no need for a connection, or the last one ended after it had served.
    Unconnected,
    Connecting,
    Connected(Arc<Connection>),
    /// It was in vain so many times, and is not tried again before `until`.
    InVain {
        times: u32,
        until: Instant,
        why: String,
    },
    /// Nobody calls any more.
    Closed,
}

impl Way {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, phase: watch::Sender::new(Phase::Unconnected) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.target.address
    }

    /// Whether it has a connection, or will have one.
    pub(crate) fn is_used(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Connected(_) | Phase::Connecting)
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    /// Sends a request over the connection, made if there is none, and resolves with its reply.
    pub(crate) async fn call(
        self: &Arc<Self>,
        mut request: Vec<u8>,
        runtime: &Handle,
    ) -> Result<Vec<u8>, Unreachable> {
        let mut ended = None;
        loop {
            let connection = self.connection(ended.as_ref(), runtime).await?;
            match connection.call(request).await {
                Ok(reply) => return Ok(reply),
                Err(Failed::Lost(why)) => return Err(why),
                // It ended just now, and nothing was sent: another one will do.
                Err(Failed::Unsent(again)) => request = again,
            }
            ended = Some(connection);
        }
    }

    /// A connection that is not the one that has ended.
    async fn connection(
        self: &Arc<Self>,
        ended: Option<&Arc<Connection>>,
        runtime: &Handle,
    ) -> Result<Arc<Connection>, Unreachable> {
        let has_ended = |it: &Arc<Connection>| ended.is_some_and(|ended| Arc::ptr_eq(it, ended));
        let is_settled = |phase: &Phase| match phase {
            Phase::Connecting => false,
            Phase::Connected(connection) => !has_ended(connection),
            Phase::Unconnected | Phase::InVain { .. } | Phase::Closed => true,
        };
        loop {
            if let Phase::Connected(connection) = &*self.phase.borrow()
                && !has_ended(connection)
            {
                return Ok(Arc::clone(connection));
            }
            self.connect(runtime);
            let mut phases = self.phase.subscribe();
            match phases.wait_for(is_settled).await.as_deref() {
                Ok(Phase::Connected(connection)) => return Ok(Arc::clone(connection)),
                Ok(Phase::InVain { why, .. }) => return Err(Unreachable(why.clone())),
                // The one that had ended is cleared away now.
                Ok(Phase::Unconnected | Phase::Connecting) => {}
                Ok(Phase::Closed) | Err(_) => {
                    return Err(Unreachable("the network is closed".into()));
                }
            }
        }
    }

    /// Begins to make a connection, if there is none and it may be tried.
    fn connect(self: &Arc<Self>, runtime: &Handle) {
        let mut times = 0;
        let begins = self.phase.send_if_modified(|phase| {
            match phase {
                Phase::Unconnected => {}
                Phase::InVain { times: before, until, .. } if *until <= Instant::now() => {
                    times = *before;
                }
                _ => return false,
            }
            *phase = Phase::Connecting;
            true
        });
        if begins {
            runtime.spawn(Arc::clone(self).keep(times));
        }
    }

    /// Makes a connection and keeps it until it ends. `times` is how often it was in vain before.
    async fn keep(self: Arc<Self>, times: u32) {
        let options = &self.target.options;
        let connected = match timeout(options.connect, self.target.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("no connection within {:?}", options.connect)),
        };
        let (connection, mut driver) = match connected {
            Ok((stream, inbox)) => Connection::new(stream, inbox, options),
            Err(why) => {
                self.change(self.in_vain(times, why));
                return;
            }
        };
        if !self.change(Phase::Connected(connection)) {
            return;
        }
        let ended = self.drive(&mut driver).await;
        self.change(match ended {
            None => return,
            Some(Ended::Broken(why)) if !driver.proven => self.in_vain(times, why),
            Some(Ended::Broken(_) | Ended::Idle) => Phase::Unconnected,
        });
    }

    /// Runs the connection until it ends, or nobody calls any more.
    async fn drive(&self, driver: &mut Driver) -> Option<Ended> {
        let mut phases = self.phase.subscribe();
        let closed = std::pin::pin!(phases.wait_for(|phase| matches!(phase, Phase::Closed)));
        let running = std::pin::pin!(driver.run());
        match futures_util::future::select(running, closed).await {
            futures_util::future::Either::Left((ended, _)) => Some(ended),
            futures_util::future::Either::Right(_) => None,
        }
    }

    /// Whether it was not closed meanwhile.
    fn change(&self, to: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let is_open = !matches!(phase, Phase::Closed);
            if is_open {
                *phase = to;
            }
            is_open
        })
    }

    fn in_vain(&self, times: u32, why: String) -> Phase {
        let options = &self.target.options;
        let pause = options.backoff_least.saturating_mul(1 << times.min(16));
        let pause = pause.min(options.backoff_most);
        // Nodes that lost the same peer must not all come back to it at once.
        let until = Instant::now() + jittered(pause);
        Phase::InVain { times: times + 1, until, why }
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Target {
    async fn connect(&self) -> Result<(Stream, Inbox), String> {
        let name: ServerName<'static> =
            tls::server_name(self.cluster, self.node).map_err(|why| why.to_string())?;
        let socket = TcpStream::connect(&self.address).await.map_err(|why| why.to_string())?;
        let socket = buffered(socket).map_err(|why| why.to_string())?;
        let stream = self.tls.connect_with(name, socket, |it| tls::bounds(it)).await;
        let mut stream = Stream::from(stream.map_err(|why| explain(&why))?);
        let mut inbox = Inbox::new(self.options.frame_bytes);
        let welcome = next_frame(&mut inbox, &mut stream).await;
        match welcome.map_err(|why| explain(&why))?.kind {
            Kind::Welcome => Ok((stream, inbox)),
            kind => Err(format!("a frame {kind:?} came in place of the welcome")),
        }
    }
}
