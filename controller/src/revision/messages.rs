//! What activators and queue-proxies are told of a revision.

use std::sync::Arc;

use super::{Context, Revision};
use crate::declaration::ActivatorPorts;
use crate::event::{Effect, ListScope, ServerMessage};

impl Revision {
    /// The endpoints as activators have them: at most [`super::PUSH_GAP_MAX_MS`] old.
    pub(crate) fn endpoints_message(&self) -> ServerMessage {
        ServerMessage::Endpoints {
            revision: self.id().clone(),
            endpoints: Arc::clone(&self.pushed),
            scope: if self.is_learning() { ListScope::Partial } else { ListScope::Whole },
        }
    }

    /// Tells activators and queue-proxies what is other than `before` of where requests come in.
    pub(super) fn send_ports(&self, cx: &mut Context<'_>, before: &ActivatorPorts) {
        let now = &self.declaration.activator_ports;
        if before.overflow != now.overflow {
            let message = self.overflow_message();
            let told = self.instances.all().filter_map(|instance| instance.stream);
            let send = |reporter| Effect::Send { reporter, message: message.clone() };
            cx.effects.extend(told.map(send));
        }
        if !before.is_listened_on_like(now) {
            cx.tell_activators(&self.ports_message());
        }
    }

    /// How activators take its requests besides those that name it.
    pub(crate) fn ports_message(&self) -> ServerMessage {
        let ports = Arc::new(self.declaration.activator_ports.clone());
        ServerMessage::ListenPorts { revision: self.id().clone(), ports }
    }

    /// Where its queue-proxies may hand requests on.
    pub(crate) fn overflow_message(&self) -> ServerMessage {
        ServerMessage::Overflow {
            addresses: self.declaration.activator_ports.overflow.as_slice().into(),
        }
    }

    /// How activators hold its requests.
    pub(crate) fn hold_message(&self) -> ServerMessage {
        ServerMessage::HoldBounds { revision: self.id().clone(), bounds: self.declaration.hold }
    }

    /// Whose turn it is in the queues of activators.
    pub(crate) fn queue_message(&self) -> ServerMessage {
        let rules = Arc::new(self.declaration.queue.clone());
        ServerMessage::QueueRules { revision: self.id().clone(), rules }
    }

    /// What activators are told of a revision that is about to be forgotten. Those that do not know
    /// the last message act on the others.
    pub(crate) fn farewell(&self) -> [ServerMessage; 3] {
        let (revision, ports) = (self.id().clone(), Arc::default());
        let scope = ListScope::Whole;
        [
            ServerMessage::Endpoints {
                revision: revision.clone(),
                endpoints: Arc::from([]),
                scope,
            },
            ServerMessage::ListenPorts { revision: revision.clone(), ports },
            ServerMessage::Undeclared { revision },
        ]
    }
}
