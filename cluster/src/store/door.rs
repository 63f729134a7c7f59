//! The door of a group. Behind it is the replica that this node has, or the way to the nodes that have one. When one
//! takes the other's place, nobody is refused for it: what waits goes over in its order, and what comes meanwhile
//! stays behind it.
//!
//! ```text
//! hand_over ─▶ open: behind it ─▶ answers
//!              changing: waits until what was begun has ended ─▶ what had not begun, then what has waited
//! ```

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::raft::{Member, Runtime};
use crate::replicated::{Elsewhere, Holders, Onward, Piece, Replicated, ReplicatedOptions};

/// Between two looks whether a change has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A group's door.
pub(super) struct Door<R: Runtime> {
    /// By which other nodes know the group.
    number: u32,
    holders: Holders,
    options: ReplicatedOptions,
    state: Mutex<State<R>>,
}

struct State<R: Runtime> {
    /// What this node has of the group.
    here: Option<Arc<Replicated<R>>>,
    way: Way<R>,
}

/// Where calls go.
enum Way<R: Runtime> {
    Open(Behind<R>),
    Changing {
        from: Behind<R>,
        waiting: Vec<Piece>,
    },
    /// Others have the keys.
    Onward(Onward),
    Closed,
}

/// Who runs calls.
enum Behind<R: Runtime> {
    Here(Arc<Replicated<R>>),
    Elsewhere(Arc<Elsewhere>),
}

impl<R: Runtime> Clone for Behind<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Here(here) => Self::Here(Arc::clone(here)),
            Self::Elsewhere(elsewhere) => Self::Elsewhere(Arc::clone(elsewhere)),
        }
    }
}

impl<R: Runtime> Behind<R> {
    fn is_here(&self, replica: &Arc<Replicated<R>>) -> bool {
        matches!(self, Self::Here(here) if Arc::ptr_eq(here, replica))
    }

    fn hand_over(&self, piece: Piece) {
        match self {
            Self::Here(here) => here.hand_over(piece),
            Self::Elsewhere(elsewhere) => elsewhere.add(piece),
        }
    }

    async fn retire(&self, onward: Onward) {
        match self {
            Self::Here(here) => here.retire(onward).await,
            Self::Elsewhere(elsewhere) => elsewhere.retire::<R>(onward).await,
        }
    }

    fn close(&self) {
        match self {
            Self::Here(here) => here.end(),
            Self::Elsewhere(elsewhere) => elsewhere.close(),
        }
    }
}

impl<R: Runtime> Way<R> {
    fn is_by(&self, replica: &Arc<Replicated<R>>) -> bool {
        match self {
            Self::Open(behind) | Self::Changing { from: behind, .. } => behind.is_here(replica),
            Self::Onward(_) | Self::Closed => false,
        }
    }
}

impl<R: Runtime> Door<R> {
    /// Opens it to the nodes that have a replica.
    pub(super) fn open(number: u32, holders: Holders, options: ReplicatedOptions) -> Arc<Self> {
        let way = Way::Open(elsewhere(number, &holders, &options));
        let state = Mutex::new(State { here: None, way });
        Arc::new(Self { number, holders, options, state })
    }

    /// What this node has of the group, where `member` is its part in it that serves clients.
    pub(super) fn here(
        self: &Arc<Self>,
        member: Option<Arc<Member<R>>>,
    ) -> Option<Arc<Replicated<R>>> {
        let mut state = self.state.lock();
        self.settle(&mut state, member);
        state.here.clone()
    }

    /// Has the group run calls, behind all that it was asked before.
    pub(super) fn hand_over(self: &Arc<Self>, member: Option<Arc<Member<R>>>, piece: Piece) {
        self.settle(&mut self.state.lock(), member);
        self.run(piece);
    }

    /// The same for one that may have no replica any more.
    pub(super) fn run(&self, piece: Piece) {
        let mut state = self.state.lock();
        let behind = match &mut state.way {
            Way::Open(behind) => behind.clone(),
            Way::Changing { waiting, .. } => return waiting.push(piece),
            Way::Onward(onward) => {
                let onward = Arc::clone(onward);
                drop(state);
                return onward(piece);
            }
            Way::Closed => return piece.give_up(),
        };
        drop(state);
        // What has retired by now sends it back.
        behind.hand_over(piece);
    }

