//! Which slot a key falls into and which group owns a slot: the one rule by which clients and
//! servers find the group of a key. The hash is fixed for good; `docs/protocol.md` (Slots) tells it to
//! those who write a client, and `protocol/vectors/slots.tsv` has examples.
//!
//! ```text
//! key ─▶ its tag, or all of it ─▶ hash, 64 bits ─▶ mod 16,384 = slot ─▶ slot · groups / 16,384 = group
//! ```
//!
//! The hash is FNV-1a with 64 bits, mixed by the finalizer of MurmurHash3. Both are published and have no
//! tables and no seed to agree on, so that the whole fits into a few lines of any language (Go has the first
//! half in its library). FNV-1a alone will not do: the lowest bit of its result is the parity of the
//! lowest bits of the key's bytes, and a slot is made of low bits. It is no shield from those who choose
//! keys to meet in one slot: a tag lets them do that by design.

use core::fmt;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::cursor::GROUPS_MAX;

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;
const MIX_1: u64 = 0xFF51_AFD7_ED55_8CCD;
const MIX_2: u64 = 0xC4CE_B9FE_1A85_EC53;

/// One of the [`SLOTS`] parts of the keys. A slot never changes its keys; groups own runs of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// Names a group of a store: 0 and up, below the store's [`GroupCount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u16);

/// How many groups share the slots of a store, 1 to [`GROUPS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct GroupCount(u16);

/// The slot of `key`. Keys with the same tag are in the same slot.
pub fn slot_of(key: &[u8]) -> Slot {
    Slot((hash64(tag(key)) % u64::from(SLOTS)) as u16)
}

/// What of `key` decides on its slot: the text between the first `{` and the next `}` behind it if
/// there is any, else the whole key.
pub fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

/// The hash that slots are made of: FNV-1a, then MurmurHash3's finalizer.
pub fn hash64(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    let mut hash = bytes.iter().fold(FNV_OFFSET, step);
    hash = (hash ^ (hash >> 33)).wrapping_mul(MIX_1);
    hash = (hash ^ (hash >> 33)).wrapping_mul(MIX_2);
    hash ^ (hash >> 33)
}

impl Slot {
    /// The slot with this number; none from [`SLOTS`] on.
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// Its number, below [`SLOTS`].
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl GroupCount {
    /// One group that owns every slot.
    pub const ONE: Self = Self(1);

    /// So many groups; none unless there are 1 to [`GROUPS_MAX`].
    pub const fn new(groups: u16) -> Option<Self> {
        if groups >= 1 && groups as usize <= GROUPS_MAX { Some(Self(groups)) } else { None }
    }

    /// How many groups there are.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every group, in order.
    pub fn groups(self) -> impl ExactSizeIterator<Item = GroupId> {
        (0..self.0).map(GroupId)
    }

    /// The group that owns `slot`.
    pub const fn group_of(self, slot: Slot) -> GroupId {
        GroupId((slot.0 as u32 * self.0 as u32 / SLOTS as u32) as u16)
    }

    /// The slots that `group` owns, 64 at the least; none if there is no such group.
    pub fn slots_of(self, group: GroupId) -> Option<RangeInclusive<Slot>> {
        if group.0 >= self.0 {
            return None;
        }
        let first = |group: u32| (group * u32::from(SLOTS)).div_ceil(u32::from(self.0)) as u16;
        let group = u32::from(group.0);
        Some(Slot(first(group))..=Slot(first(group + 1) - 1))
    }
}

impl TryFrom<u16> for GroupCount {
    type Error = &'static str;

    fn try_from(groups: u16) -> Result<Self, Self::Error> {
        Self::new(groups).ok_or("a store has 1 to 256 groups")
    }
}

impl From<GroupCount> for u16 {
    fn from(groups: GroupCount) -> Self {
        groups.get()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_is_the_published_fnv_and_the_second_the_published_finalizer() {
        // FNV-1a of "foobar" is 85944171f73967e8 (Noll's list of test values); mixed in Python.
        assert_eq!(hash64(b""), 0xEFD0_1F60_BA99_2926);
        assert_eq!(hash64(b"foobar"), 0x2C22_1949_22D1_672B);
    }

    #[test]
    fn only_a_tag_with_text_counts() {
        assert_eq!(tag(b"{user1}.name"), b"user1");
        assert_eq!(tag(b"a{b}c{d}"), b"b");
        assert_eq!(tag(b"a{{b}}"), b"{b");
        for whole in [&b"plain"[..], b"a{}b{c}", b"a{b", b"}a{", b"a}b", b""] {
            assert_eq!(tag(whole), whole);
        }
    }

    #[test]
    fn there_are_1_to_256_groups_and_16384_slots() {
        assert_eq!(GroupCount::new(0), None);
        assert_eq!(GroupCount::new(1), Some(GroupCount::ONE));
        assert_eq!(GroupCount::new(256).map(GroupCount::get), Some(256));
        assert_eq!(GroupCount::new(257), None);
        assert_eq!(Slot::new(16_383).map(Slot::number), Some(16_383));
        assert_eq!(Slot::new(16_384), None);
    }
}
