//! What a batch of requests takes in memory, from its bytes to the bytes of its answers, through the
//! session, the service and the store.

use std::sync::Arc;
use std::task::{Context, Waker};

use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::disk::memory::MemoryDisk;
use tidekeep_log::{Durability, Solo, SoloOptions};
use tidekeep_protocol::op::Get;
use tidekeep_server::config::Config;
use tidekeep_server::{Conversation, Host, RespConversation};

use crate::harness::{greeting, put, request_frame};
use crate::resp::client::command;

/// Requests that come together.
const BATCH: u32 = 128;
const VALUE: [u8; 64] = [7; 64];
/// The time of day, in microseconds.
const UNIX_US: u64 = 1_000_000_000;

fn host() -> Arc<Host> {
    let (clock, disk) = (Arc::new(SystemClock), Arc::new(MemoryDisk::new()));
    let options = SoloOptions::new(disk, clock, seeded(1));
    let solo = Solo::open(SoloOptions { durability: Durability::Memory, ..options });
    let solo = Arc::new(solo.expect("memory does not fail"));
    Arc::new(Host::new(&Config::local("unused"), solo, [1; 16]))
}

/// A connection of either language: gives bytes to the server; how many it answers with.
trait Exchange {
    fn exchange(&mut self, bytes: &[u8]) -> usize;
}

impl Exchange for Conversation {
    fn exchange(&mut self, bytes: &[u8]) -> usize {
        assert_eq!(self.receive(0, bytes), bytes.len());
        let mut answered = 0;
        loop {
            self.run(0, &mut Context::from_waker(Waker::noop()));
            let ready = self.output().len();
            if ready == 0 {
                return answered;
            }
            answered += ready;
            self.taken(0, ready);
        }
    }
}

impl Exchange for RespConversation {
    fn exchange(&mut self, bytes: &[u8]) -> usize {
        assert_eq!(self.receive(bytes), bytes.len());
        let mut answered = 0;
        loop {
            self.run(0, UNIX_US, &mut Context::from_waker(Waker::noop()));
            let ready = self.output().len();
            if ready == 0 {
                return answered;
            }
            answered += ready;
            self.taken(0, ready);
        }
    }
}

fn batch(count: u32, request: impl Fn(u32, &[u8]) -> Vec<u8>) -> Vec<u8> {
    (1..=count).flat_map(|id| request(id, format!("key-{id:012}").as_bytes())).collect()
}

/// Gets take no memory, and puts that of their entries, alone and many at once.
fn holds(connection: &mut impl Exchange, count: u32, gets: &[u8], puts: &[u8]) {
    for _ in 0..4 {
        connection.exchange(puts);
        connection.exchange(gets);
    }
    let mut answered = 0;
    let taken = allocation_counter::measure(|| answered = connection.exchange(gets));
    assert!(answered > count as usize * VALUE.len(), "every value was given");
    assert_eq!(taken.count_total, 0, "{count} gets: {taken:?}");

    let taken = allocation_counter::measure(|| answered = connection.exchange(puts));
    assert!(answered > 0);
    // The entries; now and then a list of the history or of the index grows.
    assert!(taken.count_total <= u64::from(count) + 4, "{count} puts: {taken:?}");
}

#[test]
fn a_native_get_takes_no_memory_and_a_put_what_it_keeps() {
    for count in [1, BATCH] {
        let mut connection = Conversation::begin(&host(), 0, 1_000);
        assert!(connection.exchange(&greeting()) > 0, "a welcome");
        let puts = batch(count, |id, key| request_frame(id, &put(key, &VALUE)));
        let gets = batch(count, |id, key| request_frame(id, &Get { key }));
        holds(&mut connection, count, &gets, &puts);
    }
}

#[test]
fn a_get_over_resp_takes_no_memory_and_a_set_what_it_keeps() {
    for count in [1, BATCH] {
        let mut connection = RespConversation::begin(&host(), 0);
        let puts = batch(count, |_, key| command(&[b"SET", key, &VALUE]));
        let gets = batch(count, |_, key| command(&[b"GET", key]));
        holds(&mut connection, count, &gets, &puts);
    }
}
