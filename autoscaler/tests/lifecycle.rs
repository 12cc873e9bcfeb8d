//! The lifecycle under arbitrary worlds: what must hold whatever happens.

use proptest::prelude::*;
use tidegate_autoscaler::lifecycle::{
    ActivatorProbe, ActiveReason, ActiveStatus, DEFAULT_PROGRESS_DEADLINE, Lifecycle,
    LifecycleSpec, Observation, ProbeUse, ServerlessService, Step, TrafficMode, UNDECIDED,
    ZeroScale,
};
use tidegate_autoscaler::settings::{
    Config, GoDuration, Overrides, Reachability, Resolved, Workload,
};
use tidegate_autoscaler::{Outlook, Timestamp};

fn spec() -> LifecycleSpec {
    let config = Config::default();
    let workload = Workload { container_concurrency: 0, reachability: Reachability::Reachable };
    let resolved = Resolved::new(&config, &Overrides::default(), workload);
    let deadline = DEFAULT_PROGRESS_DEADLINE;
    LifecycleSpec::new(&config, &resolved, Reachability::Reachable, deadline)
}

fn any_spec() -> impl Strategy<Value = LifecycleSpec> {
    let scales = (0..4i32, 0..8i32, 0..5i32, any::<bool>());
    let times = (1..90i64, 0..90i64, 0..90i64, prop_oneof![Just(-1.0), Just(0.0), Just(211.0)]);
    (scales, times).prop_map(|((min, max, initial, zero), (window, grace, retention, burst))| {
        let mut spec = spec();
        spec.bounds.min = min;
        spec.bounds.max = if max < min { 0 } else { max };
        spec.initial_scale = initial;
        spec.zero_scale = if zero { ZeroScale::Allowed } else { ZeroScale::Forbidden };
        spec.stable_window = GoDuration::from_seconds(window);
        spec.grace_period = GoDuration::from_seconds(grace);
        spec.retention = GoDuration::from_seconds(retention);
        spec.decision.target_burst_capacity = burst;
        spec
    })
}

fn any_observation() -> impl Strategy<Value = (i64, Observation)> {
    let plumbing = prop_oneof![
        1 => Just(None),
        4 => Just(Some(None)),
        4 => (0..120_000i64).prop_map(|ago| Some(Some(ago))),
    ];
    let probe = prop_oneof![
        4 => Just(ActivatorProbe::Confirmed),
        1 => Just(ActivatorProbe::Denied),
        1 => Just(ActivatorProbe::NotAsked),
    ];
    let outlook = prop_oneof![Just(Outlook::Open), Just(Outlook::Long)];
    (0..40_000i64, -1..10i32, -50..50i32, outlook, 0..10u32, plumbing, probe).prop_map(
        |(later_ms, decided, excess_burst_capacity, outlook, ready, plumbing, probe)| {
            // A time that is relative to the observation's own is put right by the caller.
            let plumbing = match plumbing {
                None => ServerlessService::Missing,
                Some(ago) => {
                    ServerlessService::Present { activator_since: ago.map(Timestamp::from_millis) }
                }
            };
            let observation =
                Observation { decided, excess_burst_capacity, outlook, ready, plumbing, probe };
            (later_ms, observation)
        },
    )
}

/// Takes the steps of a life and checks each.
fn live(spec: &LifecycleSpec, life: &[(i64, Observation)], check: impl Fn(&Observation, &Step)) {
    let mut lifecycle = Lifecycle::new(1);
    let mut now_ms = 1_000_000_000_000;
    for (later_ms, observation) in life {
        now_ms += later_ms;
        let mut seen = *observation;
        if let ServerlessService::Present { activator_since: Some(ago) } = seen.plumbing {
            let since = Timestamp::from_millis(now_ms - ago.as_millis());
            seen.plumbing = ServerlessService::Present { activator_since: Some(since) };
        }
        let step = lifecycle.reconcile(Timestamp::from_millis(now_ms), spec, &seen);
        assert_eq!(lifecycle.replicas(), step.replicas);
        assert_eq!(lifecycle.active(), Some(step.active));
        assert!(!step.to_string().is_empty());
        check(&seen, &step);
    }
}

