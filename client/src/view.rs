//! Views: watched ranges that the client keeps, to be read at any time without asking the server.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidekeep_client_core::WatchId;
use tidekeep_protocol::codec;
use tidekeep_protocol::entry::Stored;
use tidekeep_protocol::op::watch_walk;
use tidekeep_protocol::plain::Reader;
use tidekeep_protocol::range::KeyRange;
use tokio::sync::watch;

use crate::client::{Client, Handle};
use crate::entry::Entry;
use crate::error::Error;

/// How new a view is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewState {
    /// Its content is not complete.
    Loading,
    /// It was complete; there is no connection, or it has not caught up.
    Stale,
    /// It shows what the server has, as far as this connection can tell.
    Fresh,
}

/// An entry of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewEntry {
    /// The entry.
    pub entry: Entry,
    /// A mutation of this client that has not settled shows in it; then its revisions are those of
    /// the server's entry beneath it, 0 where there is none.
    pub optimistic: bool,
}

/// What has happened to a view.
#[derive(Debug, Clone, Default)]
pub(crate) struct ViewNews {
    pub(crate) patches: u64,
    pub(crate) ended: Option<Error>,
}

/// A range that is kept up to date. It ends when it is dropped.
pub struct View {
    handle: Arc<Handle>,
    id: WatchId,
    news: watch::Receiver<ViewNews>,
}

impl Client {
    /// Keeps a range: its entries can be read at any time, with the mutations of this client on top.
    /// `saved` is what [`View::save`] gave earlier for the same range, or empty.
    pub fn view(&self, range: &KeyRange, saved: &[u8]) -> View {
        let (id, news) = self.shared().view(range.clone(), saved);
        View { handle: self.handle(), id, news }
    }
}

impl View {
    /// How new it is.
    pub fn state(&self) -> ViewState {
        self.read(&KeyRange::all(), 0).0
    }

    /// The entry of a key, as it shows now.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<ViewEntry> {
        self.entries(&KeyRange::key(key.as_ref()), 1).pop()
    }

    /// The entries in a range, as they show now. At most `limit` keys are looked at, those that a
    /// mutation removes among them.
    pub fn entries(&self, range: &KeyRange, limit: usize) -> Vec<ViewEntry> {
        self.read(range, limit).1
    }

    /// Waits until something has changed since it was waited for last.
    ///
    /// # Errors
    /// When the view has ended: `too-large` if it does not fit
    /// [`tidekeep_client_core::Config::view_bytes`].
    pub async fn changed(&mut self) -> Result<(), Error> {
        let changed = self.news.changed().await;
        match &self.news.borrow_and_update().ended {
            Some(error) => Err(error.clone()),
            None => changed.map_err(|_| crate::shared::closed()),
        }
    }

    /// Its content and where it is, for a later view of the same range; none while it is not
    /// complete.
    pub fn save(&self) -> Option<Vec<u8>> {
        self.handle.shared().save_view(self.id)
    }

    fn read(&self, range: &KeyRange, limit: usize) -> (ViewState, Vec<ViewEntry>) {
        read_patch(&Bytes::from(self.handle.shared().read_view(self.id, range, limit)))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.handle.shared().unwatch(self.id);
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What a patch of the core says; nothing when there is no such view any more.
fn read_patch(patch: &Bytes) -> (ViewState, Vec<ViewEntry>) {
    let mut entries = Vec::new();
    let Some((&state, rest)) = patch.split_first() else { return (ViewState::Loading, entries) };
    let mut rest = Reader::new(rest);
    while let Some(entry) = read_change(patch, &mut rest) {
        entries.extend(entry);
    }
    let state = match state {
        0 => ViewState::Loading,
        1 => ViewState::Stale,
        _ => ViewState::Fresh,
    };
    (state, entries)
}

fn read_change(patch: &Bytes, rest: &mut Reader<'_>) -> Option<Option<ViewEntry>> {
    let flags = *rest.take(1).first()?;
    let key = patch.slice_ref(rest.bytes());
    if flags & 1 == 0 {
        return Some(None);
    }
    let before = rest.rest();
    watch_walk::stored(rest);
    let stored: Stored<'_> = codec::decode(&before[..before.len() - rest.rest().len()]).ok()?;
    let entry = Entry::of_stored(key, patch, stored);
    Some(Some(ViewEntry { entry, optimistic: flags & 2 > 0 }))
}
