//! `hold` and `release`: all keys of a group stay as they are in between, for a cut of one moment in all groups.

use crate::apply::Stamp;
use crate::holds::Held;
use crate::step::{Hold, Release};
use crate::tables::Tables;

/// Begins a hold, or tells of it again.
pub(crate) fn hold(tables: &mut Tables, stamp: Stamp, hold: &Hold) -> Held {
    let until_ms = stamp.now_ms.saturating_add(hold.for_ms.into());
    tables.intents.hold(hold.hold, Held { since: stamp.revision, until_ms }, stamp.now_ms)
}

/// Ends a hold; what it was, if its time was not over.
pub(crate) fn release(tables: &mut Tables, stamp: Stamp, release: &Release) -> Option<Held> {
    let held = tables.intents.held(&release.hold, stamp.now_ms);
    tables.intents.let_go(&release.hold);
    held
}
