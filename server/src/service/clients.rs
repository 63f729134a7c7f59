//! The RESP connections that are open, for `CLIENT` and `INFO`: who they are and what they ran last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::session::{Millis, ROWS};

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Client>>>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    since: Millis,
    heard_ms: AtomicU64,
    /// The row of the command that it ran last.
    row: AtomicU8,
    version: AtomicU8,
    /// Commands in its transaction and one more; 0 without one.
    queued: AtomicUsize,
    channels: AtomicUsize,
    patterns: AtomicUsize,
    words: Mutex<Words>,
}

/// What it says of itself.
#[derive(Debug, Default)]
struct Words {
    name: String,
    library: String,
    library_version: String,
}

/// A connection's place among them; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Arc<Clients>,
    pub(crate) client: Arc<Client>,
}

impl Clients {
    /// Takes a connection in.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        now: Millis,
    ) -> Seat {
        let client = Arc::new(Client {
            id: self.next.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            local,
            since: now,
            heard_ms: AtomicU64::new(now.0),
            row: AtomicU8::new(u8::MAX),
            version: AtomicU8::new(2),
            queued: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            words: Mutex::default(),
        });
        self.lock().insert(client.id, Arc::clone(&client));
        Seat { clients: Arc::clone(self), client }
    }

    /// The line of one connection.
    pub(crate) fn line(&self, client: &Client, now: Millis) -> String {
        client.line(now)
    }

    /// The lines of connections by their ids.
    pub(crate) fn lines(&self, now: Millis, wanted: impl Fn(u64) -> bool) -> String {
        self.lock().values().filter(|client| wanted(client.id)).map(|each| each.line(now)).collect()
    }

    /// The lines of those that subscribe, or of the others.
    pub(crate) fn lines_of(&self, now: Millis, subscribing: bool) -> String {
        let clients = self.lock();
        let wanted = clients.values().filter(|client| client.subscribes() == subscribing);
        wanted.map(|client| client.line(now)).collect()
    }

    /// How many of them subscribe to something.
    pub(crate) fn subscribers(&self) -> usize {
        self.lock().values().filter(|client| client.subscribes()).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.client.id);
    }
}

impl Client {
    /// A number that no other connection of this server has had.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What it calls itself; empty if nothing.
    pub(crate) fn name(&self) -> String {
        self.words().name.clone()
    }

    /// What it is called where people read it: its name, or its library's.
    pub(crate) fn called(&self) -> String {
        let words = self.words();
        match words.name.is_empty() {
            true => format!("{} {}", words.library, words.library_version).trim().to_owned(),
            false => words.name.clone(),
        }
    }

    pub(crate) fn set_name(&self, name: &str) {
        name.clone_into(&mut self.words().name);
    }

    pub(crate) fn set_library(&self, name: Option<&str>, version: Option<&str>) {
        let mut words = self.words();
        if let Some(name) = name {
            name.clone_into(&mut words.library);
        }
        if let Some(version) = version {
            version.clone_into(&mut words.library_version);
        }
    }

    /// Notes the version of the protocol that it speaks.
    pub(crate) fn speaks(&self, version: i64) {
        self.version.store(version as u8, Ordering::Relaxed);
    }

    /// Notes the command that it ran, by its row.
    pub(crate) fn ran(&self, row: usize) {
        self.row.store(row as u8, Ordering::Relaxed);
    }

    /// Notes that it was heard.
    pub(crate) fn heard(&self, now: Millis) {
        self.heard_ms.store(now.0, Ordering::Relaxed);
    }

    /// Notes how many commands its transaction has.
    pub(crate) fn in_multi(&self, queued: Option<usize>) {
        self.queued.store(queued.map_or(0, |queued| queued + 1), Ordering::Relaxed);
    }

    /// Notes how many channels and patterns it subscribes to.
    pub(crate) fn listens(&self, channels: usize, patterns: usize) {
        self.channels.store(channels, Ordering::Relaxed);
        self.patterns.store(patterns, Ordering::Relaxed);
    }

    /// Notes that it begins anew.
    pub(crate) fn reset(&self) {
        self.set_name("");
        self.speaks(2);
        self.in_multi(None);
        self.listens(0, 0);
    }

    fn subscribes(&self) -> bool {
        self.channels.load(Ordering::Relaxed) + self.patterns.load(Ordering::Relaxed) > 0
    }

    fn words(&self) -> std::sync::MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, now: Millis) -> String {
        let words = self.words();
        let address = |address: Option<SocketAddr>| {
            address.map_or_else(String::new, |address| address.to_string())
        };
        let seconds = |since: u64| now.0.saturating_sub(since) / 1000;
        let row = usize::from(self.row.load(Ordering::Relaxed));
        format!(
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 \
             multi={} cmd={} user=default resp={} lib-name={} lib-ver={}\n",
            self.id,
            address(self.peer),
            address(self.local),
            words.name,
            seconds(self.since.0),
            seconds(self.heard_ms.load(Ordering::Relaxed)),
            if self.subscribes() { "P" } else { "N" },
            self.channels.load(Ordering::Relaxed),
            self.patterns.load(Ordering::Relaxed),
            self.queued.load(Ordering::Relaxed) as i64 - 1,
            ROWS.get(row).map_or("NULL", |row| row.name),
            self.version.load(Ordering::Relaxed),
            words.library,
            words.library_version,
        )
    }
}
