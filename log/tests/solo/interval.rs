//! With `interval`, a power cut costs the last interval's acknowledged writes and no older one. Beside
//! the interval it may cost what came during a sync, since that waits for the sync to return.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidekeep_log::disk::faulty::{Crash, FaultyDisk};
use tidekeep_log::{Commit, Durability};

use crate::ledger;
use crate::world::{Held, World, now_or_never, until};

const INTERVAL: Duration = Duration::from_millis(100);

/// What records gather for before they are written, and what it takes to write them.
const TOLERANCE: Duration = Duration::from_millis(40);

/// Between two batches of the load.
const PAUSE: Duration = Duration::from_millis(1);

/// A life of a store, and what power cuts at some moments of it have left.
struct Life {
    incarnation: u64,
    /// When each batch was acknowledged.
    acknowledged: Vec<Instant>,
    cuts: Vec<Cut>,
    /// The longest time that a sync took.
    sync: Duration,
}

struct Cut {
    at: Instant,
    crash: Crash,
    disk: FaultyDisk,
}

impl Cut {
    fn now(world: &World, crash: Crash) -> Self {
        let at = Instant::now();
        Self { at, crash, disk: world.disk.crash(crash) }
    }
}

/// Writes batch after batch, and cuts the power at the end of `syncs` syncs, each of which takes `sync`
/// at least, and some times between them.
fn live(world: &World, sync: Duration, syncs: usize) -> Life {
    let store = world.open();
    let incarnation = store.identity().incarnation;
    let mut life =
        Life { incarnation, acknowledged: Vec::new(), cuts: Vec::new(), sync: Duration::ZERO };
    let held = Held::new(&world.disk);
    let (mut seen, mut since) = (0, None);
    while seen < syncs {
        let number = life.acknowledged.len() as u64;
        let pending = ledger::begin(&store, number);
        now_or_never(pending).expect("it is answered at once").expect("storage works");
        life.acknowledged.push(Instant::now());
        if number % 40 == 7 {
            let crash = Crash::ALL[(number / 40) as usize % Crash::ALL.len()];
            life.cuts.push(Cut::now(world, crash));
        }
        if world.disk.held_syncs() > 0 {
            let since: &mut Instant = since.get_or_insert_with(Instant::now);
            if since.elapsed() >= sync {
                life.cuts.push(Cut::now(world, Crash::Drop));
                seen += 1;
                life.sync = life.sync.max(since.elapsed());
                world.disk.hold_syncs(false);
                until("the sync has returned", || world.disk.held_syncs() == 0);
                world.disk.hold_syncs(true);
            }
        } else {
            since = None;
        }
        thread::park_timeout(PAUSE);
    }
    drop(held);
    life
}

/// Starts what each cut has left, and gives how long before it the oldest batch that it has cost had
/// been acknowledged.
fn check(world: &World, life: &Life) -> Duration {
    let mut oldest = Duration::ZERO;
    for Cut { at, crash, disk } in &life.cuts {
        let written = life.acknowledged.partition_point(|then| then <= at);
        let context = format!("cut when {written} batches were acknowledged, {crash:?}");
        let store = world.on(disk.clone()).open();
        // The first so many batches and nothing else: what is lost is the end.
        let held = ledger::held(&store, &context) as usize;
        assert!(held <= written, "{held} batches are there: {context}");
        assert_ne!(store.identity().incarnation, life.incarnation, "{context}");
        if held < written {
            oldest = oldest.max(*at - life.acknowledged[held]);
        }
    }
    oldest
}

#[test]
fn a_power_cut_costs_no_write_older_than_the_interval() {
    for (sync, syncs) in [(Duration::ZERO, 8), (INTERVAL, 5), (INTERVAL * 2, 3)] {
        let durability = Durability::Interval(INTERVAL);
        let world = World { durability, segment_bytes: 2 << 20, ..World::new(1) };
        let wakings = Wakings::watch();
        let life = live(&world, sync, syncs);
        let late = wakings.worst();
        let lost = check(&world, &life);
        println!(
            "suite: syncs of {:?} every {INTERVAL:?}: {} cuts among {} batches, lost at most the \
             last {lost:?}; a thread here waits up to {late:?}",
            life.sync,
            life.cuts.len(),
            life.acknowledged.len(),
        );
        assert!(lost > INTERVAL / 2, "the cuts came when there was nothing to lose");
        // What came during a sync is taken to the disk by the next one, right after it.
        let allowed = INTERVAL.max(life.sync) + life.sync;
        assert!(lost <= allowed + TOLERANCE + 4 * late, "lost {lost:?}, allowed {allowed:?}");
    }
}

/// How long a thread that is to run has to wait for a core of this machine.
struct Wakings {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Wakings {
    fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !seen.load(Ordering::Relaxed) {
                let since = Instant::now();
                // How much later than asked this ends is what is measured.
                thread::sleep(PAUSE);
                worst = worst.max(since.elapsed() - PAUSE);
            }
            worst
        });
        Self { over, thread }
    }

    fn worst(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it measures")
    }
}
