//! Who decides for a revision follows from its settings.

use std::collections::BTreeMap;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::{Config, Violations};
use tidegate_controller::{Declaration, PolicyChoice, RevisionId, Template};

fn declare(annotations: &[(&str, &str)]) -> Result<Declaration, Violations> {
    let full = |(key, value): &(&str, &str)| {
        (format!("autoscaling.knative.dev/{key}"), (*value).to_owned())
    };
    let annotations: BTreeMap<String, String> = annotations.iter().map(full).collect();
    let template =
        Template { config: Config::default(), annotations, improvements: Improvements::all() };
    template.declare(RevisionId::new("default", "web").expect("a name"), 10)
}

#[test]
fn the_class_names_the_policy() {
    let plain = declare(&[]).expect("valid");
    assert!(matches!(plain.policy, PolicyChoice::Knative(_)));

    let hpa = [
        ("class", "hpa.autoscaling.knative.dev"),
        ("metric", "rps"),
        ("target", "50.5"),
        ("max-scale", "7"),
        ("window", "90s"),
    ];
    let declaration = declare(&hpa).expect("valid");
    let PolicyChoice::Hpa(settings) = &declaration.policy else { panic!("the HPA decides") };
    assert_eq!((settings.min_replicas, settings.max_replicas), (1, 7));
    assert_eq!(settings.metrics[0].target, 50.0);
    assert_eq!(settings.scale_up.stabilization_ms, 90_000);
    assert_eq!(declaration.lifecycle.bounds.min, 1, "the HPA knows no zero");
}

#[test]
fn a_metric_that_nobody_reports_is_refused() {
    let error = declare(&[("class", "hpa.autoscaling.knative.dev"), ("target", "80")]);
    let message = error.expect_err("nobody reports processors").to_string();
    assert_eq!(
        message,
        "metric of the class hpa.autoscaling.knative.dev is \"cpu\", expected concurrency or rps, \
         with a target: nothing else is reported here"
    );
}