    /// Whether there are nodes that run calls, as far as is known here; for one without a replica.
    pub(super) fn answers(&self) -> bool {
        match &self.state.lock().way {
            Way::Open(Behind::Elsewhere(elsewhere))
            | Way::Changing { from: Behind::Elsewhere(elsewhere), .. } => elsewhere.answers(),
            _ => !(self.holders)().is_empty(),
        }
    }

    /// Notes what has become of the replica, and lets what is behind the door be that.
    fn settle(self: &Arc<Self>, state: &mut State<R>, member: Option<Arc<Member<R>>>) {
        let is_same = match (&state.here, &member) {
            (Some(here), Some(member)) => Arc::ptr_eq(here.member(), member),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let new = |member| Arc::new(Replicated::new(member, self.options.clone()));
            let left = std::mem::replace(&mut state.here, member.map(new));
            // One that was never behind the door has what other nodes passed on alone: they ask on.
            if let Some(left) = left.filter(|left| !state.way.is_by(left)) {
                left.end();
            }
        }
        let Way::Open(behind) = &state.way else { return };
        let is_settled = match (behind, &state.here) {
            (behind, Some(here)) => behind.is_here(here),
            (Behind::Here(_), None) => false,
            (Behind::Elsewhere(_), None) => true,
        };
        if !is_settled {
            let from = behind.clone();
            state.way = Way::Changing { from: from.clone(), waiting: Vec::new() };
            let door = Arc::clone(self);
            let _ends_by_itself = R::spawn(async move { door.change(from).await });
        }
    }

    /// Ends what was begun, and goes over to what there is then.
    async fn change(self: Arc<Self>, from: Behind<R>) {
        // None once it is over.
        let unbegun = Arc::new(Mutex::new(Some(Vec::new())));
        let (door, kept) = (Arc::clone(&self), Arc::clone(&unbegun));
        let onward: Onward = Arc::new(move |piece: Piece| {
            if piece.passed_on {
                // Who passed it on asks the others itself.
                return piece.give_up();
            }
            let late = match &mut *kept.lock() {
                Some(kept) => return kept.push(piece),
                None => piece,
            };
            door.run(late);
        });
        from.retire(onward).await;
        let mut state = self.state.lock();
        let unbegun = unbegun.lock().take().unwrap_or_default();
        match std::mem::replace(&mut state.way, Way::Closed) {
            Way::Changing { waiting, .. } => {
                let to = match &state.here {
                    Some(here) => Behind::Here(Arc::clone(here)),
                    None => elsewhere(self.number, &self.holders, &self.options),
                };
                unbegun.into_iter().chain(waiting).for_each(|piece| to.hand_over(piece));
                state.way = Way::Open(to);
            }
            way => {
                state.way = way;
                unbegun.into_iter().for_each(Piece::give_up);
            }
        }
    }

    /// Hands all that waits, and all that comes, to others who have the keys now: as soon as nothing is under way.
    pub(super) async fn retire(&self, onward: &Onward) {
        let from = loop {
            {
                let mut state = self.state.lock();
                match &state.way {
                    Way::Open(behind) => {
                        let from = behind.clone();
                        state.way = Way::Changing { from: from.clone(), waiting: Vec::new() };
                        break from;
                    }
                    Way::Changing { .. } => {}
                    Way::Onward(_) | Way::Closed => return,
                }
            }
            R::sleep(LOOK).await;
        };
        from.retire(Arc::clone(onward)).await;
        let mut state = self.state.lock();
        if let Way::Changing { waiting, .. } = &mut state.way {
            std::mem::take(waiting).into_iter().for_each(|piece| onward(piece));
            state.way = Way::Onward(Arc::clone(onward));
        }
    }

    /// Refuses what comes, unless others have the keys.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        let here = state.here.take();
        let way = match &state.way {
            Way::Onward(onward) => Way::Onward(Arc::clone(onward)),
            _ => Way::Closed,
        };
        let was = std::mem::replace(&mut state.way, way);
        drop(state);
        if let Some(here) = here {
            here.end();
        }
        match was {
            Way::Open(behind) => behind.close(),
            Way::Changing { from, waiting } => {
                from.close();
                waiting.into_iter().for_each(Piece::give_up);
            }
            Way::Onward(_) | Way::Closed => {}
        }
    }
}

/// A way to the nodes that have a replica.
fn elsewhere<R: Runtime>(number: u32, holders: &Holders, options: &ReplicatedOptions) -> Behind<R> {
    let link = Arc::clone(&options.link);
    Behind::Elsewhere(Elsewhere::start::<R>(number, link, Arc::clone(holders)))
}
