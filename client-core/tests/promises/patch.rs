//! Patches of views as docs/design-client.md draws them, and snapshots that are patched by them as a
//! page's are.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::entry::Stored;

use crate::model::Key;

pub(crate) const LOADING: u8 = 0;
pub(crate) const STALE: u8 = 1;
pub(crate) const FRESH: u8 = 2;

/// What shows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) value: Vec<u8>,
    pub(crate) modified: u64,
    pub(crate) optimistic: bool,
}

/// A patch, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) state: u8,
    pub(crate) changes: Vec<(Key, Option<Shown>)>,
}

impl Patch {
    pub(crate) fn read(body: &[u8]) -> Self {
        let (&state, mut rest) = body.split_first().expect("a patch has a state");
        let mut changes = Vec::new();
        while let Some((&flags, behind)) = rest.split_first() {
            assert!(flags < 4, "flags are known: {flags}");
            let (key, behind) = bytes(behind);
            let mut shown = None;
            rest = behind;
            if flags & 1 > 0 {
                // Its end is found by trying: the decoder wants all that it is given.
                let length = (7..=behind.len())
                    .find(|&length| codec::decode::<Stored<'_>>(&behind[..length]).is_ok());
                let length = length.expect("an entry follows");
                let stored: Stored<'_> = codec::decode(&behind[..length]).expect("it did");
                rest = &behind[length..];
                let (value, modified) = (stored.value.to_vec(), stored.meta.modified);
                shown = Some(Shown { value, modified, optimistic: flags & 2 > 0 });
            }
            changes.push((key, shown));
        }
        Self { state, changes }
    }
}

fn bytes(from: &[u8]) -> (Key, &[u8]) {
    let (mut length, mut shift, mut at) = (0_usize, 0, 0);
    loop {
        length |= usize::from(from[at] & 0x7F) << shift;
        shift += 7;
        at += 1;
        if from[at - 1] < 0x80 {
            return (from[at..at + length].to_vec(), &from[at + length..]);
        }
    }
}

/// What a page shows of a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) state: u8,
    pub(crate) entries: BTreeMap<Key, Shown>,
}

impl Snapshot {
    pub(crate) fn patch(&mut self, patch: &Patch) {
        self.state = patch.state;
        for (key, shown) in &patch.changes {
            match shown {
                Some(shown) => self.entries.insert(key.clone(), shown.clone()),
                None => self.entries.remove(key),
            };
        }
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<(&str, bool)> {
        let shown = self.entries.get(key)?;
        Some((std::str::from_utf8(&shown.value).expect("text"), shown.optimistic))
    }
}
