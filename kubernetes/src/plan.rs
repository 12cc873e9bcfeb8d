//! The actions that are due: a function of the observed state and the time.
//!
//! It is asked again after everything that happens to a scaler, and answers with all that is
//! missing at that moment; who carries it out leaves away what is under way already. So nothing has
//! to be remembered for a lost response, a restart or a change of leader.

mod deletion;
mod saying;
mod seen;

use std::net::IpAddr;

use tidegate_autoscaler::Timestamp;
use tidegate_controller::{ActivatorPorts, ServiceMode};
use tidegate_kubernetes_adapters::{NotRecommended, Recommendation};
use tidegate_kubernetes_objects::traffic_scaler::{ActivatorPort, Actuator, Mode, PortProtocol};

use crate::claim::{Claimant, Claims, Obstacle};
use crate::deletion_cost;
use crate::index::Index;
use crate::listen;
use crate::mode::mode;
use crate::request::ApiRequest;
use crate::slices::{Slices, Unheld};
use crate::world::{DesiredScale, Memory, ObjectKey, Scaler, Target, TargetKey, Version, World};

pub use self::seen::DESIRED_FRESH_MS;

/// How long a change of EndpointSlices may take to reach every node's proxy: kube-proxy gathers
/// changes for a second, and ingresses are slower.
pub const PROPAGATION_MS: u64 = 5_000;

/// How long every ready pod must have been reporting before the target loses replicas: two
/// decisions in turn were then made by what all of them report.
pub const ALL_REPORTING_MS: u64 = 5_000;

/// How long a ready pod may not be heard of before a person is told: what starts beside the app has
/// reported long before.
pub const SILENT_MS: u64 = 30_000;

/// How long something may be otherwise than it should before the status tells it. Pods come and go,
/// and a status that follows each of them is written as often: what is over within a few seconds
/// needs nobody.
pub const MOMENT_MS: u64 = 5_000;

/// How long the numbers of a status may be those of before: what is wanted is soon what is there,
/// and one write says both.
pub const NUMBERS_MS: u64 = 500;

/// Replicas that a target gets whose requests would be held for nobody.
const RESCUE: i32 = 1;

/// One action.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// For which scaler or rollout; of a target that lost its scaler, the target's own name.
    pub scaler: ObjectKey,
    /// What it does.
    pub step: Step,
    /// The request that does it.
    pub request: ApiRequest,
}

/// The kinds of actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Sets a target's replicas.
    Scale {
        /// The target.
        target: TargetKey,
        /// What they are.
        from: i32,
        /// What they are to be.
        to: i32,
    },
    /// Sets a pod's deletion cost before the target is scaled down.
    Mark {
        /// The pod.
        pod: ObjectKey,
        /// Its cost.
        cost: i32,
    },
    /// Applies a slice.
    ApplySlice(ObjectKey),
    /// Deletes a slice.
    DeleteSlice(ObjectKey),
    /// Has the scaler stay, when it is deleted, until its target has been woken.
    Protect,
    /// Lets the scaler go when it is deleted.
    Release,
    /// Writes what is said about the scaler.
    Status,
    /// Sets the weights of a route.
    Weights {
        /// The new revision's share, in thousandths.
        permille: u16,
    },
    /// Writes what is said about the rollout.
    RolloutStatus,
}

impl Step {
    /// The order of steps: requests wait for a scale from zero, so that comes first.
    #[must_use]
    pub fn urgency(&self) -> u8 {
        match self {
            Self::Scale { from: 0, .. } => 0,
            // Requests fail for as long as a new revision has them that is to be returned.
            Self::Weights { .. } => 1,
            Self::Scale { from, to, .. } if to > from => 1,
            Self::ApplySlice(_) | Self::Protect => 2,
            Self::Status | Self::RolloutStatus => 3,
            Self::DeleteSlice(_) => 4,
            Self::Mark { .. } | Self::Release => 5,
            Self::Scale { .. } => 6,
        }
    }
}

/// What is to be done beside what scalers need: for the weights of routes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Requests, the most urgent first.
    pub actions: Vec<Action>,
    /// When to plan again, if no event comes before.
    pub due: Option<Timestamp>,
}

impl Plan {
    /// Has it asked again at `due`, if that is not to be done before.
    pub(crate) fn wake(&mut self, due: Option<Timestamp>) {
        self.due = [self.due, due].into_iter().flatten().min();
    }
}

