//! Instances that a run before has left, and that are taken over as they are.

use std::sync::Arc;

use super::{Context, Revision, WARM_UP_MS};
use crate::event::Effect;
use crate::identity::InstanceName;
use crate::instance::{Instance, Owner};
use crate::kept::KeptInstance;

impl Revision {
    /// Takes over instances of a run before. Their queue-proxies remember the past, so nothing is
    /// decided until they have told it. New instances are numbered from `next_number` on.
    pub(crate) fn take_over(
        &mut self,
        cx: &mut Context<'_>,
        kept: Vec<KeptInstance>,
        next_number: u64,
    ) {
        self.next_number = self.next_number.max(next_number);
        let Some(launch) = self.declaration.launch.clone() else { return };
        for kept in kept {
            let Ok(name) = InstanceName::new(&kept.instance) else { continue };
            let mut instance = Instance::new(name.clone(), Owner::Controller, cx.now);
            instance.launched_at = Some(kept.address().into());
            instance.proof = kept.proof();
            self.instances.add(instance);
            cx.effects.push(Effect::Adopt {
                revision: self.id().clone(),
                instance: name,
                launch: Arc::clone(&launch),
                kept: Box::new(kept),
            });
        }
        let there = self.instances.figures().started_kept();
        if there > 0 {
            self.warm_at = cx.now.plus_millis(WARM_UP_MS);
            if let Some(lifecycle) = self.driver.lifecycle_mut() {
                lifecycle.set_replicas(i32::try_from(there).unwrap_or(i32::MAX));
            }
        }
        self.due(cx);
    }
}
