//! Injected failures, and the platform's recovery from them.

use super::instance::State;
use super::{ScheduledEvent, World};
use crate::error::RunError;
use crate::record::Observer;
use crate::scaler::Trigger;
use crate::scenario::{FailureKind, NodeModel, RevisionModel, Scenario};
use crate::time::SimSpan;

/// Refuses failures that could not happen: without a word they would be taken for survived.
pub(super) fn check(scenario: &Scenario) -> Result<(), RunError> {
    if let Some(problem) = scenario.nodes.iter().find_map(NodeModel::problem) {
        return Err(RunError::Model(problem));
    }
    let mut names: Vec<&str> = scenario.nodes.iter().map(|kind| kind.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RunError::Model(format!(
            "two kinds of nodes are called `{}`; give each a name of its own, as in \
             'large: 8,0,4'",
            pair[0]
        )));
    }
    for failure in &scenario.failures {
        let at_s = failure.at.as_secs_f64();
        if let Some(problem) = failure.problem() {
            return Err(RunError::Model(format!("the failure at {at_s} s: {problem}")));
        }
        if failure.is_of_nodes() && scenario.nodes.is_empty() {
            return Err(RunError::Model(format!(
                "a node is to fail at {at_s} s, but the scenario has no nodes; give it some \
                 (--nodes), or let instances fail"
            )));
        }
        if let Some(end) = scenario.duration
            && failure.at.as_nanos() > end.as_nanos()
        {
            let end_s = end.as_secs_f64();
            return Err(RunError::Model(format!(
                "a failure at {at_s} s comes after the end of the run at {end_s} s; expected it \
                 before"
            )));
        }
    }
    Ok(())
}

/// Refuses a model whose instances fit on no node: they would wait for ever.
pub(super) fn check_room(scenario: &Scenario, model: &RevisionModel) -> Result<(), String> {
    let most = scenario.nodes.iter().map(|kind| kind.gpus).max();
    match most {
        Some(most) if most < model.gpus => Err(format!(
            "an instance needs {} GPUs, and no kind of node has more than {most}; say how many \
             with gpus= in --nodes",
            model.gpus
        )),
        _ => Ok(()),
    }
}

impl<O: Observer> World<'_, O> {
    /// Injects failure number `index` of the scenario.
    pub(super) fn fail(&mut self, index: usize) -> Result<(), RunError> {
        let Some(failure) = self.scenario.failures.get(index) else { return Ok(()) };
        let notice = failure.notice;
        if let Some(every) = failure.every {
            let again = self.now.saturating_add(every.as_nanos());
            self.schedule(again, ScheduledEvent::Failure(index));
        }
        match &failure.kind {
            FailureKind::Instances { revision, count } => {
                let named = |name: &String| self.revisions.iter().position(|r| r.name == *name);
                let index = revision.as_ref().map_or(Some(0), named);
                let Some(index) = index.filter(|index| *index < self.revisions.len()) else {
                    let (name, at_s) = (revision.as_deref(), failure.at.as_secs_f64());
                    return Err(RunError::Model(format!(
                        "instances of revision `{}` are to fail at {at_s} s, and until then the \
                         traffic has not named it; expected a revision that it names",
                        name.unwrap_or("(the first one)")
                    )));
                };
                self.fail_instances(index as u32, *count, notice);
            }
            FailureKind::InstanceShare { share } => self.fail_share(*share, notice),
            FailureKind::Node => {
                if let Some(node) = self.nodes.as_ref().and_then(|nodes| nodes.fullest()) {
                    self.dismiss_node(node, notice);
                }
                self.replace_all_lost();
            }
            FailureKind::NodeShare { share } => {
                let nodes = self.nodes.as_ref().map(|nodes| nodes.takeable()).unwrap_or_default();
                for node in self.draw_share(nodes, *share) {
                    self.dismiss_node(node, notice);
                }
                self.replace_all_lost();
            }
            FailureKind::Controller { down } => {
                let back = self.now.saturating_add(down.as_nanos());
                self.controller_down_until = self.controller_down_until.max(back);
                self.schedule(back, ScheduledEvent::ControllerBack);
            }
        }
        Ok(())
    }

    /// A share of all instances that are starting or ready is taken away.
    fn fail_share(&mut self, share: f64, notice: SimSpan) {
        let here = self
            .instances
            .iter()
            .filter(|(_, place)| matches!(place.state, State::Starting | State::Ready));
        let here = here.map(|(slot, place)| (slot as u32, place.revision, place.number)).collect();
        for (slot, revision, number) in self.draw_share(here, share) {
            // A place that fell free meanwhile may be another instance's.
            let place = self.instances.get(slot as usize);
            if place.is_some_and(|place| (place.revision, place.number) == (revision, number)) {
                self.dismiss_instance(slot, notice);
            }
        }
        self.replace_all_lost();
    }

    /// So large a share of `all`, drawn at random. Where it is no whole number, chance decides on
    /// the last one, so that the share is right on average.
    fn draw_share<T>(&mut self, mut all: Vec<T>, share: f64) -> Vec<T> {
        let mut stream = self.streams.stream("taken", self.takings);
        self.takings += 1;
        let exact = share * all.len() as f64;
        let whole = libm::floor(exact);
        let count = whole as usize + usize::from(stream.unit() < exact - whole);
        for place in 0..count.min(all.len()) {
            let other = place + stream.below((all.len() - place) as u64) as usize;
            all.swap(place, other);
        }
        all.truncate(count);
        all
    }

    fn fail_instances(&mut self, index: u32, count: u32, notice: SimSpan) {
        for _ in 0..count {
            // The one that has been ready for longest: it holds a fair share of the requests.
            let Some(slot) = self.revisions[index as usize].longest_ready() else { break };
            self.dismiss_instance(slot, notice);
        }
        self.replace_lost(index);
    }

    /// Replaces lost instances: the platform keeps the number wanted without any decision.
    fn replace_lost(&mut self, index: u32) {
        let wanted = self.revisions[index as usize].wanted();
        self.scale_to(index, wanted);
    }

    /// Replaces lost instances of all revisions.
    pub(super) fn replace_all_lost(&mut self) {
        for index in 0..self.revisions.len() {
            self.replace_lost(index as u32);
        }
    }

    /// The controller restarts without its history.
    pub(super) fn controller_back(&mut self) {
        if self.now < self.controller_down_until {
            return;
        }
        for index in 0..self.revisions.len() {
            let revision = &mut self.revisions[index];
            revision.restart_scaler(self.now);
            if revision.is_exact() {
                self.decide(index as u32, Trigger::WakeUp);
            } else {
                self.activate(index as u32);
            }
        }
    }
}
