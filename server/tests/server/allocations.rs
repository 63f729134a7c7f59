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
use tidekeep_server::{Conversation, Host};

use crate::harness::{greeting, put, request_frame};

/// Requests that come together.
const BATCH: u32 = 128;

fn begin() -> Conversation {
    let (clock, disk) = (Arc::new(SystemClock), Arc::new(MemoryDisk::new()));
    let options = SoloOptions::new(disk, clock, seeded(1));
    let solo = Solo::open(SoloOptions { durability: Durability::Memory, ..options });
    let solo = Arc::new(solo.expect("memory does not fail"));
    let host = Arc::new(Host::new(&Config::local("unused"), solo, [1; 16]));
    let mut conversation = Conversation::begin(&host, 0, 1_000);
    assert!(exchange(&mut conversation, &greeting()) > 0, "a welcome");
    conversation
}

/// Gives bytes to the server; how many it answers with.
fn exchange(conversation: &mut Conversation, bytes: &[u8]) -> usize {
    assert_eq!(conversation.receive(0, bytes), bytes.len());
    let mut answered = 0;
    loop {
        conversation.run(0, &mut Context::from_waker(Waker::noop()));
        let ready = conversation.output().len();
        if ready == 0 {
            return answered;
        }
        answered += ready;
        conversation.taken(0, ready);
    }
}

fn batch(request: impl Fn(u32, &[u8]) -> Vec<u8>) -> Vec<u8> {
    (1..=BATCH).flat_map(|id| request(id, format!("key-{id:012}").as_bytes())).collect()
}

#[test]
fn a_get_takes_no_memory_and_a_put_what_it_keeps() {
    let mut conversation = begin();
    let value = [7; 64];
    let puts = batch(|id, key| request_frame(id, &put(key, &value)));
    let gets = batch(|id, key| request_frame(id, &Get { key }));
    for _ in 0..4 {
        exchange(&mut conversation, &puts);
        exchange(&mut conversation, &gets);
    }
    let mut answered = 0;
    let taken = allocation_counter::measure(|| answered = exchange(&mut conversation, &gets));
    assert!(answered > BATCH as usize * value.len(), "every value was given");
    assert_eq!(taken.count_total, 0, "{taken:?}");

    let taken = allocation_counter::measure(|| answered = exchange(&mut conversation, &puts));
    assert!(answered > 0);
    // The entries; now and then a list of the history or of the index grows.
    let most = u64::from(BATCH) + 4;
    assert!(taken.count_total <= most, "{taken:?}");
}
