//! A backup of all groups, of one moment, by any node: it has every group hold its keys for some milliseconds, has
//! a node of each make a cut meanwhile, and puts the cuts together when they are let go.
//!
//! ```text
//! Hold at all ─▶ no part is left anywhere ─▶ a cut of each ─▶ Release at all: each was held all the while
//!                                                                   └▶ sums, tables ─▶ entries, piece by piece
//! ```
//! From when the last hold began until the first one ended no key of any group changed, and each cut was made
//! while its group was held: so all show that time. What was confirmed before is in front of the holds; a transaction
//! over groups is in all cuts or in none, since none is made while a part of one is left in its group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidekeep_log::{Backup, Chunks, Fed, Lost, PendingBackup, PortionTables, Promise};
use tidekeep_protocol::slot::{GroupCount, GroupId};
use tidekeep_store::holds::Held;
use tidekeep_store::snapshot::Head;
use tidekeep_store::step::{Hold, Release, TxnId};
use tokio::sync::{mpsc, oneshot};

use crate::raft::{Instant, Runtime};
use crate::remote::{Ask, Piece, Told};
use crate::store::doors::{Doors, Holder};
use crate::transaction::ask;

/// For how long keys are held at most, in milliseconds: writes wait so long if whoever holds them dies.
const HOLD_MS: u32 = 1_000;

/// Time for the cuts, of that.
const CUTS: Duration = Duration::from_millis(800);

/// Between two looks whether a group stands still.
const STILL: Duration = Duration::from_millis(1);

/// Time for a node to answer.
const REPLY: Duration = Duration::from_secs(3);

/// Between two tries at first, and at most.
const RETRY: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Time after which no more tries are made.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that keeps a cut is told so often that it is wanted.
const KEEP: Duration = Duration::from_secs(3);

/// Time for a node to give a piece that it keeps, however often it has to be asked.
const PIECE: Duration = Duration::from_secs(9);

/// Chunks that wait for whoever takes the backup.
const CHUNKS: usize = 16;

/// Chunks of entries on their way; an empty one is the end.
type Given = Result<Vec<u8>, Lost>;

/// Begins a backup. It goes on by itself until nobody takes it any more.
pub(super) fn begin<R: Runtime>(doors: &Arc<Doors<R>>) -> PendingBackup {
    let (tell, told) = oneshot::channel();
    let doors = Arc::clone(doors);
    let _ends_by_itself = R::spawn(async move {
        // Nobody may be waiting any more.
        let _ = tell.send(backup(&doors).await);
    });
    Promise::later(async move { told.await.unwrap_or_else(|_| Err(ended())) })
}

async fn backup<R: Runtime>(doors: &Arc<Doors<R>>) -> Result<Backup, Lost> {
    let (began, mut pause, mut turn) = (R::Instant::now(), RETRY, 0);
    loop {
        let made = match cut(doors, turn).await {
            Ok(cuts) => put_together(doors, cuts).await,
            Err(why) => Err(why),
        };
        if made.is_ok() || R::Instant::now() - began > PATIENCE {
            return made;
        }
        // Each try holds up writes.
        R::sleep(pause).await;
        pause = (2 * pause).min(RETRY_MAX);
        turn += 1;
    }
}

/// A cut that a node keeps.
struct Kept {
    holder: Holder,
    portion: u64,
    estimate: u64,
    /// The piece that comes next.
    next: u32,
}

/// A cut of each group, all of one moment.
async fn cut<R: Runtime>(doors: &Arc<Doors<R>>, turn: usize) -> Result<Vec<Kept>, Lost> {
    if doors.groups() == GroupCount::ONE {
        return Ok(vec![cut_of(doors, GroupId(0), None, turn).await?]);
    }
    let hold = doors.coordinator().name_hold();
    // No group is held while another one cannot be.
    release(doors, hold).await?;
    let hold_all = doors.groups().groups().map(|group| async move {
        let held = ask(&**doors, group, Hold { hold, for_ms: HOLD_MS }).await;
        held.map_err(|_| not_led(group))
    });
    let held: Result<Vec<Held>, Lost> = join_all(hold_all).await.into_iter().collect();
    let mut cuts = Ok(Vec::new());
    if held.is_ok() {
        let groups = doors.groups().groups();
        let made = groups.map(|group| cut_of(doors, group, Some(hold), turn));
        cuts = all_or_none(doors, join_all(made).await);
    }
    let released = release(doors, hold).await;
    let cuts = cuts?;
    let held: Vec<_> = held?.into_iter().map(Some).collect();
    // A hold that had ended, and began anew by a copy that came late, is another one.
    let stood = released.and_then(|released| match released == held {
        true => Ok(()),
        false => {
            Err(Lost::new("the groups did not stand still together for long enough; try again"))
        }
    });
    if stood.is_err() {
        let_go(doors, cuts);
        return stood.map(|()| Vec::new());
    }
    Ok(cuts)
}

