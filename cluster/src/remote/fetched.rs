//! A cut of a group that has no replica here, fetched from a node that has one.

use std::time::Duration;

use tidekeep_log::{Entry, Lost, View};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::moment::Moment;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;

use crate::raft::{Instant, Runtime};
use crate::remote::message::{Ask, Told, entries_of};
use crate::remote::mirror::{Mirror, PATIENCE, nobody};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(20);

/// Bytes of a cut that are held here, at most.
const VIEW_BYTES: usize = 256 << 20;

/// Why there is no cut.
enum NoView {
    /// Another node may have one.
    Elsewhere,
    /// Nobody can do better.
    Lost(Lost),
}

/// Cuts that are begun and come to no end, until it is told that nobody gives one.
const TRIES: usize = 5;

/// A cut of a range, by the first node that gives it whole.
pub(super) async fn view<R: Runtime>(mirror: &Mirror<R>, range: &KeyRange) -> Result<View, Lost> {
    let (mut heard, mut turn, mut begun) = (R::Instant::now(), 0, 0);
    while R::Instant::now() - heard < PATIENCE && begun < TRIES {
        let made = mirror.ask(turn, &Ask::view(range), PATIENCE).await;
        if let Some(Told::View { view, revision }) = made {
            match pages(mirror, turn, view).await {
                Ok(entries) => {
                    let mut shard = Shard::new(Spread::new(revision, 1));
                    shard.fill(entries);
                    return Ok(View::freeze([&shard], range, Moment::default(), revision));
                }
                Err(NoView::Lost(lost)) => return Err(lost),
                Err(NoView::Elsewhere) => begun += 1,
            }
            heard = R::Instant::now();
        }
        turn += 1;
        R::sleep(RETRY).await;
    }
    Err(nobody())
}

/// The entries of a cut that a node keeps.
async fn pages<R: Runtime>(
    mirror: &Mirror<R>,
    turn: usize,
    view: u64,
) -> Result<Vec<Entry>, NoView> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    for number in 0.. {
        let ask = Ask::Page { view, number };
        let Some(Told::Page(page)) = mirror.ask(turn, &ask, Duration::ZERO).await else {
            return Err(NoView::Elsewhere);
        };
        let page = entries_of(&page).ok_or(NoView::Elsewhere)?;
        if page.is_empty() {
            break;
        }
        bytes += page.iter().map(Entry::cost).sum::<usize>();
        if bytes > VIEW_BYTES {
            return Err(NoView::Lost(Lost::new(
                "the range holds more than a node without a replica holds of it; ask one that has one",
            )));
        }
        entries.extend(page);
    }
    Ok(entries)
}
