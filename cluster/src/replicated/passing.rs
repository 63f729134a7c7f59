//! Calls on their way to the node that leads, and their answers back to those who made them.
//!
//! ```text
//! request: | FORWARD | group u32 | calls |    reply: what became of them
//! ```

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::type_config::AsyncRuntime;

use crate::link::{Lane, Link, PeerAddress, Unreachable};
use crate::placement::NodeId;
use crate::replicated::answers;
use crate::replicated::calls::Calls;
use crate::replicated::overtaken::Written;
use crate::replicated::piece::{Done, Failed, Piece};

/// What marks calls that a node passes on: a request to another node begins with it and the group's number in
/// the bits below, where one of a member begins with the number alone.
pub const FORWARD: u32 = 0x8000_0000;

/// Time for calls that were passed on to be answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after which a node that has not answered yet is asked whether it is there, and for its answer to that.
const QUIET: Duration = Duration::from_millis(350);

/// How often in a row it leaves that unanswered before it is given up: one message may be lost.
const UNANSWERED: u32 = 2;

/// Has another node run the pieces' calls. One that does not even say that it is there is given up after a
/// second, unless it `alone` could answer.
pub(crate) async fn pass_on<R: AsyncRuntime>(
    link: &dyn Link,
    group: u32,
    (to, at): (NodeId, &PeerAddress),
    pieces: &[Piece],
    alone: bool,
) -> Result<Done, Failed> {
    let mut calls = Calls::default();
    pieces.iter().for_each(|piece| calls.append(&piece.calls));
    let mut request = (FORWARD | group).to_le_bytes().to_vec();
    calls.encode(&mut request);
    let reply = link.call(to, at, Lane::Entries, request, PATIENCE);
    let gone = pin!(async {
        match alone {
            true => std::future::pending().await,
            false => until_gone::<R>(link, to, at).await,
        }
    });
    match select(reply, gone).await {
        Either::Left((Ok(reply), _)) => answers::decode(&calls, &reply)
            .unwrap_or_else(|| Err(Failed::Unknown("the leader's reply cannot be read".into()))),
        Either::Left((Err(unreachable), _)) | Either::Right((unreachable, _)) => {
            Err(Failed::Unknown(unreachable.to_string()))
        }
    }
}

/// Resolves once a node says nothing any more.
async fn until_gone<R: AsyncRuntime>(link: &dyn Link, to: NodeId, at: &PeerAddress) -> Unreachable {
    let mut unanswered = 0;
    loop {
        if unanswered == 0 {
            R::sleep(QUIET).await;
        }
        // A node answers anything, be it that it cannot read it.
        match link.call(to, at, Lane::Control, Vec::new(), QUIET).await {
            Ok(_) => unanswered = 0,
            Err(unreachable) => {
                unanswered += 1;
                if unanswered == UNANSWERED {
                    return unreachable;
                }
            }
        }
    }
}

/// Tells each piece its answers.
pub(crate) fn share_out(done: Done, pieces: Vec<Piece>) {
    let Done { index, answers } = done;
    let mut answers = answers.into_iter();
    for piece in pieces {
        let answers = answers.by_ref().take(piece.calls.count()).collect();
        piece.answer(Done { index, answers });
    }
}

/// Those of the pieces that may be run again, where this may have been `written` behind them; the others are told
/// that nobody knows.
pub(crate) fn repeatable(mut pieces: Vec<Piece>, why: &str, mut written: Written) -> Vec<Piece> {
    for piece in pieces.iter_mut().rev() {
        piece.keep(&written.take_in(&piece.calls));
    }
    let (mut again, lost): (Vec<_>, Vec<_>) =
        pieces.into_iter().partition(|piece| piece.calls.is_repeatable());
    for piece in &mut again {
        piece.doubt = Some(why.to_owned());
        piece.calls.set_retry();
    }
    lost.into_iter().for_each(|piece| piece.fail(Failed::Unknown(why.to_owned())));
    let (again, refused): (Vec<_>, Vec<_>) =
        again.into_iter().partition(|piece| piece.calls.count() > 0);
    refused.into_iter().for_each(|piece| piece.answer(Done { index: 0, answers: Vec::new() }));
    again
}

#[cfg(test)]
mod tests {
    use tidekeep_log::{Answer, Call, Numbered};
    use tidekeep_protocol::condition::Expiry;
    use tidekeep_protocol::error::{Code, Refusal};
    use tidekeep_protocol::op::{Get, Increment, Request};
    use tidekeep_protocol::session::{Number, SessionId};

    use super::*;

    /// Gets and increments of keys.
    fn calls(keys: &[(&str, &[u8])]) -> Calls {
        let mut calls = Calls::default();
        for (what, key) in keys {
            let number = Number { sequence: 1, oldest: 1 };
            let number = Some(Numbered { session: SessionId([7; 16]), number, retry: false });
            calls.push(&match *what {
                "get" => Call::new(Request::Get(Get { key })),
                _ => {
                    let increment = Increment { key, by: 1, expiry: Expiry::Keep };
                    Call { number, ..Call::new(Request::Increment(increment)) }
                }
            });
        }
        calls
    }

    /// An answer that can be told from others.
    fn answer(name: &'static str) -> Answer {
        Err(Refusal::new(Code::Internal, name))
    }

    fn told(outcome: Result<Done, Failed>) -> Vec<String> {
        let answers = outcome.expect("it is answered").answers;
        answers
            .into_iter()
            .map(|answer| answer.expect_err("a refusal").message.into_owned())
            .collect()
    }

    #[test]
    fn what_is_run_again_is_answered_at_its_place_among_what_is_refused() {
        let asked = [("get", &b"a"[..]), ("get", b"b"), ("get", b"c"), ("increment", b"a")];
        let (one, outcome) = Piece::new(calls(&asked), false);
        let (other, refused) = Piece::new(calls(&[("get", b"d")]), false);
        let written = |key| {
            let mut written = Written::default();
            written.take_in(&calls(&[("increment", key)]));
            written
        };
        let left = repeatable(vec![one, other], "it died", written(b"d"));
        assert_eq!(left.iter().map(|piece| piece.calls.count()).collect::<Vec<_>>(), [3]);
        assert!(told(refused.blocking_recv().unwrap())[0].contains("read again"));

        // It is left in doubt once more, and something else behind it.
        let left = repeatable(left, "it died too", written(b"b"));
        let answers = vec![answer("c"), answer("increment")];
        share_out(Done { index: 3, answers }, left);
        let told = told(outcome.blocking_recv().unwrap());
        assert!(told[..2].iter().all(|why| why.contains("read again")), "{told:?}");
        assert_eq!(told[2..], ["c", "increment"]);
    }
}