/// Ends a hold in all groups; what it was in each.
async fn release<R: Runtime>(
    doors: &Arc<Doors<R>>,
    hold: TxnId,
) -> Result<Vec<Option<Held>>, Lost> {
    let all = doors.groups().groups().map(|group| async move {
        ask(&**doors, group, Release { hold }).await.map_err(|_| not_led(group))
    });
    join_all(all).await.into_iter().collect()
}

/// A cut of a group, by one of the nodes that have a replica of it.
async fn cut_of<R: Runtime>(
    doors: &Arc<Doors<R>>,
    group: GroupId,
    hold: Option<TxnId>,
    turn: usize,
) -> Result<Kept, Lost> {
    let (end, mut turn) = (R::Instant::now() + CUTS, turn);
    while R::Instant::now() < end {
        let holders = doors.holders(group);
        let Some(holder) = holders.get(turn % holders.len().max(1)) else { break };
        match doors.follow(holder, &Ask::Portion { hold }, CUTS).await {
            Some(Told::Portion { portion, estimate }) => {
                return Ok(Kept { holder: holder.clone(), portion, estimate, next: 0 });
            }
            Some(Told::NotHeld) => break,
            Some(Told::Busy) => {}
            _ => turn += 1,
        }
        R::sleep(STILL).await;
    }
    Err(Lost::new(&format!(
        "no node has made a cut of {group} in time; see `tidekeep cluster status`, and try again"
    )))
}

/// Reads what the cuts say of themselves, and begins to read their entries.
async fn put_together<R: Runtime>(doors: &Arc<Doors<R>>, cuts: Vec<Kept>) -> Result<Backup, Lost> {
    let estimate = cuts.iter().map(|kept| kept.estimate).sum();
    let read = cuts.into_iter().map(|mut kept| async move {
        let tables = tables_of(doors, &mut kept).await;
        tables.map(|tables| (kept, tables))
    });
    let read: Result<Vec<_>, Lost> = join_all(read).await.into_iter().collect();
    let (cuts, tables): (Vec<Kept>, Vec<PortionTables>) = read?.into_iter().unzip();
    let (give, given) = mpsc::channel(CHUNKS);
    let store_id = doors.identity().store_id;
    match Backup::of_portions(store_id, &tables, estimate, Box::new(Coming { given })) {
        Some(backup) => {
            let doors = Arc::clone(doors);
            let _ends_by_itself = R::spawn(async move { stream(&doors, cuts, give).await });
            Ok(backup)
        }
        None => {
            let_go(doors, cuts);
            Err(Lost::new("the leases that a node has given cannot be read"))
        }
    }
}

/// All of a cut but its entries.
async fn tables_of<R: Runtime>(
    doors: &Arc<Doors<R>>,
    kept: &mut Kept,
) -> Result<PortionTables, Lost> {
    let (mut head, mut sessions, mut leases) = (None, Vec::new(), Vec::new());
    loop {
        match piece(doors, kept).await? {
            Piece::Summing => {}
            Piece::Head(bytes) => head = Head::decode(&bytes),
            Piece::Sessions(chunk) => sessions.push(chunk.into_vec()),
            Piece::Leases(chunk) => leases.push(chunk.into_vec()),
            Piece::Tables => {
                let head = head.ok_or_else(|| gone(kept))?;
                return Ok(PortionTables { head, sessions, leases });
            }
            Piece::Entries(_) => return Err(gone(kept)),
        }
    }
}

