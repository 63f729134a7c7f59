//! [`Client`]: connecting, looking at the connection, closing. Its operations are in
//! [`crate::verbs`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidekeep_client_core::{CallOptions, ServerInfo, State, WatchRequest};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::Operation;
use tidekeep_protocol::range::KeyRange;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::address::Address;
use crate::call::{Answer, Call};
use crate::driver::Driver;
use crate::error::Error;
use crate::offline::OfflineFile;
use crate::options::{Options, ScanOptions, WatchOptions, millis};
use crate::scan::Scan;
use crate::shared::{Shared, closed};
use crate::watch::Watch;

/// Bytes that a WebSocket message may have beside one longest frame.
const MESSAGE_SLACK_BYTES: usize = 1 << 20;

/// A connection to a server, shared by its clones. When the last clone, watch, scan and call are
/// dropped, it ends.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    options: CallOptions,
}

/// Closes the client when nobody can use it any more.
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// Connects to `host:port`, `tcp://host:port`, `ws://host:port/ws` or `http://host:port` (which
    /// means its WebSocket), and waits until the server has greeted. Needs a tokio runtime.
    ///
    /// The nodes of a cluster are given together, with commas between them: the client keeps to one of
    /// them for as long as it can, and goes on with another when that one is gone.
    ///
    /// # Errors
    /// `invalid-input` for an address that is none; `network` when the server cannot be reached;
    /// `version` when it speaks no version that this client does; `protocol` when it is something
    /// else. Only the first attempt fails like this: later the client reconnects by itself.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let client = Self::lazy(url, options)?;
        let first = client.handle.shared().connect();
        first.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(client)
    }

    /// Returns at once and connects in the background, at the first call; calls wait for the
    /// connection until their deadlines.
    ///
    /// # Errors
    /// `invalid-input` for an address that is none; `storage` for an offline file that cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn lazy(url: &str, options: Options) -> Result<Self, Error> {
        let addresses = Address::parse_all(url)?;
        let message_bytes = options.config.reply_bytes.saturating_add(MESSAGE_SLACK_BYTES);
        let place = options.offline.as_deref().map(OfflineFile::open).transpose();
        let place = place.map_err(|error| {
            Error::new(Code::Storage, format!("the offline file cannot be used: {error}"))
        })?;
        let shared = Arc::new(Shared::new(options));
        if let Some(place) = &place {
            shared.open_queue(&place.rows())?;
        }
        let driver = Driver::new(Arc::clone(&shared), addresses, message_bytes, place);
        tokio::spawn(driver.run());
        Ok(Self { handle: Arc::new(Handle(shared)), options: CallOptions::default() })
    }

    /// The same connection with another deadline for the calls made through this handle.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let options = CallOptions { timeout_ms: Some(millis(timeout)), ..self.options };
        Self { handle: Arc::clone(&self.handle), options }
    }

    /// The same connection, whose reads through this handle (gets, scans, children) may show less than the
    /// newest. In a cluster they cost less then: see [`Freshness`].
    #[must_use]
    pub fn with_reads(&self, freshness: Freshness) -> Self {
        let options = CallOptions { freshness, ..self.options };
        Self { handle: Arc::clone(&self.handle), options }
    }

    /// Makes any call of the table of operations, as `tidekeep_client::protocol::op` defines them.
    /// A condition that does not hold is a reply here, not an error.
    pub fn call<O: Operation>(&self, request: &O) -> Call<O> {
        Call::new(self.answer(request))
    }

    /// Asks the server whether it is there; how long the answer took.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let call = self.handle.shared().ping(self.options);
        Answer::new(Arc::clone(&self.handle), call).await?;
        Ok(start.elapsed())
    }

    /// The entries of a range, page by page. Nothing is asked before the first of them is.
    pub fn scan(&self, range: &KeyRange, options: ScanOptions) -> Scan {
        Scan::new(self.clone(), range.clone(), options)
    }

    /// Watches a range, over reconnects, without a gap or a repetition; see [`Watch`].
    pub fn watch(&self, range: &KeyRange, options: WatchOptions) -> Watch {
        let WatchOptions { content, previous, delivery, cursor, resync } = options;
        let range = range.clone();
        let request = WatchRequest { range, content, previous, delivery, cursor, resync };
        Watch::new(Arc::clone(&self.handle), request)
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        *self.states().borrow()
    }

    /// The connection's state, to be waited for.
    pub fn states(&self) -> watch::Receiver<State> {
        self.handle.shared().states()
    }

    /// What the server said of itself when it last greeted.
    pub fn server(&self) -> Option<ServerInfo> {
        self.handle.shared().server()
    }

    /// Closes the connection for every clone: watches end, calls in flight have
    /// [`tidekeep_client_core::Config::close_ms`] to settle, new ones fail with `closed`. Then the offline
    /// file is free for another client.
    pub async fn close(&self) {
        self.handle.shared().close();
        let mut states = self.states();
        // An error means that the sender is gone, and with it everything there was to wait for.
        drop(states.wait_for(|&state| state == State::Closed).await);
        self.handle.shared().released().await;
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    pub(crate) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle)
    }

    pub(crate) fn answer<O: Operation>(&self, request: &O) -> Answer {
        let call = self.handle.shared().call(request, self.options);
        Answer::new(Arc::clone(&self.handle), call)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}
