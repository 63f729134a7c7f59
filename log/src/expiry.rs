//! The thread that proposes to remove what has expired. It sleeps until the next entry ends, but
//! never long, since an entry that ends sooner may be written at any time.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::error::Refused;
use crate::group::Group;
use crate::solo::Progress;

/// The longest nap: what an expire event may be late by.
const NAP: Duration = Duration::from_millis(40);

/// Entries in one expire command.
const BATCH: usize = 512;

pub(crate) fn run(group: &Group, progress: &Progress) {
    while !progress.closing.load(Ordering::Acquire) {
        let now = group.clock.now_ms();
        let next = group.shards.iter().filter_map(|shard| shard.read().next_due()).min();
        let Some(late) = next.and_then(|due| now.checked_sub(due)) else {
            let nap = next.map_or(NAP, |due| NAP.min(Duration::from_millis(due - now)));
            thread::park_timeout(nap);
            continue;
        };
        progress.expiry_lag_ms.store(late, Ordering::Relaxed);
        match group.expire(BATCH) {
            Ok(expired) => {
                progress.expired.fetch_add(expired as u64, Ordering::Relaxed);
            }
            Err(Refused::Busy(room)) => {
                // Woken by room or not, the next round asks again.
                let _ = room.wait_for(NAP);
            }
            Err(_) => thread::park_timeout(NAP),
        }
    }
}
