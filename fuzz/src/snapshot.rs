//! A store whose snapshot holds any chunks, or any bytes at all, with true records behind it.
//! Refused, the directory is as it was; taken, every next start gives the same store.
//!
//! ```text
//! | flags u8 | chunk … |    flags: 1 makes the head fit the entries, 2 takes the rest as the file
//! chunk: | length u16 | content |
//! ```

use std::sync::{Arc, LazyLock};

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Call, Commit, Durability, OpenError, Solo, SoloOptions, Upkeep, collect};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Delete, Put, Request};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot::{self, Head};

use crate::disk::{Hands, Image, disk_of, image_of, ready};
use crate::script::Script;
use crate::seal;

/// The head is to be made to fit.
pub const FITTING: u8 = 1;
/// The file's own bytes follow.
pub const RAW: u8 = 2;

/// The time at which every store of this target begins.
const NOON: u64 = 1_000_000;

/// What every input begins with: a small store, with a snapshot in the middle of its life.
static BASE: LazyLock<(Image, usize)> = LazyLock::new(|| {
    let image = true_store();
    let at = image.iter().position(|(name, _)| name.ends_with(".snap"));
    (image, at.expect("it has a snapshot"))
});

/// The bytes are a snapshot.
pub fn run(data: &[u8]) {
    let (mut image, at) = BASE.clone();
    image[at].1 = read(data, &image[at].1);
    let (disk, before) = (disk_of(&image), image_of(&disk_of(&image)));
    let limit = (16 << 20) + 64 * data.len();
    let store = match crate::within(limit, || open(&disk)) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return assert_eq!(image_of(&disk), before, "what is refused is left alone: {error}");
        }
    };
    let (digest, content) = (store.digest(), content(&store));
    assert!(content.is_sorted(), "keys are in order and come once");
    store.close().expect("memory does not fail");
    drop(store);
    let store = open(&disk.copy()).expect("what was opened opens again");
    assert_eq!((store.digest(), self::content(&store)), (digest, content));
}

/// The chunks of the base's snapshot, for seeds.
pub fn true_chunks() -> Vec<Vec<u8>> {
    let (image, at) = &*BASE;
    let (mut rest, mut chunks) = (&image[*at].1[64..], Vec::new());
    while let Some((start, behind)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
        let Some((chunk, tail)) = behind.split_at_checked(len as usize) else { break };
        chunks.push(chunk.to_vec());
        rest = tail;
    }
    chunks
}

/// The base's snapshot as it lies on disk.
pub fn true_file() -> Vec<u8> {
    let (image, at) = &*BASE;
    image[*at].1.clone()
}

fn read(data: &[u8], like: &[u8]) -> Vec<u8> {
    let mut script = Script::new(data);
    let flags = script.byte().unwrap_or(0);
    if flags & RAW != 0 {
        let mut file = script.rest().to_vec();
        if flags & FITTING != 0 {
            seal::snapshot(&mut file);
        }
        return file;
    }
    let mut chunks = Vec::new();
    while let Some(chunk) = script.chunk() {
        chunks.push(chunk.to_vec());
    }
    chunks.retain(|chunk| !chunk.is_empty());
    if flags & FITTING != 0 {
        fit(&mut chunks);
    }
    seal::snapshot_of(like, &chunks)
}

/// Makes the head say what the entries of the chunk behind it add up to, at the base's place in the
/// order: the log goes on there.
fn fit(chunks: &mut [Vec<u8>]) {
    let [first, second, ..] = chunks else { return };
    let Some(head) = true_chunks().first().and_then(|chunk| Head::decode(chunk)) else { return };
    let mut shard = Shard::new(Spread::new(0, 1));
    for entry in snapshot::entries(second).flatten() {
        shard.insert(entry);
    }
    let head = Head { keys: shard.keys() as u64, digest: shard.digest(), ..head };
    *first = head.encode();
}

fn open(disk: &FaultyDisk) -> Result<Solo, OpenError> {
    let options = SoloOptions::new(Arc::new(disk.clone()), Hands::at(NOON), seeded(3));
    Solo::open(SoloOptions {
        durability: Durability::Always,
        segment_bytes: 64 << 10,
        shards: 2,
        upkeep: Upkeep::Steps,
        ..options
    })
}

/// Every key that is there, with its value.
pub fn content(store: &Solo) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view =
        ready(store.feed().view(&KeyRange::all())).and_then(Result::ok).expect("all of it is safe");
    let page = view.page(None, usize::MAX, usize::MAX);
    page.iter().map(|entry| (entry.key().to_vec(), entry.value().to_vec())).collect()
}

fn true_store() -> Image {
    let disk = FaultyDisk::new(5);
    let store = open(&disk).expect("an empty directory makes a store");
    let put = |key: &[u8], value: &[u8], expiry| {
        let put = Put { key, value, condition: Condition::Always, expiry, previous: false };
        write(&store, &Request::Put(put));
    };
    put(b"a", b"1", Expiry::Never);
    put(b"a/b", b"two", Expiry::After(60_000));
    put(b"a/c", b"", Expiry::Never);
    put(b"a", b"once more", Expiry::Keep);
    write(
        &store,
        &Request::Delete(Delete { key: b"a/c", condition: Condition::Always, previous: false }),
    );
    store.snapshot().expect("memory does not fail");
    put(b"b", b"behind", Expiry::Never);
    put(b"a/b", b"three", Expiry::Keep);
    store.close().expect("memory does not fail");
    drop(store);
    image_of(&disk)
}

fn write(store: &Solo, request: &Request<'_>) {
    let mut body = Vec::new();
    request.encode(&mut body);
    let pending = collect(store, &[Call { body: Some(&body), ..Call::new(request.clone()) }]);
    while store.step() {}
    ready(pending).expect("the disk has done its work").expect("memory does not fail");
}
