//! The coordinator: while this node leads the meta group, it looks at all nodes again and again, and brings
//! the groups nearer to where they should be, one step at a time. A step is taken by the group first and then
//! written into the table, under the condition that the table is as it was: of two coordinators, one of
//! which does not know yet that it is none, one is heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::balance::{candidates, next_steps};
use crate::meta::{Edit, NodeState, View, rules};
use crate::node::control::{Reply, Report, Request};
use crate::node::hearing::Picture;
use crate::node::reconcile::{self, Repair};
use crate::node::running::{Life, Node};
use crate::node::steps::agrees;
use crate::node::voters::{self, Voter, VoterStep, odd};
use crate::placement::{Candidate, Change, NodeId, Step, Table, Target, target};
use crate::raft::{Instant, Runtime, Standing};

/// What a coordinator remembers from one look to the next.
#[derive(Default)]
struct Coordinator {
    picture: Picture,
    aim: Option<Aim>,
    /// How many looks a split that most have made has waited for the others.
    split_waits: u32,
}

/// A target, and what it was worked out from.
struct Aim {
    candidates: Vec<Candidate>,
    /// The table's epoch, as far as steps towards this target have brought it.
    epoch: u64,
    target: Target,
}

/// After a look that changed something, the next one comes sooner by this.
const BUSY_SHARE: u32 = 5;

impl<R: Runtime> Node<R> {
    /// Coordinates while this node leads the meta group, until its life ends.
    pub(super) async fn coordinate(self) {
        let mut coordinator = Coordinator::default();
        while self.life() == Life::Serving {
            let mut pace = self.timing().look;
            if self.meta().standing().leads {
                match self.look_after_all(&mut coordinator).await {
                    Ok(true) => pace /= BUSY_SHARE,
                    Ok(false) => {}
                    Err(error) => tracing::debug!(error, "a look at the cluster failed"),
                }
            } else {
                coordinator = Coordinator::default();
                self.set_picture(None);
            }
            R::sleep(pace).await;
        }
    }

    /// One look at everything; whether anything was done.
    async fn look_after_all(&self, coordinator: &mut Coordinator) -> Result<bool, String> {
        let standing = self.settled_meta().await?;
        let view = self.read_meta()?;
        if view.cluster.is_none() {
            return Ok(false);
        }
        let reports = self.reports(&view).await;
        let down_ms = self.timing().down.as_millis() as u64;
        let picture = coordinator.picture.next(&view, reports, self.running_ms(), down_ms);
        coordinator.picture = picture;
        self.set_picture(Some(Arc::new(coordinator.picture.clone())));
        let picture = &mut coordinator.picture;

        let mut busy = self.take_in_introductions(&view, picture).await?;
        busy |= self.tend_voters(&standing, &view, picture).await;
        if view.split.is_some_and(|split| !split.done) {
            self.reconcile(picture).await?;
            let waits = &mut coordinator.split_waits;
            return self.go_on_splitting(&view, waits, picture).await;
        }
        busy |= self.grow(picture).await?;
        busy |= self.reconcile(picture).await?;
        busy |= self.balance(&mut coordinator.aim, picture).await?;
        self.set_picture(Some(Arc::new(picture.clone())));
        Ok(busy)
    }

    /// How the meta group stands, if this node leads it.
    pub(super) async fn settled_meta(&self) -> Result<Standing, String> {
        let settled = R::timeout(self.timing().step, self.meta().settled()).await;
        let settled = settled.map_err(|_| "the meta group does not answer")?;
        settled.map_err(|error| error.0)
    }

    pub(super) fn read_meta(&self) -> Result<View, String> {
        View::read(self.meta().replica()).map_err(|error| error.to_string())
    }

    /// Orders a change of the meta group.
    pub(super) async fn change(&self, edit: &Edit) -> Result<(), ChangeError> {
        if edit.is_empty() {
            return Ok(());
        }
        let write = self.meta().write(edit.record(self.now_ms()));
        let written = R::timeout(self.timing().step, write).await;
        let written = written.map_err(|_| ChangeError::Unknown("it took too long".into()))?;
        let answers = written.map_err(|error| ChangeError::Unknown(error.to_string()))?;
        Edit::outcome(&answers).map_err(ChangeError::NotMade)
    }

