//! What other nodes ask of this one: each request goes to whom its first four bytes name.

use std::future::Future;
use std::pin::Pin;

use crate::meta::META_GROUP;
use crate::node::control::{
    CONTROL, ControlError, GroupReport, Reply, Report, Request, decode_request, encode_reply,
};
use crate::node::running::{Life, Node};
use crate::placement::NodeId;
use crate::raft::{Member, Refused, Runtime, group_of, refusal};
use crate::replicated::FORWARD;

/// The reply to what was forwarded, once it is there.
pub type Forwarded = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// Answers clients' commands that other nodes forward.
pub trait Forward: Send + Sync + 'static {
    /// Answers a request for a data group, which begins with `FORWARD | group` as it came.
    fn forward(&self, from: NodeId, group: u32, request: Vec<u8>) -> Forwarded;
}

impl<R: Runtime> Node<R> {
    /// Answers a request of another node.
    pub async fn serve(&self, from: NodeId, request: Vec<u8>) -> Vec<u8> {
        self.directory().note_heard(from);
        let to = group_of(&request);
        if self.view().is_removed(from) {
            return match to {
                Some(CONTROL) => encode_reply(&Err(ControlError::Removed)),
                _ => refusal(Refused::Removed),
            };
        }
        match to {
            None => refusal(Refused::Unreadable),
            Some(_) if self.life() != Life::Serving => refusal(Refused::NoMember),
            Some(META_GROUP) => self.meta().serve(&request).await,
            Some(CONTROL) => {
                let reply = match decode_request(&request) {
                    Ok(request) => self.answer(request).await,
                    Err(error) => Err(error),
                };
                encode_reply(&reply)
            }
            Some(to) if to & FORWARD != 0 => match self.forward() {
                Some(forward) => forward.forward(from, to & !FORWARD, request).await,
                None => refusal(Refused::NoMember),
            },
            Some(group) => match self.member_of(group) {
                Some(member) => {
                    let reply = member.serve(&request).await;
                    if member.lags_anew() {
                        let _catching_up = R::spawn(self.clone().catch_up(group, member));
                    }
                    reply
                }
                None => refusal(Refused::NoMember),
            },
        }
    }

    /// Answers what is asked of the node itself.
    pub(super) async fn answer(&self, request: Request) -> Result<Reply, ControlError> {
        match request {
            Request::AmIPresent => Ok(Reply::YouArePresent),
            Request::Report => {
                self.note_looked_at();
                Ok(Reply::Report(self.report()))
            }
            Request::IsVacant { group } => {
                let known = self.member_of(group).is_some();
                Ok(Reply::IsVacant(!known))
            }
            Request::Settled { group } => {
                let member = self.member_of(group).ok_or(ControlError::NoMember)?;
                let settled = member.settled().await;
                settled.map(Reply::Settled).map_err(|error| ControlError::Refused(error.0))
            }
            Request::Split { groups } => {
                let split = self.split_here(groups).await;
                split.map(|()| Reply::Split).map_err(ControlError::Refused)
            }
            Request::IsSplit { groups } => Ok(Reply::IsSplit(self.is_split_here(groups))),
            Request::Take { step, group, row, at } => {
                let taken = self.take(step, group, &row, at).await;
                taken.map(|()| Reply::Taken).map_err(ControlError::Refused)
            }
            Request::Admin(command) => Ok(Reply::Admin(self.execute(command).await)),
        }
    }

    fn report(&self) -> Report {
        let groups = self.members();
        let groups = groups.iter().map(|(&group, member)| report_of(group, member));
        let meta = report_of(META_GROUP, self.meta());
        let (is, hangs) = (self.introduction().clone(), self.disk_hangs());
        Report { is, hangs, groups: groups.chain([meta]).collect() }
    }
}

fn report_of<R: Runtime>(group: u32, member: &Member<R>) -> GroupReport {
    let replica = member.replica();
    GroupReport {
        group,
        standing: member.standing(),
        revision: replica.revision(),
        keys: replica.keys(),
    }
}
