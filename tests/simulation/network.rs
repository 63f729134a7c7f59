//! The network between clients and the server: ordered byte streams with latency and a window, each
//! with a life of its own, so that what two connections of one client carry may overtake each other.
//! They are cut at any byte, go silent, and deliver late what was sent before they broke.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use tidekeep_client_core::Input;
use tidekeep_server::{Conversation, Parting};

use crate::world::{Event, World};

/// Connections whose conversations were woken, in order.
#[derive(Default)]
pub(crate) struct Woken(Mutex<Vec<u32>>);

impl Woken {
    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().expect("nobody panicked with it"))
    }
}

struct WakeConversation(u32, Arc<Woken>);

impl Wake for WakeConversation {
    fn wake(self: Arc<Self>) {
        self.1.0.lock().expect("nobody panicked with it").push(self.0);
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Bytes on the way, and when they arrive.
    chunks: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    last_at: u64,
    /// What is put in from now on never arrives.
    deaf: bool,
    /// Nothing arrives any more.
    dead: bool,
    /// The connection breaks once this many more bytes have arrived.
    cut_after: Option<usize>,
}

impl Pipe {
    fn room(&self, window: usize) -> usize {
        window.saturating_sub(self.bytes)
    }
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) client: usize,
    pub(crate) conversation: Option<Conversation>,
    /// Whether the client still holds it.
    pub(crate) client_there: bool,
    latency_ms: u64,
    up: Pipe,
    down: Pipe,
    waker: Waker,
    /// When its timer fires; 0 if it does not.
    armed: u64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Up,
    Down,
}

impl Connection {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl World {
    /// A client asks for a transport.
    pub(crate) fn dial(&mut self, client: usize) {
        let id = self.next_connection;
        self.next_connection += 1;
        let latency_ms = self.random.between(0, self.plan.latency_ms);
        let waker = Waker::from(Arc::new(WakeConversation(id, Arc::clone(&self.woken))));
        let connection = Connection {
            client,
            conversation: None,
            client_there: true,
            latency_ms,
            up: Pipe::default(),
            down: Pipe::default(),
            waker,
            armed: 0,
        };
        self.connections.insert(id, connection);
        self.clients[client].connection = Some(id);
        let at = self.now + 2 * latency_ms;
        self.schedule(at, Event::Dialled(id));
    }

    /// A transport is open, if the server takes it.
    pub(crate) fn dialled(&mut self, id: u32) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if !connection.client_there {
            self.connections.remove(&id);
            return Ok(());
        }
        let client = connection.client;
        match self.server.accept(self.now) {
            Some(conversation) => {
                connection.conversation = Some(conversation);
                self.drive(client, Some(Input::Opened))?;
                self.run_conversation(id)
            }
            // Now and then nobody answers at all, and the client has to give up by itself.
            None if self.random.one_in(4) => Ok(()),
            None => self.client_lost(id, "connection refused"),
        }
    }

    /// Puts bytes on the way.
    pub(crate) fn send(&mut self, id: u32, way: Way, bytes: &[u8]) {
        let jitter = self.random.between(0, self.plan.latency_ms);
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let latency_ms = connection.latency_ms + jitter;
        let pipe = connection.pipe(way);
        if pipe.deaf {
            return;
        }
        let at = pipe.last_at.max(now + latency_ms);
        pipe.last_at = at;
        pipe.bytes += bytes.len();
        pipe.chunks.push_back((at, bytes.to_vec()));
        self.schedule(at, Event::Arrive(id, way));
    }

    /// Takes a chunk that has arrived; true if the connection breaks behind it.
    fn arrived(&mut self, id: u32, way: Way) -> Option<(Vec<u8>, bool)> {
        let now = self.now;
        let pipe = self.connections.get_mut(&id)?.pipe(way);
        if pipe.chunks.front()?.0 > now {
            return None;
        }
        let (_, mut bytes) = pipe.chunks.pop_front()?;
        pipe.bytes -= bytes.len();
        if pipe.dead {
            return Some((Vec::new(), false));
        }
        let cut = pipe.cut_after.is_some_and(|left| left <= bytes.len());
        match &mut pipe.cut_after {
            Some(left) if cut => bytes.truncate(*left),
            Some(left) => *left -= bytes.len(),
            None => {}
        }
        // No stream goes on behind bytes that it has lost.
        pipe.dead |= cut;
        Some((bytes, cut))
    }

