//! What reporters have told of the time before this controller.

use crate::history::History;

/// How long the reporters of instances that others start have to tell of them. Longer than their
/// longest wait between two attempts to connect.
pub(crate) const WARM_UP_MS: u64 = 1_500;

/// What is known of the time before this controller.
#[derive(Default)]
pub(crate) struct Told {
    /// What reporters remember.
    pub(crate) past: History,
    /// Instances that the activator knows which knows most of them.
    pub(crate) known_to_activators: u32,
}