/// What one scaler needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalerPlan {
    /// Requests.
    pub actions: Vec<Action>,
    /// Ports of activators to try a connection to.
    pub checks: Vec<(IpAddr, u16)>,
    /// What other autoscalers are told of it.
    pub recommendation: Result<Recommendation, NotRecommended>,
    /// When to plan again, if no event comes before.
    pub due: Option<Timestamp>,
    /// Whether to ask again when what is wanted was not heard of for [`DESIRED_FRESH_MS`].
    pub needs_fresh: bool,
    /// Whether to ask again when the requests at its pods change.
    pub reads_pods: bool,
    /// What is to be remembered.
    pub memory: Memory,
    /// How activators are to take the requests of its Service.
    pub ports: ActivatorPorts,
}

/// One scaler with its part of the observed state.
pub struct ScalerView<'a> {
    /// Its name.
    pub key: &'a ObjectKey,
    /// The scaler.
    pub scaler: &'a Scaler,
    /// Why nothing is scaled, if so.
    pub obstacle: Option<Obstacle>,
    /// Who else scales its target: who has to, where its `actuator` says so.
    pub claimants: &'a [Claimant],
    /// Its target.
    pub target: Option<&'a Target>,
    /// The desired scale.
    pub desired: Option<&'a DesiredScale>,
    /// Its slices.
    pub slices: Slices<'a>,
    /// What this process remembers of it.
    pub memory: Memory,
    /// The target's mode; `None` while the target is not seen.
    pub mode: Option<Mode>,
    /// Its ports of the activators.
    pub ports: Vec<ActivatorPort>,
    /// The time.
    pub now: Timestamp,
}

/// What a scaler needs at `now`.
#[must_use]
pub fn evaluate(
    world: &World,
    claims: &Claims,
    scaler: (&ObjectKey, &Scaler),
    given: Vec<ActivatorPort>,
    now: Timestamp,
) -> ScalerPlan {
    let view = ScalerView::new(world, claims, scaler, given, now);
    let mut plan = ScalerPlan {
        actions: Vec::new(),
        checks: Vec::new(),
        recommendation: view.recommendation(),
        due: None,
        needs_fresh: view.memory.all_reporting_since.is_some(),
        reads_pods: false,
        ports: listen::ports(world, view.scaler, &view.ports, view.service_mode()),
        memory: view.memory.clone(),
    };
    view.steps(world, &mut plan);
    plan.checks.sort_unstable();
    plan.checks.dedup();
    plan
}

/// What wakes the targets that lost their scaler at zero.
#[must_use]
pub fn rescue_orphans(world: &World, index: &Index) -> Vec<Action> {
    let rescue = |key: &TargetKey| {
        let mut of_name = index.of_target(&key.object);
        let is_claimed = of_name.any(|s| world.scalers.get(s).is_some_and(|s| s.target == *key));
        let target = world.targets.get(key).filter(|target| target.replicas == 0 && !is_claimed)?;
        let plural = world.kinds.get(&key.kind)?.as_ref().ok()?;
        Some(scale_action(&key.object, (key, target), plural, RESCUE, None))
    };
    world.orphans.iter().filter_map(rescue).collect()
}

fn scale_action(
    scaler: &ObjectKey,
    (key, target): (&TargetKey, &Target),
    plural: &str,
    to: i32,
    only: Option<&Version>,
) -> Action {
    Action {
        scaler: scaler.clone(),
        step: Step::Scale { target: key.clone(), from: target.replicas, to },
        request: ApiRequest::scale(key, plural, to, only),
    }
}

impl<'a> ScalerView<'a> {
    fn new(
        world: &'a World,
        claims: &'a Claims,
        (key, scaler): (&'a ObjectKey, &'a Scaler),
        ports: Vec<ActivatorPort>,
        now: Timestamp,
    ) -> Self {
        let slices = Slices::of(world, key, scaler);
        let target = world.targets.get(&scaler.target);
        let desired = world.desired.get(&scaler.target.object);
        let mut memory = world.memory.get(key).cloned().unwrap_or_default();
        if let Some(target) = target {
            seen::note_replicas(&mut memory, target);
        }
        let mode = target.map(|target| mode(scaler, target, &memory, (slices.is_any(), desired)));
        let holds = slices.is_any() && slices.hold(scaler);
        memory.held_since = holds.then(|| memory.held_since.unwrap_or(now));
        let serves = target.is_some_and(|t| t.replicas > 0 && t.ready > 0)
            && seen::has_ready_pod(world, scaler)
            && mode == Some(Mode::Activating);
        memory.served_since = serves.then(|| memory.served_since.unwrap_or(now));
        let has_tcp = ports.iter().any(|port| port.protocol == PortProtocol::Tcp);
        let heard = desired.map(|desired| match has_tcp {
            true => (desired.as_of, desired.reporting.min(desired.counting)),
            false => (desired.as_of, desired.reporting),
        });
        let is_reporting = seen::all_reporting(target, heard, now);
        memory.all_reporting_since =
            is_reporting.then(|| memory.all_reporting_since.unwrap_or(now));
        let is_direct = mode == Some(Mode::Warm) && !slices.is_any();
        memory.direct_since = is_direct.then(|| memory.direct_since.unwrap_or(now));
        let is_silent = seen::is_anybody_silent(target, desired);
        memory.silent_since = is_silent.then(|| memory.silent_since.unwrap_or(now));
        let is_portless = matches!(slices.wanted, Err(Unheld::Ports(_)));
        memory.portless_since = is_portless.then(|| memory.portless_since.unwrap_or(now));
        let obstacle = claims.obstacle(world, key, scaler);
        let claimants = claims.claimants(&scaler.target);
        Self { key, scaler, obstacle, claimants, target, desired, slices, memory, mode, ports, now }
    }

