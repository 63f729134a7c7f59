//! A Redis client's side of a conversation. Whatever it sends, the replies are well-formed, what is held
//! for it is bounded, and the same bytes in two pieces get the same replies.
//!
//! ```text
//! | cut u8 | bytes … |
//! ```

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Waker};

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Commit, Durability, Solo, SoloOptions, Upkeep};
use tidekeep_protocol::limits::Limits;
use tidekeep_server::config::Config;
use tidekeep_server::{Host, RespConversation};

use crate::disk::Hands;

const LIMITS: Limits = Limits {
    key_bytes: 32,
    value_bytes: 512,
    frame_bytes: 4096,
    scan_entries: 64,
    ..Limits::DEFAULT
};

/// What one connection may make the server hold: its longest command, a batch, the output's bound.
const HELD_BYTES: usize = 1 << 20;

/// The time of day, in microseconds: the same for both, and for the store.
const UNIX_US: u64 = 1_000_000_000;

/// Conversations that a store has before it makes room for a new one.
const USES: u32 = 128;

thread_local! {
    /// A new store for each input would be most of the work.
    static STORE: RefCell<Option<(Arc<Solo>, u32)>> = const { RefCell::new(None) };
}

/// The bytes are one conversation.
pub fn run(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    // Both come to the same parser, and what it finds to the same store, which is made empty between.
    let whole = talk(&[bytes]);
    let cut = usize::from(cut).min(bytes.len());
    let parts = talk(&[&bytes[..cut], &bytes[cut..]]);
    assert_eq!(count(&whole), count(&parts), "as many replies wherever the bytes are cut");
}

/// What is said to bytes that come in parts.
fn talk(parts: &[&[u8]]) -> Vec<u8> {
    let solo = store();
    let commit: Arc<dyn Commit> = Arc::clone(&solo) as _;
    let mut config = Config::local("unused");
    config.limits = LIMITS;
    config.output_bytes = 4096;
    let host = Arc::new(Host::new(&config, commit, [7; 16]));
    let mut server = RespConversation::begin(&host, 0);
    let mut context = Context::from_waker(Waker::noop());
    let empty: &[u8] = b"FLUSHALL\r\n";
    let mut said = Vec::new();
    for part in [&[empty], parts].concat() {
        let mut rest = part;
        loop {
            let taken = server.receive(rest);
            rest = &rest[taken..];
            server.run(0, UNIX_US, &mut context);
            let stepped = solo.step();
            let output = server.output().len();
            said.extend_from_slice(server.output());
            server.taken(0, output);
            assert!(server.held_bytes() <= HELD_BYTES, "{} bytes are held", server.held_bytes());
            // Who is parted with still gets what was said before.
            if output == 0 && (server.parting().is_some() || taken == 0 && !stepped) {
                break;
            }
        }
    }
    said
}

/// How many replies these are.
fn count(mut bytes: &[u8]) -> usize {
    let mut replies = 0;
    while !bytes.is_empty() {
        bytes = reply(bytes).unwrap_or_else(|| panic!("no reply: {}", bytes.escape_ascii()));
        replies += 1;
    }
    replies
}

/// What is behind the first reply.
fn reply(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
    match line.first()? {
        b'+' | b'-' | b'_' => Some(rest),
        b':' => number().map(|_| rest),
        b'$' | b'=' => match number()? {
            -1 => Some(rest),
            length => {
                let behind = rest.get(usize::try_from(length).ok()?..)?;
                behind.strip_prefix(b"\r\n")
            }
        },
        mark @ (b'*' | b'~' | b'>' | b'%') => {
            let length = number()?.max(0) * if *mark == b'%' { 2 } else { 1 };
            (0..length).try_fold(rest, |rest, _| reply(rest))
        }
        _ => None,
    }
}

fn store() -> Arc<Solo> {
    STORE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(_, uses)| *uses == USES) {
            *slot = Some((new_store(), 0));
        }
        let (solo, uses) = slot.as_mut().expect("it was made");
        *uses += 1;
        Arc::clone(solo)
    })
}

fn new_store() -> Arc<Solo> {
    let (disk, clock) = (FaultyDisk::new(1), Hands::at(UNIX_US / 1000));
    let options = SoloOptions::new(Arc::new(disk), clock, seeded(7));
    let solo = Solo::open(SoloOptions {
        durability: Durability::None,
        limits: LIMITS,
        upkeep: Upkeep::Steps,
        shards: 2,
        segment_bytes: 8 << 20,
        history_bytes: 1 << 20,
        ..options
    });
    Arc::new(solo.expect("an empty disk opens"))
}
