//! A consumer of a view, as a page is one: it patches what it shows, and checks that it is what the core
//! holds, what the server had, and this client's edits on top, each shown as what it is.

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_client_core::{Core, WatchId};
use tidekeep_log::Entry;
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::plain::Reader;
use tidekeep_protocol::range::{KeyRange, Range};

use crate::call::What;
use crate::history::History;
use crate::reading::Wall;

const FRESH: u8 = 2;
const PRESENT: u8 = 1;
const OPTIMISTIC: u8 = 2;

type Key = Vec<u8>;

/// What a page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    state: u8,
    entries: BTreeMap<Key, (Vec<u8>, Meta)>,
    /// Keys of which an edit shows that has not settled.
    optimistic: BTreeSet<Key>,
}

/// A view of one client, and what it was told.
pub(crate) struct Viewer {
    pub(crate) view: WatchId,
    pub(crate) range: KeyRange,
    shown: Shown,
    /// The newest revision of each key that was shown as the server's.
    newest: BTreeMap<Key, u64>,
    /// Patches that it got.
    pub(crate) patches: u64,
    /// It was told something that was not looked at yet.
    pub(crate) stirred: bool,
}

/// The last edit of each key that has not settled; none if the queue is held.
pub(crate) type Edits<'a> = BTreeMap<Key, &'a What>;

impl Viewer {
    pub(crate) fn new(view: WatchId, range: KeyRange) -> Self {
        let (shown, newest) = (Shown::default(), BTreeMap::new());
        Self { view, range, shown, newest, patches: 0, stirred: true }
    }

    /// Takes a patch.
    pub(crate) fn take(&mut self, body: &[u8]) -> Result<(), String> {
        self.patches += 1;
        self.stirred = true;
        self.shown.patch(body).ok_or_else(|| format!("a malformed patch: {body:?}"))
    }

    /// Whether it says that it shows all there is.
    pub(crate) fn is_fresh(&self) -> bool {
        self.shown.state == FRESH && self.shown.optimistic.is_empty()
    }

    /// The revision that a client knows of a key by looking at it.
    pub(crate) fn known(&self, key: &[u8]) -> Option<u64> {
        self.shown.entries.get(key).map(|(_, meta)| meta.modified)
    }

    /// Holds what it shows against the core, the history, and the edits that show in it.
    pub(crate) fn check(
        &mut self,
        core: &Core,
        edits: &Edits<'_>,
        history: &History,
        wall: Wall,
    ) -> Result<(), String> {
        self.stirred = false;
        let mut held = Vec::new();
        if !core.read_view(self.view, Range::default(), usize::MAX, &mut held) {
            return Err("it is not there".to_owned());
        }
        let mut whole = Shown::default();
        whole.patch(&held).ok_or("what is read is malformed")?;
        if whole != self.shown {
            return Err(whole.difference(&self.shown));
        }
        let range = self.range.as_range();
        let edited = edits.keys().filter(|key| range.contains(key));
        if !edited.clone().eq(&self.shown.optimistic) {
            let edited: Vec<&Key> = edited.collect();
            return Err(format!("{edited:?} wait, {:?} show so", self.shown.optimistic));
        }
        let mut copy = Vec::new();
        let base = core.save_view(self.view, &mut copy).then(|| saved(&copy));
        let base = base.map(|base| base.ok_or("its copy is malformed")).transpose()?;
        if let Some((revision, content)) = &base
            && self.shown.state == FRESH
        {
            check_content(&self.range, *revision, content, history, wall)?;
        }
        for (key, shown) in &self.shown.entries {
            if !edits.contains_key(key) {
                self.check_own(key, shown, history)?;
                self.newest.insert(key.clone(), shown.1.modified);
            }
        }
        for (key, edit) in edits.iter().filter(|(key, _)| range.contains(key)) {
            check_optimistic(key, self.shown.entries.get(key), edit)?;
        }
        Ok(())
    }

    /// What is shown as the server's was there, and is not older than what was shown before.
    fn check_own(
        &self,
        key: &Key,
        (value, meta): &(Vec<u8>, Meta),
        history: &History,
    ) -> Result<(), String> {
        let at = meta.modified;
        let entry = history.state(key, at).filter(|entry| entry.modified() == at);
        if entry.is_none_or(|entry| entry.value() != value) {
            return Err(format!("{key:?} shows as {value:?} at {at}, which was {entry:?}"));
        }
        match self.newest.get(key) {
            Some(newest) if at < *newest => Err(format!("{key:?} goes back from {newest} to {at}")),
            _ => Ok(()),
        }
    }