    /// Whether who sets the replicas may set them to zero.
    #[must_use]
    pub fn may_be_zero(&self) -> bool {
        let is_direct = self.scaler.actuator == Actuator::Direct;
        let theirs = is_direct || self.claimants.iter().any(|claimant| claimant.may_be_zero);
        self.scaler.may_be_zero && theirs
    }

    /// Why the target cannot be scaled to zero, unless there is another obstacle.
    #[must_use]
    pub fn unheld(&self) -> Option<&str> {
        match &self.slices.wanted {
            _ if !self.scaler.may_be_zero => Some("zero is not allowed by the settings"),
            _ if !self.may_be_zero() => Some(
                "the autoscaler of the target does not allow zero: set minReplicas of the \
                 HorizontalPodAutoscaler, or minReplicaCount of the ScaledObject, to 0",
            ),
            Err(unheld) => Some(unheld.why()),
            Ok(_) => None,
        }
    }

    fn steps(&self, world: &World, plan: &mut ScalerPlan) {
        if self.may_be_zero() && self.obstacle.is_none() {
            plan.checks.extend(&self.slices.unchecked);
        }
        self.slice_steps(plan);
        let is_set_by_us = self.scaler.actuator == Actuator::Direct;
        if let Some(Ok(plural)) = world.kinds.get(&self.scaler.target.kind)
            && is_set_by_us
        {
            self.scale_steps(world, plural, plan);
        }
        self.status_step(plan);
        let Memory { held_since, served_since, direct_since, .. } = self.memory;
        let propagated = [held_since, served_since, direct_since]
            .map(|since| since.map(|since| since.plus_millis(PROPAGATION_MS)));
        let reporting =
            self.memory.all_reporting_since.map(|since| since.plus_millis(ALL_REPORTING_MS));
        let silent = self.memory.silent_since.map(|since| since.plus_millis(SILENT_MS));
        let told = [self.memory.silent_since, self.memory.portless_since]
            .map(|since| since.map(|since| since.plus_millis(MOMENT_MS)));
        for due in propagated.into_iter().chain(told).chain([reporting, silent]).flatten() {
            if due > self.now && plan.due.is_none_or(|before| due < before) {
                plan.due = Some(due);
            }
        }
    }

    /// Whether requests are to be routed to the activators.
    fn holds(&self) -> bool {
        let idle = self.desired.is_some_and(|desired| desired.replicas == 0);
        match self.mode {
            Some(Mode::Zero) => true,
            Some(Mode::Draining) => {
                let may_go_on = !self.scaler.is_deleted || self.memory.asked_for_zero;
                self.obstacle.is_none() && may_go_on
            }
            Some(Mode::Activating) => !self.is_over(self.memory.served_since),
            Some(Mode::Warm) => {
                let may_drain = self.obstacle.is_none() && !self.scaler.is_deleted;
                may_drain && idle && self.unheld().is_none() && self.may_shrink()
            }
            Some(Mode::Suspended) => false,
            // A target that is not seen just now is left as it is.
            None => self.slices.is_any(),
        }
    }

    /// Clients are asked to connect anew once no node leads them to an activator any more.
    fn service_mode(&self) -> ServiceMode {
        match self.is_over(self.memory.direct_since) {
            true => ServiceMode::Serve,
            false => ServiceMode::Proxy,
        }
    }

    /// Whether what began at `since` is known to every node's proxy.
    fn is_over(&self, since: Option<Timestamp>) -> bool {
        since.is_some_and(|since| self.now.millis_since(since) >= PROPAGATION_MS)
    }

    /// Whether the desired scale was decided from the reports of all pods.
    fn may_shrink(&self) -> bool {
        let reporting = self.memory.all_reporting_since;
        reporting.is_some_and(|since| self.now.millis_since(since) >= ALL_REPORTING_MS)
    }

