//! What an activator is told that may not know it.

use std::sync::Arc;

use crate::declaration::{ActivatorPorts, HoldBounds, QueueRules};
use crate::event::{Effect, ServerMessage};
use crate::identity::ReporterId;
use crate::revision::Revision;
use crate::routes::RoutesNews;

/// Tells an activator of a revision.
pub(super) fn introduce(revision: &Revision, reporter: ReporterId, effects: &mut Vec<Effect>) {
    effects.push(Effect::Send { reporter, message: revision.endpoints_message() });
    if revision.declaration.activator_ports != ActivatorPorts::default() {
        effects.push(Effect::Send { reporter, message: revision.ports_message() });
    }
    if revision.declaration.hold != HoldBounds::default() {
        effects.push(Effect::Send { reporter, message: revision.hold_message() });
    }
    if revision.declaration.queue != QueueRules::default() {
        effects.push(Effect::Send { reporter, message: revision.queue_message() });
    }
}

/// Tells activators of the routes, if there are some.
pub(super) fn tell_routes(
    routes: Option<&Arc<RoutesNews>>,
    activators: impl IntoIterator<Item = ReporterId>,
    effects: &mut Vec<Effect>,
) {
    let Some(routes) = routes else { return };
    effects.extend(activators.into_iter().map(|reporter| {
        let message = ServerMessage::Routes { news: Arc::clone(routes) };
        Effect::Send { reporter, message }
    }));
}
