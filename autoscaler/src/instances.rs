//! Counting instances: how many of each revision are ready, without looking at any of them.

use crate::observed::Observed;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum InstanceState {
    /// It was started and does not take requests yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It takes no more requests and is going away, or is gone.
    Leaving,
}

/// The instances of one revision by state, kept up to date by each change of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceCounts {
    starting: u32,
    ready: u32,
    leaving: u32,
}

impl InstanceCounts {
    /// Notes that an instance went from one state to another; none is not existing.
    pub fn change(&mut self, from: Option<InstanceState>, to: Option<InstanceState>) {
        if let Some(state) = from {
            let count = self.count_mut(state);
            *count = count.saturating_sub(1);
        }
        if let Some(state) = to {
            let count = self.count_mut(state);
            *count = count.saturating_add(1);
        }
    }

    fn count_mut(&mut self, state: InstanceState) -> &mut u32 {
        match state {
            InstanceState::Starting => &mut self.starting,
            InstanceState::Ready => &mut self.ready,
            InstanceState::Leaving => &mut self.leaving,
        }
    }

    /// Instances that take requests.
    pub const fn ready(&self) -> u32 {
        self.ready
    }

    /// Instances that will take requests.
    pub const fn starting(&self) -> u32 {
        self.starting
    }

    /// Instances that took requests.
    pub const fn leaving(&self) -> u32 {
        self.leaving
    }

    /// What a decision is told when `requested` instances were asked for.
    pub const fn observed(&self, requested: u32) -> Observed {
        Observed { ready: self.ready, starting: self.starting, requested, in_flight: 0, waiting: 0 }
    }
}
