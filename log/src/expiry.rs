//! The thread that removes what has expired, in steps that fit a record each. It sleeps until the
//! next entry or lease ends; whoever writes one that ends sooner wakes it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::background::Tally;
use crate::error::Refused;
use crate::group::Group;
use crate::pace::Pace;

/// The longest sleep while anything is to end: what a clock that jumps can make an event late by.
const NAP: Duration = Duration::from_millis(100);

/// The pause after the log had no room.
const AFTER_FAILURE: Duration = Duration::from_millis(40);

/// Entries in one expire command: whoever writes meanwhile waits for all of it.
const STEP: usize = 128;

pub(crate) fn run(group: &Group, tally: &Tally) {
    group.alarm.wake_me();
    while !tally.closing() {
        group.alarm.clear();
        let Some(due_ms) = group.next_due() else {
            thread::park();
            continue;
        };
        group.alarm.expect(due_ms);
        let now_ms = group.clock.now_ms();
        match now_ms.checked_sub(due_ms) {
            None => thread::park_timeout(NAP.min(Duration::from_millis(due_ms - now_ms))),
            Some(_) => {
                // A mass of keys leaves half of the time to others, and more where these make it wait.
                let mut pace = Pace::giving_way();
                step(group, now_ms, tally);
                pace.pause();
            }
        }
    }
}

/// Ends some of the leases and removes some of the entries whose time is over; how many.
pub(crate) fn remove_due(group: &Group, now_ms: u64, tally: &Tally) -> Result<usize, Refused> {
    let (mut leases, mut keys) = (0, 0);
    // Some of both each time: a mass of one must not make the other late.
    if group.lease_due_ms.load(Ordering::Acquire) <= now_ms {
        (leases, keys) = group.end_leases()?;
    }
    let due = group.due(now_ms, STEP);
    let expired = if due.is_empty() { 0 } else { group.expire(&due)? };
    tally.expired.fetch_add((keys + expired) as u64, Ordering::Relaxed);
    Ok(leases + keys + expired)
}

fn step(group: &Group, now_ms: u64, tally: &Tally) {
    match remove_due(group, now_ms, tally) {
        Ok(_) => {}
        Err(Refused::Busy(room)) => {
            // Whether or not room has come, the next round asks again.
            let _ = room.wait_for(NAP);
        }
        Err(_) => thread::park_timeout(AFTER_FAILURE),
    }
}
