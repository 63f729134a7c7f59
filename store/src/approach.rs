//! Looking ahead: what a batch of commands will look at is far away in memory, and finding an entry is
//! a row of looks of which each waits for the one before. Here the looks of many keys go on side by
//! side, so that what follows finds everything near. Nothing is decided here.

use crate::index::Place;
use crate::shard::Shard;
use crate::shards::KeyHash;

/// Keys that are looked for at once: more than a core can wait for side by side.
pub const KEYS_MAX: usize = 64;

/// Where a key probably is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Near(pub(crate) Option<Place>);

/// Brings near what the keys with these hashes lead to in their shards, [`KEYS_MAX`] at most; gives for
/// each where it probably is.
pub fn approach<'a>(keys: impl Iterator<Item = (KeyHash, &'a Shard)> + Clone) -> [Near; KEYS_MAX] {
    let mut places = [Near(None); KEYS_MAX];
    let keys = keys.take(KEYS_MAX);
    for (place, (hash, shard)) in places.iter_mut().zip(keys.clone()) {
        *place = Near(shard.likely_place(hash));
    }
    let found = || keys.clone().zip(places).filter_map(|((_, shard), near)| Some((shard, near.0?)));
    let slots = found().fold(0, |sum, (shard, place)| sum ^ shard.look_at_slot(place));
    let entries = found().fold(0, |sum, (shard, place)| sum ^ shard.look_at_entry(place));
    // Or else nobody would need to look.
    core::hint::black_box((slots, entries));
    places
}