proptest! {
    #[test]
    fn replicas_stay_within_their_bounds(
        spec in any_spec(),
        life in prop::collection::vec(any_observation(), 1..60),
    ) {
        live(&spec, &life, |_, step| {
            let Some(replicas) = step.patch else { return };
            let most = if spec.bounds.max == 0 { i32::MAX } else { spec.bounds.max };
            // An initial scale above the maximum is a contradiction that both sides win at times.
            assert!(replicas <= most.max(spec.initial_scale), "{step:?}");
            assert!(replicas >= spec.bounds.min, "{step:?}");
            let may_vanish = spec.zero_scale == ZeroScale::Allowed;
            assert!(replicas > 0 || may_vanish, "{step:?}");
        });
    }

    #[test]
    fn the_last_instance_goes_only_when_the_activator_stands_in(
        spec in any_spec(),
        life in prop::collection::vec(any_observation(), 1..60),
    ) {
        live(&spec, &life, |seen, step| {
            if step.want == 0 {
                assert_eq!(step.mode, TrafficMode::Proxy, "{step:?}");
            }
            if step.patch == Some(0) {
                let gave_up = step.active.reason == ActiveReason::TimedOut;
                let always = spec.decision.target_burst_capacity == -1.0;
                let confirmed = seen.probe == ActivatorProbe::Confirmed;
                assert!(gave_up || always || confirmed, "{seen:?} {step:?}");
            }
            if step.probe == ProbeUse::Unconfirmed {
                assert_eq!(step.patch, None, "{step:?}");
            }
        });
    }

    #[test]
    fn requests_go_straight_only_to_instances_with_room(
        spec in any_spec(),
        life in prop::collection::vec(any_observation(), 1..60),
    ) {
        live(&spec, &life, |seen, step| {
            let straight = step.mode == TrafficMode::Serve;
            assert!(!straight || (step.want > 0 && seen.excess_burst_capacity >= 0), "{step:?}");
            assert!(step.activators >= 2, "{step:?}");
        });
    }

    #[test]
    fn what_is_reported_makes_sense(
        spec in any_spec(),
        life in prop::collection::vec(any_observation(), 1..60),
    ) {
        live(&spec, &life, |_, step| {
            assert_eq!(step.active.since.as_millis() % 1000, 0, "{step:?}");
            assert!(step.recheck_ms.is_none_or(|ms| ms > 0), "{step:?}");
            assert!(step.desired >= UNDECIDED, "{step:?}");
            if step.active.status == ActiveStatus::True {
                assert!(step.actual >= spec.bounds.min.max(1), "{step:?}");
            }
            if step.want == 0 {
                assert_eq!(step.active.status, ActiveStatus::False, "{step:?}");
            }
        });
    }

    #[test]
    fn waiting_as_told_ends_the_waiting(spec in any_spec(), ready in 1..5u32) {
        // A revision that serves, and then sees no traffic at all.
        let mut lifecycle = Lifecycle::new(1);
        let seen = |decided, since| Observation {
            decided,
            excess_burst_capacity: 10,
            outlook: Outlook::Open,
            ready: ready.max(8),
            plumbing: ServerlessService::Present { activator_since: since },
            probe: ActivatorProbe::Confirmed,
        };
        let mut now_ms = 1_000_000_000_500;
        lifecycle.reconcile(Timestamp::from_millis(now_ms), &spec, &seen(1, None));
        let mut proxied_since = None;
        for _ in 0..12 {
            let now = Timestamp::from_millis(now_ms);
            let step = lifecycle.reconcile(now, &spec, &seen(0, proxied_since));
            if step.mode == TrafficMode::Proxy {
                proxied_since.get_or_insert(now);
            }
            now_ms += step.recheck_ms.unwrap_or(1).max(1);
        }
        let expected = match spec.zero_scale {
            ZeroScale::Allowed => spec.bounds.min,
            ZeroScale::Forbidden => spec.bounds.min.max(1),
        };
        prop_assert_eq!(lifecycle.replicas(), expected);
    }
}
