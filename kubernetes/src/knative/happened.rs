//! What the controller takes in.

use tidegate_kubernetes_podautoscaler::effect::Action;
use tidegate_kubernetes_podautoscaler::reconciler::Event;

use crate::reconciler::Response;

/// Something to take in.
pub(super) enum Happened {
    /// To the cluster, or to what was asked of it.
    Event(Box<Event>),
    /// A request came to its end.
    Ended(Box<Action>, Response),
}
