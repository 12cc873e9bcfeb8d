//! The policies that a revision can have, as one type.

use tidegate_autoscaler::hpa::HpaPolicy;
use tidegate_autoscaler::{
    Decision, FixedPolicy, KeepAlivePolicy, NextWake, Origin, Policy, RevisionAutoscaler, Sample,
    TickInput, Timestamp,
};

/// The policy of a revision.
pub(super) enum Decider {
    Knative(Box<RevisionAutoscaler>),
    Fixed(FixedPolicy),
    KeepAlive(KeepAlivePolicy),
    Hpa(Box<HpaPolicy>),
    Custom(Box<dyn Policy + Send>),
}

impl Decider {
    /// What all of them have in common.
    fn policy(&self) -> &dyn Policy {
        match self {
            Decider::Knative(policy) => policy.as_ref(),
            Decider::Fixed(policy) => policy,
            Decider::KeepAlive(policy) => policy,
            Decider::Hpa(policy) => policy.as_ref(),
            Decider::Custom(policy) => policy.as_ref(),
        }
    }
}

impl Policy for Decider {
    #[inline]
    fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        match self {
            Decider::Knative(policy) => policy.record(at, origin, sample),
            Decider::Fixed(_) | Decider::KeepAlive(_) => {}
            Decider::Hpa(policy) => policy.record(at, origin, sample),
            Decider::Custom(policy) => policy.record(at, origin, sample),
        }
    }

    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        match self {
            Decider::Knative(policy) => policy.tick(input.now, input.observed, input.signals),
            Decider::Fixed(policy) => policy.tick(input),
            Decider::KeepAlive(policy) => policy.tick(input),
            Decider::Hpa(policy) => policy.tick(input),
            Decider::Custom(policy) => policy.tick(input),
        }
    }

    #[inline]
    fn should_wake(&self, waiting: u32) -> bool {
        match self {
            Decider::Knative(policy) => Policy::should_wake(policy.as_ref(), waiting),
            Decider::Fixed(_) | Decider::KeepAlive(_) | Decider::Hpa(_) => false,
            Decider::Custom(policy) => policy.should_wake(waiting),
        }
    }

    fn tick_interval_ms(&self) -> u64 {
        self.policy().tick_interval_ms().max(1)
    }

    #[inline]
    fn next_wake(&self) -> NextWake {
        match self {
            Decider::Knative(_) | Decider::Fixed(_) | Decider::Hpa(_) => NextWake::Event,
            Decider::KeepAlive(policy) => policy.next_wake(),
            Decider::Custom(policy) => policy.next_wake(),
        }
    }
}