    /// Bytes are at the server.
    pub(crate) fn arrive_at_server(&mut self, id: u32) -> Result<(), String> {
        while let Some((bytes, cut)) = self.arrived(id, Way::Up) {
            let now = self.now;
            let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
            let Some(conversation) = &mut connection.conversation else { continue };
            let taken = conversation.receive(now, &bytes);
            let stalled = taken < bytes.len();
            if stalled {
                connection.up.bytes += bytes.len() - taken;
                connection.up.chunks.push_front((now, bytes[taken..].to_vec()));
                if let Some(left) = connection.up.cut_after.as_mut().filter(|_| !cut) {
                    *left += bytes.len() - taken;
                }
            }
            self.run_conversation(id)?;
            if cut {
                self.break_connection(id);
            }
            if stalled {
                break;
            }
        }
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let client = connection.client;
        if connection.client_there && !self.clients[client].sleeps() {
            self.drive(client, None)?;
        }
        Ok(())
    }

    /// Bytes are at the client.
    pub(crate) fn arrive_at_client(&mut self, id: u32) -> Result<(), String> {
        while let Some((bytes, cut)) = self.arrived(id, Way::Down) {
            let Some(connection) = self.connections.get(&id) else { return Ok(()) };
            let client = connection.client;
            if connection.client_there && !bytes.is_empty() {
                self.drive(client, Some(Input::Bytes(&bytes)))?;
            }
            if cut {
                self.break_connection(id);
            }
        }
        self.run_conversation(id)
    }

