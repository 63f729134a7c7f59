//! Looking ahead: what a batch of commands will look at is far away in memory, and finding an entry is
//! a row of looks of which each waits for the one before. Here the looks of many keys go on side by
//! side, so that what follows finds everything near. Nothing is decided here.

use crate::index::Place;
use crate::leaf::Leaf;
use crate::shard::Shard;
use crate::shards::KeyHash;

/// Keys that are looked for at once: more than a core can wait for side by side.
pub const KEYS_MAX: usize = 64;

/// Where a key probably is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Near(pub(crate) Option<Place>);

/// A key that is looked ahead for: with its hash, and its shard.
pub type Wanted<'a> = (&'a [u8], KeyHash, &'a Shard);

/// Brings near what the keys lead to in their shards, [`KEYS_MAX`] at most, or where they would be put;
/// gives for each where it probably is.
pub fn approach<'a>(keys: impl Iterator<Item = Wanted<'a>> + Clone) -> [Near; KEYS_MAX] {
    let mut places = [Near(None); KEYS_MAX];
    let keys = keys.take(KEYS_MAX);
    for (place, (_, hash, shard)) in places.iter_mut().zip(keys.clone()) {
        *place = Near(shard.likely_place(hash));
    }
    let found =
        || keys.clone().zip(places).filter_map(|((_, _, shard), near)| Some((shard, near.0?)));
    let slots = found().fold(0, |sum, (shard, place)| sum ^ shard.look_at_slot(place));
    let entries = found().fold(0, |sum, (shard, place)| sum ^ shard.look_at_entry(place));
    let absent = keys.zip(places).filter(|(_, near)| near.0.is_none());
    let steps = descend(absent.map(|((key, _, shard), _)| (key, shard)));
    // Or else nobody would need to look.
    core::hint::black_box((slots, entries, steps));
    places
}

/// Looks for the places of keys in the order of their leaves; what it gives says nothing.
fn descend<'a>(keys: impl Iterator<Item = (&'a [u8], &'a Shard)>) -> usize {
    let mut leaves = [None::<(&[u8], &Leaf)>; KEYS_MAX];
    for (place, (key, shard)) in leaves.iter_mut().zip(keys) {
        *place = shard.leaf_for(key).map(|leaf| (key, leaf));
    }
    let leaves = leaves.iter().flatten();
    let firsts = leaves.clone().fold(0, |sum, (_, leaf)| sum ^ leaf.first_address());
    leaves.fold(firsts, |sum, (key, leaf)| sum ^ leaf.position(key).unwrap_or_else(|at| at))
}