    fn slice_steps(&self, plan: &mut ScalerPlan) {
        let wanted = match &self.slices.wanted {
            Ok(wanted) if self.holds() => wanted.as_slice(),
            _ => &[],
        };
        for (name, slice) in &self.slices.present {
            // A slice of a deleted scaler of the same name is not taken over: the cluster is about
            // to delete it.
            let is_ours = slice.ours.as_deref() == Some(&self.scaler.uid);
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted == *name);
            if !is_wanted || !is_ours {
                plan.actions.push(Action {
                    scaler: self.key.clone(),
                    step: Step::DeleteSlice((*name).clone()),
                    request: ApiRequest::delete_slice(name, &slice.version),
                });
            }
        }
        for (name, content) in wanted {
            let is_old =
                |slice: &crate::world::Slice| slice.ours.as_ref() != Some(&self.scaler.uid);
            let blocked = self.slices.present.iter().any(|(n, slice)| *n == name && is_old(slice));
            if blocked || self.slices.is_there(self.scaler, name, content) {
                continue;
            }
            plan.actions.push(Action {
                scaler: self.key.clone(),
                step: Step::ApplySlice(name.clone()),
                request: ApiRequest::apply_slice(name, (self.key, self.scaler), content),
            });
        }
    }

    fn scale_steps(&self, world: &World, plural: &str, plan: &mut ScalerPlan) {
        let Some(target) = self.target else { return };
        let (Some(to), Some(mode)) = (self.replicas(target), self.mode) else { return };
        // What is written over a zero that we have asked for, and that may still come, stays.
        let is_answered = !self.scaler.is_deleted || !self.memory.asked_for_zero;
        if to == target.replicas && is_answered {
            return;
        }
        if let Some(desired) = self.desired {
            let change = (target.replicas, to);
            plan.reads_pods = to < target.replicas;
            let written = world.costs.get(&self.scaler.target.object);
            let marks = deletion_cost::marks(&self.key.namespace, desired, change, written);
            if !marks.is_empty() {
                plan.actions.extend(marks.into_iter().map(|(pod, cost)| Action {
                    scaler: self.key.clone(),
                    request: ApiRequest::deletion_cost(&pod, cost),
                    step: Step::Mark { pod, cost },
                }));
                return;
            }
        }
        // It is set to zero only if nothing has changed the target since.
        let only = (to == 0 && mode == Mode::Draining).then_some(&target.version);
        let named = (&self.scaler.target, target);
        plan.actions.push(scale_action(self.key, named, plural, to, only));
    }

    /// What another autoscaler is told that asks what to set the replicas to: what they would be
    /// set to here, so that nobody brings them down before that is safe.
    fn recommendation(&self) -> Result<Recommendation, NotRecommended> {
        if let Some(obstacle) = &self.obstacle {
            return Err(NotRecommended(obstacle.to_string()));
        }
        let Some(target) = self.target else {
            return Err(NotRecommended(format!("{} has not been seen yet", self.scaler.target)));
        };
        if self.desired.is_none() {
            let why = "nothing has been decided yet: no queue-proxy has reported";
            return Err(NotRecommended(why.to_owned()));
        }
        Ok(Recommendation {
            target: self.scaler.target.object.name.clone(),
            service: self.scaler.service.name.clone(),
            replicas: self.replicas(target).unwrap_or(target.replicas),
        })
    }

    /// The replicas to set the target to now, if any.
    fn replicas(&self, target: &Target) -> Option<i32> {
        let mode = self.mode?;
        if mode == Mode::Suspended {
            return None;
        }
        if self.scaler.is_deleted {
            return self.last_replicas(target);
        }
        if self.obstacle.is_some() {
            // A target that was scaled to zero and may no longer be scaled gets a replica again.
            let stranded = mode == Mode::Zero && !self.is_target_missing();
            return stranded.then_some(RESCUE);
        }
        let desired = self.desired?.replicas.max(0);
        if mode == Mode::Zero {
            let rescue = if self.may_be_zero() { 0 } else { RESCUE };
            return Some(desired.max(rescue));
        }
        if desired >= target.replicas {
            return Some(desired);
        }
        if !self.may_shrink() {
            return None;
        }
        if desired > 0 {
            return Some(desired);
        }
        match mode {
            Mode::Draining if self.may_be_zero_now() => Some(0),
            // On the way to zero, and where zero is not possible, the last replica serves.
            _ => Some(RESCUE.min(target.replicas)),
        }
    }

    fn is_target_missing(&self) -> bool {
        matches!(self.obstacle, Some(Obstacle::NoTarget(_) | Obstacle::NoService(_)))
    }

    /// Whether every request to the Service reaches an activator from now on, and the next leader
    /// would know that we set the zero.
    fn may_be_zero_now(&self) -> bool {
        self.may_be_zero()
            && !self.could_be_forgotten()
            && self.slices.hold(self.scaler)
            && self.is_over(self.memory.held_since)
            && self.scaler.status.mode == Some(Mode::Draining)
    }
}
