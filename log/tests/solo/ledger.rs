//! A store in steps whose content tells which batches it holds: batch after batch, each one record,
//! with a counter of them beside the keys that they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::offline::{self, Findings};
use tidekeep_log::{OpenError, Pending, Solo, SoloOptions, Upkeep};
use tidekeep_protocol::op::Request;

use crate::clock::ManualClock;
use crate::world::{add_request, content, delete_request, now_or_never, put_request, submit, text};

/// Bytes of a segment: about ten batches fill one.
pub(crate) const SEGMENT: u64 = 4096;

/// Values by key.
pub(crate) type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// Opens the store on `disk`.
pub(crate) fn open(disk: &FaultyDisk, seed: u64) -> Result<Solo, OpenError> {
    Solo::open(SoloOptions {
        segment_bytes: SEGMENT,
        shards: 2,
        upkeep: Upkeep::Steps,
        ..SoloOptions::new(Arc::new(disk.clone()), ManualClock::new() as _, seeded(seed))
    })
}

fn key(number: u64) -> Vec<u8> {
    format!("key-{}", number % 8).into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    vec![number as u8; 20 + (number * 37 % 300) as usize]
}

/// Hands in the batch with this number, the first being 0.
pub(crate) fn begin(store: &Solo, number: u64) -> Pending {
    let (put, gone, value) = (key(number), key(number + 3), value(number));
    let mut requests: Vec<Request<'_>> =
        vec![add_request(b"batches", 1), put_request(&put, &value)];
    if number % 5 == 4 {
        requests.push(delete_request(&gone));
    }
    submit(store, &requests)
}

/// Writes the batch with this number. None once the disk has failed.
pub(crate) fn write(store: &Solo, number: u64) -> Option<()> {
    let pending = begin(store, number);
    while store.step() {}
    let answers = now_or_never(pending)?.ok()?;
    answers.iter().all(Result::is_ok).then_some(())
}

/// What there is after so many batches.
pub(crate) fn expected(batches: u64) -> Values {
    let mut values = Values::new();
    for number in 0..batches {
        values.insert(key(number), value(number));
        if number % 5 == 4 {
            values.remove(&key(number + 3));
        }
        values.insert(b"batches".to_vec(), (number + 1).to_string().into_bytes());
    }
    values
}

/// How many batches the store holds.
///
/// # Panics
/// If it holds anything else than the first so many.
pub(crate) fn held(store: &Solo, context: &str) -> u64 {
    let batches = text(store, b"batches").map_or(0, |text| text.parse().expect("a counter"));
    let (_, found) = content(store);
    let found: Values =
        found.into_iter().map(|(key, entry)| (key, entry.value().to_vec())).collect();
    assert!(found == expected(batches), "not what {batches} batches come to: {context}");
    assert_eq!(store.feed().revision(), revision(batches), "{context}");
    batches
}

/// The revision after so many batches. Increments and puts make one each; so does the delete of
/// every fifth, as long as the key is there.
pub(crate) fn revision(batches: u64) -> u64 {
    let mut values = Values::new();
    let mut revision = 0;
    for number in 0..batches {
        revision += 2;
        values.insert(key(number), Vec::new());
        if number % 5 == 4 {
            revision += u64::from(values.remove(&key(number + 3)).is_some());
        }
    }
    revision
}

/// A store of so many batches over several segments, closed, with a snapshot after each batch whose
/// number is in `snapshots`.
pub(crate) fn made(batches: u64, snapshots: &[u64]) -> FaultyDisk {
    let disk = FaultyDisk::new(batches);
    let store = open(&disk, 1).expect("nothing fails");
    for number in 0..batches {
        write(&store, number).expect("nothing fails");
        if snapshots.contains(&(number + 1)) {
            store.snapshot().expect("nothing fails");
        }
    }
    drop(store);
    disk
}

/// What a look at the files finds. Looking never changes anything.
pub(crate) fn verify(disk: &FaultyDisk) -> Findings {
    let calls = disk.calls();
    let looked: Arc<dyn Disk> = Arc::new(disk.clone());
    let findings = offline::verify(&looked, &mut |_| {}).expect("the directory can be listed");
    assert_eq!(disk.calls(), calls, "looking changes nothing");
    findings
}

/// The names of files that end so, oldest first.
pub(crate) fn files(disk: &FaultyDisk, ending: &str) -> Vec<String> {
    let names = disk.list().expect("the power is on");
    names.into_iter().filter(|name| name.ends_with(ending)).collect()
}

/// Flips the bit in the middle of a file.
pub(crate) fn flip_middle(disk: &FaultyDisk, name: &str) {
    let bits = disk.content(name).expect("it is there").len() as u64 * 8;
    disk.flip_bit(name, bits / 2);
}
