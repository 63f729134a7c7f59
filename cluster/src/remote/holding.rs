//! The node that has a replica: answers what those ask who follow the group without one, and keeps the cuts
//! that they read, for as long as they do.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_bytes::ByteBuf;
use tidekeep_log::{Feed, TooOld, View};
use tidekeep_protocol::range::KeyRange;

use crate::raft::{Instant, Runtime};
use crate::remote::message::{Ask, Told, page_of};
use crate::remote::portions::Portions;
use crate::replicated::Replicated;

/// Cuts that are kept at once, at most: the one that was read longest ago makes room.
const VIEWS_MAX: usize = 64;

/// A cut that nobody reads is kept for so long.
pub(super) const IDLE: Duration = Duration::from_secs(10);

/// Entries and bytes of a page.
const PAGE_ENTRIES: usize = 2_000;
const PAGE_BYTES: usize = 256 << 10;

/// Bytes of changes in one reply, at most, unless a single one has more.
const CHANGES_BYTES: usize = 1 << 20;

/// The longest wait for a change.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What is kept for those who follow.
pub(crate) struct Holding<R: Runtime> {
    views: Mutex<Views<R>>,
    portions: Portions<R>,
}

struct Views<R: Runtime> {
    last: u64,
    kept: BTreeMap<u64, Kept<R>>,
}

struct Kept<R: Runtime> {
    view: View,
    last_key: Option<Vec<u8>>,
    /// The page that is to be asked for.
    next: u32,
    read: R::Instant,
}

impl<R: Runtime> Holding<R> {
    pub(crate) fn new() -> Self {
        let views = Mutex::new(Views { last: 0, kept: BTreeMap::new() });
        Self { views, portions: Portions::new() }
    }

    /// Lets go what nobody has read for long.
    pub(crate) fn tidy(&self) {
        let now = R::Instant::now();
        self.views.lock().kept.retain(|_, kept| now - kept.read < IDLE);
        self.portions.tidy(now);
    }

    /// Answers a request by the replica that is here, if there is one: what is kept outlives it.
    pub(crate) async fn serve(&self, here: Option<&Replicated<R>>, request: &[u8]) -> Vec<u8> {
        let told = match (Ask::decode(request), here) {
            (None, _) => Told::NotHere,
            (Some(Ask::Page { view, number }), _) => self.page(view, number),
            (Some(Ask::Piece { portion, number }), _) => self.portions.piece(portion, number),
            (Some(Ask::Keep { portion }), _) => self.portions.keep(portion),
            (Some(Ask::Drop { portion }), _) => self.portions.let_go(portion),
            (Some(_), None) => Told::NotHere,
            (Some(ask), Some(here)) => self.by_replica(here, ask).await,
        };
        told.encode()
    }

    async fn by_replica(&self, here: &Replicated<R>, ask: Ask) -> Told {
        match ask {
            Ask::Newest => Told::Newest(here.feed().revision()),
            Ask::Oldest => Told::Oldest(oldest(here.feed())),
            Ask::Changes { after, bytes, wait_ms } => {
                let wait = Duration::from_millis(wait_ms.into()).min(WAIT_MAX);
                changes::<R>(here.feed(), after, (bytes as usize).min(CHANGES_BYTES), wait).await
            }
            Ask::View { start, end } => {
                let (start, end) = (start.into_vec(), end.map(|end| end.into_vec()));
                match here.feed().view(&KeyRange { start, end }).await {
                    Ok(view) => self.keep(view),
                    Err(_) => Told::NotHere,
                }
            }
            Ask::Portion { hold } => self.portions.cut(here, hold).await,
            Ask::Keys => Told::Keys(here.keys_here()),
            Ask::Sample { random } => Told::Sample(here.sample_here(random).map(ByteBuf::from)),
            Ask::Page { .. } | Ask::Piece { .. } | Ask::Keep { .. } | Ask::Drop { .. } => {
                Told::NotHere
            }
        }
    }

    fn keep(&self, view: View) -> Told {
        let (now, revision) = (R::Instant::now(), view.revision());
        let mut views = self.views.lock();
        views.kept.retain(|_, kept| now - kept.read < IDLE);
        while views.kept.len() >= VIEWS_MAX {
            let oldest = views.kept.iter().min_by_key(|(_, kept)| kept.read);
            let Some((&oldest, _)) = oldest else { break };
            views.kept.remove(&oldest);
        }
        views.last += 1;
        let number = views.last;
        views.kept.insert(number, Kept { view, last_key: None, next: 0, read: now });
        Told::View { view: number, revision }
    }

    fn page(&self, view: u64, number: u32) -> Told {
        let now = R::Instant::now();
        let mut views = self.views.lock();
        views.kept.retain(|_, kept| now - kept.read < IDLE);
        let Some(kept) = views.kept.get_mut(&view).filter(|kept| kept.next == number) else {
            return Told::Gone;
        };
        let page = kept.view.page(kept.last_key.as_deref(), PAGE_ENTRIES, PAGE_BYTES);
        (kept.next, kept.read) = (number + 1, now);
        match page.last() {
            Some(last) => kept.last_key = Some(last.key().to_vec()),
            None => drop(views.kept.remove(&view)),
        }
        drop(views);
        page_of(&page)
    }
}

/// The revision before the oldest change that is remembered.
fn oldest(feed: &dyn Feed) -> u64 {
    match feed.changes(0, 1) {
        Err(TooOld { oldest }) => oldest,
        Ok(_) => 0,
    }
}

/// The changes after a revision; if there is none, the next one, unless it takes longer than `wait`.
async fn changes<R: Runtime>(feed: &dyn Feed, after: u64, bytes: usize, wait: Duration) -> Told {
    let began = R::Instant::now();
    loop {
        let Ok(found) = feed.changes(after, bytes) else { return Told::TooOld };
        let left = wait.saturating_sub(R::Instant::now() - began);
        if !found.changes.is_empty() || left.is_zero() {
            return Told::changes(&found.changes, after);
        }
        if let Ok(Err(_)) = R::timeout(left, feed.changed(after)).await {
            return Told::NotHere;
        }
    }
}
