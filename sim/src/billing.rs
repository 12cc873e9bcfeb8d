//! What a run used and what it cost, from its result.

use crate::arrival::Traffic;
use crate::price::Bill;
use crate::result::{RevisionResult, SimResult};
use crate::scenario::{RevisionModel, Scenario};
use crate::usage::Usage;

/// Adds what the instances of one revision hold. What the model says of their memory comes before
/// what the traffic does.
pub(crate) fn add_held(
    usage: &mut Usage,
    model: &RevisionModel,
    memory_mb: Option<f64>,
    instance_seconds: f64,
) {
    let hours = instance_seconds / 3_600.0;
    if let Some(memory_mb) = model.memory_mb.or(memory_mb) {
        *usage.gb_hours.get_or_insert(0.0) += memory_mb / 1_000.0 * hours;
    }
    if model.gpus > 0 {
        *usage.gpu_hours.get_or_insert(0.0) += f64::from(model.gpus) * hours;
    }
}

/// Fills in what nodes had and what all of it cost; what instances held, and the hours of nodes,
/// are there already.
pub(crate) fn settle(result: &mut SimResult, scenario: &Scenario) {
    let usage = &mut result.usage;
    let (mut own_cost, mut bill) = (0.0, Bill::default());
    if !scenario.nodes.is_empty() {
        let mut gpu_hours = 0.0;
        for kind in &scenario.nodes {
            let hours = usage.nodes.get(&kind.name).map_or(0.0, |used| used.hours);
            gpu_hours += f64::from(kind.gpus) * hours;
            match kind.price_hour {
                Some(price) => own_cost += price * hours,
                None => bill.node_hours += hours,
            }
        }
        usage.node_hours = Some(usage.nodes.values().map(|used| used.hours).sum());
        let any_gpus = scenario.nodes.iter().any(|kind| kind.gpus > 0);
        usage.gpu_hours = any_gpus.then_some(gpu_hours);
    }
    bill.instance_hours = result.instance_seconds / 3_600.0;
    bill.gb_hours = usage.gb_hours.unwrap_or(0.0);
    bill.gpu_hours = usage.gpu_hours.unwrap_or(0.0);
    bill.requests = result.requests;
    result.cost = scenario.is_priced().then(|| scenario.prices.of(&bill) + own_cost);
}

/// What one revision is charged with: its instances, their memory and, without nodes, their GPUs,
/// and its requests. Nodes are there for all revisions together.
pub(crate) fn bill_of(one: &RevisionResult, scenario: &Scenario, traffic: &dyn Traffic) -> Bill {
    let model = scenario.model_of(&one.revision);
    let mut held = Usage::default();
    add_held(&mut held, model, traffic.memory_mb(&one.revision), one.instance_seconds);
    let gpu_hours = if scenario.nodes.is_empty() { held.gpu_hours } else { None };
    Bill {
        instance_hours: one.instance_seconds / 3_600.0,
        gb_hours: held.gb_hours.unwrap_or(0.0),
        node_hours: 0.0,
        gpu_hours: gpu_hours.unwrap_or(0.0),
        requests: one.requests,
    }
}