    /// At the end: it is fresh, and shows what the store holds.
    pub(crate) fn check_end(&self, history: &History, wall: Wall) -> Result<(), String> {
        if !self.is_fresh() {
            return Err(format!("is not fresh: {:?}", self.shown));
        }
        check_content(&self.range, history.revision(), &self.shown.entries, history, wall)
    }
}

/// What shows of an edit that is the last of its key.
fn check_optimistic(key: &Key, shown: Option<&(Vec<u8>, Meta)>, edit: &What) -> Result<(), String> {
    let value = shown.map(|(value, _)| value);
    let right = match edit {
        What::Put { value: put, .. } => value == Some(put),
        What::Delete { .. } => value.is_none(),
        _ => value.is_some(),
    };
    if right { Ok(()) } else { Err(format!("{key:?} shows as {value:?} under {edit:?}")) }
}

/// What a range holds at a revision, but for what had ended by then or has since.
fn check_content(
    range: &KeyRange,
    at: u64,
    found: &BTreeMap<Key, (Vec<u8>, Meta)>,
    history: &History,
    wall: Wall,
) -> Result<(), String> {
    if at > history.revision() {
        return Err(format!("is at {at}, which is not safe"));
    }
    let content = history.content(range, at);
    for entry in &content {
        match found.get(entry.key()) {
            Some((value, meta)) if entry.value() == value && entry.meta() == *meta => {}
            Some(told) => return Err(format!("content at {at}: {told:?}, not {entry:?}")),
            None if wall.must_show(entry, at, history) => {
                return Err(format!("content at {at} is without {entry:?}"));
            }
            None => {}
        }
    }
    let there = |key: &&Key| content.iter().any(|entry: &&Entry| entry.key() == key.as_slice());
    match found.keys().find(|key| !there(key)) {
        Some(key) => Err(format!("content at {at} has {key:?}, which is not there")),
        None => Ok(()),
    }
}

impl Shown {
    /// What is not as patches have made it.
    fn difference(&self, patched: &Self) -> String {
        let keys = self.entries.keys().chain(patched.entries.keys());
        let keys = keys.chain(&self.optimistic).chain(&patched.optimistic);
        let of = |shown: &Self, key: &Key| {
            let entry = shown.entries.get(key).map(|(value, meta)| (value.len(), *meta));
            (entry, shown.optimistic.contains(key))
        };
        let other: BTreeSet<&Key> = keys.filter(|key| of(self, key) != of(patched, key)).collect();
        let told: Vec<_> =
            other.into_iter().map(|key| (key, of(self, key), of(patched, key))).collect();
        let states = (self.state, patched.state);
        format!("in state {states:?} there are {told:?}: key, as it is, as patches made it")
    }

    fn patch(&mut self, body: &[u8]) -> Option<()> {
        let mut rest = Reader::new(body);
        self.state = *rest.take(1).first()?;
        while !rest.rest().is_empty() {
            let flags = *rest.take(1).first()?;
            let key = rest.bytes().to_vec();
            match flags & OPTIMISTIC {
                0 => self.optimistic.remove(&key),
                _ => self.optimistic.insert(key.clone()),
            };
            match flags & PRESENT {
                0 => self.entries.remove(&key),
                _ => self.entries.insert(key, stored(&mut rest)?),
            };
        }
        rest.so_far(())
    }
}

fn stored(rest: &mut Reader<'_>) -> Option<(Vec<u8>, Meta)> {
    let (created, modified, version) = (rest.number(), rest.number(), rest.number());
    let (expires_at, lease) = (rest.optional_number(), rest.optional_number());
    let value = rest.bytes().to_vec();
    rest.so_far((value, Meta { created, modified, version, expires_at, lease }))
}

/// The revision and the content of a view's copy.
#[expect(clippy::type_complexity, reason = "it is taken apart where it is made")]
fn saved(copy: &[u8]) -> Option<(u64, BTreeMap<Key, (Vec<u8>, Meta)>)> {
    let mut rest = Reader::new(copy);
    let _incarnation = rest.number();
    let cursor = Cursor::from_bytes(rest.bytes()).ok()?;
    let mut content = BTreeMap::new();
    while !rest.rest().is_empty() {
        let key = rest.bytes().to_vec();
        content.insert(key, stored(&mut rest)?);
    }
    Some((*cursor.revisions.first()?, content))
}
