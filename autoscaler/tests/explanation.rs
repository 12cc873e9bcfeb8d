//! An explanation says what happened, and deciding again from it gives the same.

use proptest::prelude::*;
use tidegate_autoscaler::decide::{Inputs, PanicState, Signals, decide};
use tidegate_autoscaler::explain::{Detail, Rule};
use tidegate_autoscaler::signal::MAX_SIGNALS;
use tidegate_autoscaler::{
    DecisionSpec, FixedPolicy, Improvements, KeepAlivePolicy, Observed, Policy, Signal, SignalKind,
    TickInput, Timestamp,
};

const NOW_MS: i64 = 946_684_800_000;

fn inputs() -> Inputs {
    let mut inputs = Inputs::none(Timestamp::from_millis(NOW_MS));
    inputs.last_burst_capacity = -1;
    inputs
}

fn load(kind: SignalKind, stable: f64, panic: f64, target: f64) -> Signal {
    Signal { kind, stable, panic, target }
}

fn signals(all: &[Signal]) -> Signals {
    let mut signals = Signals::default();
    for signal in all {
        signals.push(*signal);
    }
    signals
}

/// Deciding on so much concurrency with so many instances.
fn on(ready: u32, stable: f64, panic: f64) -> Inputs {
    Inputs {
        observed: Some(Observed::ready(ready)),
        signals: signals(&[load(SignalKind::Concurrency, stable, panic, 70.0)]),
        ..inputs()
    }
}

fn words(inputs: &Inputs) -> String {
    decide(inputs).explanation.to_string()
}

#[test]
fn the_ordinary_case_is_one_sentence() {
    assert_eq!(
        words(&on(4, 300.0, 280.0)),
        "5 instances: 300 requests in flight over the stable window at 70 each need 5."
    );
    assert_eq!(
        words(&on(1, 0.0, 0.0)),
        "0 instances: 0 requests in flight over the stable window at 70 each need 0."
    );
}

#[test]
fn the_rates_are_named_when_they_bind() {
    let mut inputs = on(40, 70.0, 70.0);
    assert_eq!(
        words(&inputs),
        "20 instances: 70 requests in flight over the stable window at 70 each need 1, but 40 \
         ready may shrink no further than 20 at once. A burst of 211 more fits now."
    );
    inputs.spec.max_scale_up_rate = 2.0;
    inputs.spec.panic_threshold = 100.0;
    inputs.observed = Some(Observed::ready(1));
    inputs.signals = signals(&[load(SignalKind::RequestRate, 900.0, 900.0, 150.0)]);
    assert_eq!(
        words(&inputs),
        "2 instances: 900 requests a second over the stable window at 150 each need 6, but 1 \
         ready may become at most 2."
    );
}

#[test]
fn panic_is_explained_when_it_begins_holds_and_ends() {
    let mut inputs = on(2, 200.0, 420.0);
    assert_eq!(
        words(&inputs),
        "6 instances: 420 requests in flight over the panic window at 70 each need 6, in panic. \
         Panic begins: the panic window needs 6 while 2 are ready."
    );
    let since = Some(Timestamp::from_millis(NOW_MS).minus_millis(30_000));
    inputs.panic = PanicState { since, max_instances: 9 };
    inputs.observed = Some(Observed::ready(9));
    assert_eq!(
        words(&inputs),
        "9 instances: panic, which lasts for another 30 s unless renewed, keeps at least 9, while \
         200 requests in flight over the stable window at 70 each need 3. A burst of 211 more fits \
         now."
    );
    let since = Some(Timestamp::from_millis(NOW_MS).minus_millis(60_001));
    inputs.panic = PanicState { since, max_instances: 9 };
    assert_eq!(
        words(&inputs),
        "4 instances: 200 requests in flight over the stable window at 70 each need 3, but 9 \
         ready may shrink no further than 4 at once. Panic is over. A burst of 211 more fits now."
    );
}

#[test]
fn the_delay_and_the_activation_scale_are_explained() {
    let mut inputs = on(3, 150.0, 150.0);
    inputs.spec.scale_down_delay_ms = 300_000;
    inputs.delayed = Some(8);
    assert_eq!(
        words(&inputs),
        "8 instances: as many were recommended within the scale-down delay of 300 s, 3 are now."
    );
    let mut inputs = on(1, 10.0, 10.0);
    inputs.spec.activation_scale = 3;
    assert_eq!(
        words(&inputs),
        "3 instances: 10 requests in flight over the stable window at 70 each need 1, and the \
         activation scale is 3."
    );
}

#[test]
fn the_largest_of_several_signals_wins_and_is_named() {
    let mut inputs = on(3, 150.0, 150.0);
    let cpu = load(SignalKind::Cpu, 3600.0, 3600.0, 700.0);
    let memory = load(SignalKind::Memory, 500.0, 500.0, 512.0);
    let concurrency = load(SignalKind::Concurrency, 150.0, 150.0, 70.0);
    inputs.signals = signals(&[concurrency, cpu, memory]);
    let decision = decide(&inputs);
    assert_eq!(
        decision.explanation.to_string(),
        "6 instances: processor load of 3600 over the stable window at 700 each needs 6. Panic \
         begins: the panic window needs 6 while 3 are ready."
    );
}