    /// Lets a conversation do what it can, and takes what it has to say.
    pub(crate) fn run_conversation(&mut self, id: u32) -> Result<(), String> {
        let (now, window) = (self.now, self.plan.window);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
            let Some(conversation) = &mut connection.conversation else { return Ok(()) };
            conversation.run(now, &mut Context::from_waker(&connection.waker));
            let room = connection.down.room(window);
            let output = conversation.output();
            let length = output.len().min(room);
            let bytes = output[..length].to_vec();
            let waits = output.len() > length;
            if length > 0 || waits {
                conversation.taken(now, length);
            }
            let held = conversation.held_bytes();
            if length > 0 {
                self.trace_bytes(id, &bytes);
                self.send(id, Way::Down, &bytes);
            }
            self.check_held(id, held)?;
            if !self.feed_stalled(id) && length == 0 {
                break;
            }
        }
        self.part(id)?;
        if let Some(connection) = self.connections.get_mut(&id)
            && let Some(conversation) = &connection.conversation
        {
            let at = conversation.wait_ms().max(now + 1);
            if connection.armed <= now || at < connection.armed {
                connection.armed = at;
                self.schedule(at, Event::Run(id));
            }
        }
        self.touch_store();
        Ok(())
    }

    /// Gives a conversation what it did not take before; whether it takes anything now.
    fn feed_stalled(&mut self, id: u32) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(conversation) = &mut connection.conversation else { return false };
        let Some((at, bytes)) = connection.up.chunks.front_mut() else { return false };
        if *at > now || connection.up.dead || connection.up.cut_after.is_some() {
            return false;
        }
        let taken = conversation.receive(now, bytes);
        connection.up.bytes -= taken;
        bytes.drain(..taken);
        if bytes.is_empty() {
            connection.up.chunks.pop_front();
        }
        taken > 0
    }

    fn check_held(&self, id: u32, held: usize) -> Result<(), String> {
        let limits = &self.plan.limits;
        let most = 2 * self.plan.output_bytes
            + limits.frame_bytes as usize
            + 2 * limits.reply_bytes as usize
            + (256 << 10);
        if held > most {
            return Err(format!("connection {id} holds {held} bytes of {most}"));
        }
        Ok(())
    }

    /// Closes a connection that the server wants closed.
    fn part(&mut self, id: u32) -> Result<(), String> {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let Some(conversation) = &mut connection.conversation else { return Ok(()) };
        let Some(Parting { code, flush }) = conversation.parting() else { return Ok(()) };
        let mut last_words = Vec::new();
        while flush && !conversation.output().is_empty() {
            let bytes = conversation.output();
            last_words.extend_from_slice(bytes);
            let length = bytes.len();
            conversation.taken(now, length);
            conversation.run(now, &mut Context::from_waker(&connection.waker));
        }
        self.trace(format_args!("connection {id} is closed by the server: {}", code.name()));
        if !last_words.is_empty() {
            self.trace_bytes(id, &last_words);
            self.send(id, Way::Down, &last_words);
        }
        self.end_at_server(id);
        Ok(())
    }

    /// The server's end is gone; the client learns of it behind what is on its way.
    pub(crate) fn end_at_server(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.conversation = None;
        let knows = !connection.down.dead && connection.client_there;
        let at = connection.down.last_at.max(self.now + connection.latency_ms);
        if knows {
            self.schedule(at, Event::ClientLost(id));
        }
        self.forget(id);
    }

    /// The client has dropped its end. What it sent before may still arrive, even late.
    pub(crate) fn end_at_client(&mut self, id: u32) {
        let late = if self.random.one_in(3) { self.random.between(0, 4_000) } else { 0 };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.client_there = false;
        connection.up.deaf = true;
        connection.down.dead = true;
        if !connection.up.dead {
            self.server_learns(id, late);
        }
        self.forget(id);
    }

    /// What the client has sent arrives `late` ms later, and then the server learns of the end.
    fn server_learns(&mut self, id: u32, late: u64) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.up;
        let mut times = Vec::new();
        for (at, _) in &mut pipe.chunks {
            *at = (*at).max(now) + late;
            times.push(*at);
        }
        pipe.last_at = pipe.last_at.max(now) + late;
        let end = pipe.last_at + connection.latency_ms;
        for at in times {
            self.schedule(at, Event::Arrive(id, Way::Up));
        }
        self.schedule(end, Event::ServerLost(id));
    }

    /// The server learns that a connection is gone.
    pub(crate) fn server_lost(&mut self, id: u32) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.conversation = None;
            self.forget(id);
        }
    }

    /// The client learns that a connection is gone.
    pub(crate) fn client_lost(&mut self, id: u32, why: &str) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if !connection.client_there {
            return Ok(());
        }
        connection.client_there = false;
        let client = connection.client;
        self.clients[client].connection = None;
        self.forget(id);
        self.drive(client, Some(Input::Closed(why)))
    }

    fn forget(&mut self, id: u32) {
        let gone = |it: &Connection| !it.client_there && it.conversation.is_none();
        if self.connections.get(&id).is_some_and(gone) {
            self.connections.remove(&id);
        }
    }

    /// The connection breaks now. Each end learns of it in its own time, or not at all.
    pub(crate) fn break_connection(&mut self, id: u32) {
        self.breaks += 1;
        let client_learns = !self.random.one_in(4);
        let (delay, late) = (self.random.between(0, 1_500), self.random.between(0, 4_000));
        let fate = self.random.below(3);
        self.trace(format_args!("connection {id} breaks, {client_learns} {fate}"));
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.down.dead = true;
        connection.up.deaf = true;
        connection.up.cut_after = None;
        match fate {
            0 => {
                connection.up.dead = true;
                self.schedule(now + late, Event::ServerLost(id));
            }
            1 => self.server_learns(id, late),
            _ => connection.up.dead = true,
        }
        if client_learns {
            self.schedule(now + delay, Event::ClientLost(id));
        }
    }

    /// The connection breaks after this many more bytes one way.
    pub(crate) fn cut_after(&mut self, id: u32, way: Way, bytes: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pipe(way).cut_after = Some(bytes);
        }
    }

    /// How many bytes a client may put on the way.
    pub(crate) fn room_up(&self, id: u32) -> usize {
        self.connections.get(&id).map_or(0, |it| it.up.room(self.plan.window))
    }
}