/// The next piece of a cut.
async fn piece<R: Runtime>(doors: &Arc<Doors<R>>, kept: &mut Kept) -> Result<Piece, Lost> {
    let end = R::Instant::now() + PIECE;
    let ask = Ask::Piece { portion: kept.portion, number: kept.next };
    while R::Instant::now() < end {
        match doors.follow(&kept.holder, &ask, REPLY).await {
            Some(Told::Piece(piece)) => {
                kept.next += 1;
                return Ok(piece);
            }
            // A request or a reply was lost: the same piece is given again.
            None => R::sleep(RETRY).await,
            Some(_) => break,
        }
    }
    Err(gone(kept))
}

/// Reads the entries of all cuts, one after the other, as fast as they are taken.
async fn stream<R: Runtime>(doors: &Arc<Doors<R>>, cuts: Vec<Kept>, give: mpsc::Sender<Given>) {
    let mut left = VecDeque::from(cuts);
    let mut told = R::Instant::now();
    while let Some(kept) = left.front_mut() {
        let chunks = match piece(doors, kept).await {
            Ok(Piece::Entries(chunks)) => chunks,
            Ok(_) | Err(_) => {
                // Whoever took it may have gone.
                let _ = give.send(Err(gone(kept))).await;
                return let_go(doors, left);
            }
        };
        if chunks.is_empty() {
            let_go(doors, left.pop_front());
        }
        for chunk in chunks {
            loop {
                if R::Instant::now() - told > KEEP {
                    keep(doors, &left).await;
                    told = R::Instant::now();
                }
                match R::timeout(KEEP, give.reserve()).await {
                    Ok(Ok(room)) => break room.send(Ok(chunk.into_vec())),
                    Ok(Err(_)) => return let_go(doors, left),
                    Err(_) => {}
                }
            }
        }
    }
    let _ = give.send(Ok(Vec::new())).await;
}

/// Tells the nodes that their cuts are wanted.
async fn keep<R: Runtime>(doors: &Arc<Doors<R>>, cuts: &VecDeque<Kept>) {
    let told = cuts.iter().map(|kept| async move {
        doors.follow(&kept.holder, &Ask::Keep { portion: kept.portion }, REPLY).await
    });
    join_all(told).await;
}

/// Those that were made, if all were.
fn all_or_none<R: Runtime>(
    doors: &Arc<Doors<R>>,
    made: Vec<Result<Kept, Lost>>,
) -> Result<Vec<Kept>, Lost> {
    let (mut cuts, mut why) = (Vec::new(), None);
    for made in made {
        match made {
            Ok(kept) => cuts.push(kept),
            Err(lost) => why = Some(lost),
        }
    }
    match why {
        None => Ok(cuts),
        Some(why) => {
            let_go(doors, cuts);
            Err(why)
        }
    }
}

/// Tells the nodes that they are not. Who does not hear of it lets them go by itself.
fn let_go<R: Runtime>(doors: &Arc<Doors<R>>, cuts: impl IntoIterator<Item = Kept>) {
    for kept in cuts {
        let doors = Arc::clone(doors);
        let _ends_by_itself = R::spawn(async move {
            doors.follow(&kept.holder, &Ask::Drop { portion: kept.portion }, REPLY).await;
        });
    }
}

fn not_led(group: GroupId) -> Lost {
    Lost::new(&format!("{group} has no leader now; see `tidekeep cluster status`, and try again"))
}

fn gone(kept: &Kept) -> Lost {
    let group = kept.holder.group;
    Lost::new(&format!(
        "the node that gave {group} to the backup does not give the rest of it; take another one"
    ))
}

fn ended() -> Lost {
    Lost::new("the node ends, and its backup with it; take another one")
}

/// The entries, as they come from other nodes.
struct Coming {
    given: mpsc::Receiver<Given>,
}

impl Chunks for Coming {
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<Fed, Lost> {
        match self.given.try_recv() {
            Ok(chunk) => *out = chunk?,
            Err(mpsc::error::TryRecvError::Empty) => return Ok(Fed::Later),
            // The end is said.
            Err(mpsc::error::TryRecvError::Disconnected) => return Err(ended()),
        }
        Ok(if out.is_empty() { Fed::End } else { Fed::More })
    }
}