#[test]
fn what_is_missing_is_explained() {
    use tidegate_autoscaler::collector::Missing;
    let mut inputs = on(3, 150.0, 150.0);
    inputs.missing = Some(Missing::NoData);
    assert_eq!(words(&inputs), "No decision: there are no reports of the stable window.");
    inputs.observed = None;
    assert_eq!(words(&inputs), "No decision: the instances could not be counted.");
}

#[test]
fn other_policies_explain_themselves_too() {
    let now = Timestamp::from_millis(NOW_MS);
    let observed = Some(Observed { in_flight: 2, waiting: 1, ..Observed::ready(2) });
    let input = TickInput { now, observed, signals: &[] };
    let fixed = FixedPolicy::new(1).tick(&input).explanation.to_string();
    assert_eq!(fixed, "1 instance: the number is fixed.");
    let kept = KeepAlivePolicy::new(600_000).tick(&input).explanation.to_string();
    assert_eq!(kept, "3 instances: 3 requests are in the system, and each gets its own.");
}

#[test]
fn keep_alive_lets_an_instance_go_after_its_idle_time() {
    let mut policy = KeepAlivePolicy::new(10_000);
    let mut recommended = |t_ms: u64, in_flight: u32| {
        let now = Timestamp::from_millis(NOW_MS).plus_millis(t_ms);
        let observed = Some(Observed { in_flight, ..Observed::default() });
        policy.tick(&TickInput { now, observed, signals: &[] }).desired
    };
    assert_eq!(recommended(0, 3), 3);
    assert_eq!(recommended(5_000, 1), 3, "two have just become idle");
    assert_eq!(recommended(14_999, 1), 3);
    assert_eq!(recommended(15_000, 1), 1);
    assert_eq!(recommended(16_000, 0), 1);
    assert_eq!(recommended(25_999, 0), 1);
    assert_eq!(recommended(26_000, 0), 0);
}

fn any_load() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1e4_f64, any::<f64>()]
}

fn any_inputs() -> impl Strategy<Value = Inputs> {
    let spec = (1.0..1100.0_f64, 1.0..10.0_f64, 0.01..200.0_f64, any::<bool>(), -1_i32..20)
        .prop_map(|(up, down, target, reachable, activation_scale)| DecisionSpec {
            max_scale_up_rate: up,
            max_scale_down_rate: down,
            target_value: target,
            reachable,
            activation_scale,
            ..DecisionSpec::default()
        });
    let signal = (any_load(), any_load(), 0.01..100.0_f64)
        .prop_map(|(stable, panic, target)| load(SignalKind::Cpu, stable, panic, target));
    let memory = (
        prop::option::of(any::<i64>().prop_map(Timestamp::from_millis)),
        0_i32..100,
        prop::option::of(0_i32..100),
        any::<i32>(),
    );
    let observed = prop::option::of((any::<u32>(), any::<u32>(), any::<u32>()));
    (spec, prop::collection::vec(signal, 0..MAX_SIGNALS + 2), memory, observed, any::<bool>())
        .prop_map(|(spec, all, (since, max_instances, delayed, last), observed, better)| Inputs {
            spec,
            improvements: if better { Improvements::all() } else { Improvements::none() },
            observed: observed.map(|(ready, starting, requested)| Observed {
                ready,
                starting,
                requested,
                ..Observed::default()
            }),
            signals: signals(&all),
            recent_peak: all.first().map(|signal| signal.stable),
            panic: PanicState { since, max_instances },
            delayed,
            last_burst_capacity: last,
            ..inputs()
        })
}

proptest! {
    /// Whatever the inputs: no panic, and the explanation reproduces its outcome.
    #[test]
    fn replaying_an_explanation_reproduces_it(inputs in any_inputs()) {
        let decision = decide(&inputs);
        prop_assert_eq!(decision.outcome(), decision.explanation.outcome);
        let Detail::Knative(trace) = decision.explanation.detail else { unreachable!() };
        let again = decide(&trace.inputs);
        prop_assert_eq!(format!("{:?}", again), format!("{:?}", decision));
        prop_assert!(!decision.explanation.to_string().is_empty());
    }

    /// The winner's recommendation is the largest, and no recommendation beats it.
    #[test]
    fn the_largest_recommendation_wins(inputs in any_inputs()) {
        let decision = decide(&inputs);
        let Detail::Knative(trace) = decision.explanation.detail else { unreachable!() };
        let count = trace.inputs.signals.as_slice().len().max(1);
        let weighed = trace.steps.signals.iter().take(count);
        let largest = weighed.map(|signal| signal.stable.recommended).max();
        if decision.valid {
            prop_assert_eq!(Some(trace.steps.winner().stable.recommended), largest);
        }
        if trace.steps.rule == Rule::Stable {
            prop_assert_eq!(Some(decision.desired), largest);
        }
    }
}

/// As data and back: what a file or a socket carries is the same explanation.
#[cfg(feature = "serde")]
#[test]
fn an_explanation_survives_as_data() {
    let decision = decide(&on(2, 200.0, 420.0));
    let text = serde_json::to_string(&decision).expect("an explanation is plain data");
    let again: tidegate_autoscaler::Decision = serde_json::from_str(&text).expect("as written");
    assert_eq!(again, decision);
    let data: serde_json::Value = serde_json::from_str(&text).expect("as written");
    let steps = &data["explanation"]["detail"]["knative"]["steps"];
    assert_eq!(steps["rule"], "panic");
    assert_eq!(steps["signals"][0]["panic"]["needed"], 6.0);
}