    /// Asks all nodes how they are.
    async fn reports(&self, view: &View) -> BTreeMap<NodeId, Report> {
        let asked = view.present().map(|(node, _)| async move {
            let reply = self.ask(node, Request::Report, self.timing().look).await;
            match reply {
                Ok(Reply::Report(report)) => Some((node, report)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Writes down what nodes say of themselves where it is news.
    async fn take_in_introductions(&self, view: &View, picture: &Picture) -> Result<bool, String> {
        let mut news = false;
        for (&node, report) in &picture.reports {
            let edit = rules::introduce(view, node, &report.is, self.now_ms());
            if !edit.is_empty() {
                self.change(&edit).await.map_err(|error| error.to_string())?;
                news = true;
            }
        }
        Ok(news)
    }

    /// Takes the next step towards the voters that the meta group should have.
    async fn tend_voters(&self, standing: &Standing, view: &View, picture: &Picture) -> bool {
        let grace_ms = self.timing().grace.as_millis() as u64;
        let is_given_up = |node: NodeId| {
            let since = picture.down_since_ms(node);
            since.is_some_and(|since| picture.now_ms.saturating_sub(since) >= grace_ms)
        };
        let nodes = view.present().map(|(node, record)| Voter {
            node,
            zone: record.zone.clone(),
            up: picture.is_up(node),
            leaving: record.state == NodeState::Draining || is_given_up(node),
        });
        let nodes: Vec<Voter> = nodes.collect();
        let Some(step) = voters::next(self.id(), standing, &nodes) else { return false };
        let meta = self.meta();
        let limit = self.timing().step;
        let taken = R::timeout(limit, async {
            match step {
                VoterStep::AddLearner(node) => {
                    let at = view.peer(node).cloned().unwrap_or_default();
                    meta.add_learner(node, at).await.map_err(|error| error.0)
                }
                VoterStep::Promote(node) => meta.promote(node).await.map_err(|error| error.0),
                VoterStep::Transfer(node) => {
                    self.hand_over(meta, node, R::Instant::now() + limit / 2).await
                }
                VoterStep::Remove(node) => meta.remove(node).await.map_err(|error| error.0),
            }
        });
        match taken.await {
            Ok(Ok(())) => tracing::info!(?step, "the meta group has other members"),
            Ok(Err(error)) => tracing::debug!(?step, error, "not taken"),
            Err(_) => tracing::debug!(?step, "not taken in time"),
        }
        true
    }

    /// Asks for more replicas once there are nodes for them; an odd number, since two are lost with either.
    async fn grow(&self, picture: &Picture) -> Result<bool, String> {
        let view = self.read_meta()?;
        let (Some(cluster), Some(table)) = (view.cluster, &view.table) else { return Ok(false) };
        let members = picture.members(&view);
        let holders = members.iter().filter(|it| !it.draining && it.down_since_ms.is_none());
        let (nodes, wanted) = (holders.count(), usize::from(cluster.replicas));
        let reach = if nodes >= wanted { wanted } else { odd(nodes) };
        if reach <= table.replicas() {
            return Ok(false);
        }
        let mut table = table.clone();
        table.set_replicas(reach).map_err(|error| error.to_string())?;
        self.write_table(&view, &table).await?;
        tracing::info!(replicas = reach, "groups get more replicas");
        Ok(true)
    }

    /// Brings groups and table together where a coordinator ended between the two.
    async fn reconcile(&self, picture: &Picture) -> Result<bool, String> {
        let view = self.read_meta()?;
        let Some(mut table) = view.table.clone() else { return Ok(false) };
        let apart = table.groups().filter_map(|(group, row)| {
            let (leader, report) = picture.leader(view.number(group))?;
            (!agrees(row, &report.standing)).then_some((group, leader))
        });
        let mut changed = false;
        for (group, leader) in apart.collect::<Vec<_>>() {
            let request = Request::Settled { group: view.number(group) };
            let reply = self.ask(leader, request, self.timing().step).await;
            let Ok(Reply::Settled(standing)) = reply else { continue };
            while let Some(row) = table.row(group)
                && let Some(repair) = reconcile::next(group, row, &standing)
            {
                let step = match repair {
                    Repair::Note(step) => step,
                    Repair::Finish(step) => {
                        self.take_at(leader, step, &view, &table).await?;
                        step
                    }
                };
                if let Err(refused) = table.apply(step) {
                    tracing::warn!(?step, %refused, "a group and the table are apart");
                    break;
                }
                changed = true;
            }
        }
        if changed {
            self.write_table(&view, &table).await?;
        }
        Ok(changed)
    }

    /// Takes the steps that are due.
    async fn balance(&self, aim: &mut Option<Aim>, picture: &mut Picture) -> Result<bool, String> {
        let view = self.read_meta()?;
        let Some(table) = &view.table else { return Ok(false) };
        let members = picture.members(&view);
        let grace_ms = self.timing().grace.as_millis() as u64;
        let candidates = candidates(&members, table.replicas(), picture.now_ms, grace_ms);
        let known = aim.take();
        let known = known.filter(|it| it.candidates == candidates && it.epoch == table.epoch());
        let mut now = match known {
            Some(known) => known,
            None => match target(table, &candidates) {
                Ok(target) => Aim { candidates, epoch: table.epoch(), target },
                Err(refused) => {
                    picture.waits_for = Some(refused.to_string());
                    return Ok(false);
                }
            },
        };
        let health = picture.health(&view, table);
        picture.steps = next_steps(table, &now.target, &health, self.timing().moves_max);
        self.set_picture(Some(Arc::new(picture.clone())));
        let mut busy = false;
        for &step in &picture.steps {
            match self.carry_out(step, picture).await {
                Ok(epoch) => {
                    tracing::info!(?step, "a step was taken");
                    now.epoch = epoch;
                    busy = true;
                }
                Err(error) => tracing::debug!(?step, error, "a step was not taken"),
            }
        }
        *aim = Some(now);
        Ok(busy)
    }

    /// Takes a step at the group's leader, and writes it into the table; gives the table's new epoch.
    ///
    /// # Errors
    /// It was not taken, or it may be that it was: then the next look finds out.
    pub(super) async fn carry_out(&self, step: Step, picture: &Picture) -> Result<u64, String> {
        let view = self.read_meta()?;
        let mut table = view.table.clone().ok_or("there is no table")?;
        let row = table.row(step.group).ok_or("there is no such group")?;
        let group = view.number(step.group);
        if step.change == Change::AddLearner {
            let reply = self.ask(step.node, Request::IsVacant { group }, self.timing().look).await;
            match reply {
                Ok(Reply::IsVacant(true)) => {}
                Ok(_) => return Err(format!("{} still has what it held before", step.node)),
                Err(error) => return Err(error.to_string()),
            }
        }
        // A leader that gives way to a node that has just died leaves the group without one, once more.
        if step.change == Change::TransferLeader && !picture.reports.contains_key(&step.node) {
            return Err(format!("{} does not answer now", step.node));
        }
        let leader = picture.leader(group).map_or(row.leader, |(leader, _)| leader);
        self.take_at(leader, step, &view, &table).await?;
        table.apply(step).map_err(|error| error.to_string())?;
        self.write_table(&view, &table).await?;
        Ok(table.epoch())
    }

    /// Lets a node take a step of a group that it leads.
    async fn take_at(
        &self,
        leader: NodeId,
        step: Step,
        view: &View,
        table: &Table,
    ) -> Result<(), String> {
        let row = table.row(step.group).ok_or("there is no such group")?.clone();
        let at = view.peer(step.node).cloned().unwrap_or_default();
        let request = Request::Take { step, group: view.number(step.group), row, at };
        match self.ask(leader, request, self.timing().step).await {
            Ok(Reply::Taken) => Ok(()),
            Ok(_) => Err("the reply is of another kind than the request".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn write_table(&self, view: &View, table: &Table) -> Result<(), String> {
        let edit = Edit::default().table(view, table);
        self.change(&edit).await.map_err(|error| error.to_string())
    }
}

/// Why a change of the meta group is not known to be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error(transparent)]
    NotMade(crate::meta::EditError),
    #[error("it is not known whether the cluster was changed: {0}")]
    Unknown(String),
}
