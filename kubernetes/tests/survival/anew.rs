//! The plan that is kept up to date beside one that is made anew.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes::plan::Step;
use tidegate_kubernetes::planner::Planner;
use tidegate_kubernetes::reconciler::Reconciler;
use tidegate_kubernetes::world::{Memory, ObjectKey, World};

/// What a plan says, but for when conditions changed: one that is kept says when it was made.
#[derive(Debug, PartialEq)]
pub(crate) struct PlanAnew {
    actions: Vec<(ObjectKey, Step, String, String)>,
    checks: Vec<(IpAddr, u16)>,
    ports: BTreeMap<ObjectKey, String>,
    memory: BTreeMap<ObjectKey, Memory>,
}

impl PlanAnew {
    /// The plan of one that looks at everything.
    pub(crate) fn of(world: &World, now: Timestamp) -> Option<Self> {
        let mut world = world.clone();
        if !world.is_complete() {
            return None;
        }
        let mut planner = Planner::new(&world);
        planner.update(&mut world, now);
        Some(Self::new(&planner, &world))
    }

    fn new(planner: &Planner, world: &World) -> Self {
        let mut actions: Vec<_> = planner
            .actions()
            .map(|action| {
                let body = timeless(action.request.body.clone());
                let (scaler, step) = (action.scaler.clone(), action.step.clone());
                (scaler, step, action.request.path.clone(), body.to_string())
            })
            .collect();
        actions.sort();
        let scalers = world.scalers.iter();
        let said =
            |key: &ObjectKey| format!("{:?} {:?}", planner.ports(key), planner.recommendation(key));
        let ports = scalers.map(|(key, _)| (key.clone(), said(key)));
        let memory = world.memory.iter().map(|(key, memory)| {
            // This is noted when an action begins, which is after the plan.
            (key.clone(), Memory { asked_for_zero: false, ..memory.clone() })
        });
        Self {
            actions,
            checks: planner.checks().collect(),
            ports: ports.collect(),
            memory: memory.collect(),
        }
    }
}

fn timeless(mut body: Value) -> Value {
    let conditions = body.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        condition["lastTransitionTime"] = Value::Null;
    }
    body
}

/// Compares what was planned anew, if enough was seen, with what a reconciler has come to.
pub(crate) fn compare(anew: Option<&PlanAnew>, reconciler: &Reconciler) {
    if let Some(anew) = anew {
        let kept = PlanAnew::new(reconciler.planner(), &reconciler.world);
        assert_eq!(kept, *anew, "what is kept is not what would be planned anew");
    }
}
