//! Generators, and changes to traffic.

use std::sync::Arc;

use super::*;
use tidegate_sim::arrival::SourceError;

fn generated(spec: &str, seconds: u64) -> Arc<dyn Traffic> {
    let made: Result<_, SourceError> = Generated::shared(spec, 0, SimSpan::from_secs(seconds), 7);
    made.expect("the specification is good")
}

fn rate(spec: &str, from: f64, to: f64) -> f64 {
    let all = played(generated(spec, to as u64).as_ref());
    all.iter().filter(|row| row.0 >= from && row.0 < to).count() as f64 / (to - from)
}

fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 0.05, "expected {expected}, found {found}");
}

#[test]
fn every_law_has_the_rate_it_was_given() {
    near(rate("poisson:70", 0.0, 1_000.0), 70.0);
    near(rate("poisson:4200/m", 0.0, 1_000.0), 70.0);
    near(rate("constant:5", 0.0, 1_000.0), 5.0);
    near(rate("renewal:50,3", 0.0, 4_000.0), 50.0);
    near(rate("weibull:50,0.8", 0.0, 4_000.0), 50.0);
    near(rate("step:10,100,500s", 0.0, 500.0), 10.0);
    near(rate("step:10,100,500s", 500.0, 1_000.0), 100.0);
    near(rate("ramp:0,100,1000s", 400.0, 600.0), 50.0);
    near(rate("ramp:0,100,1000s", 1_000.0, 1_100.0), 100.0);
    near(rate("spike:10,200,10m,1m", 600.0, 660.0), 200.0);
    near(rate("spike:10,200,10m,1m", 660.0, 2_000.0), 10.0);
    near(rate("onoff:40,30s,70s", 0.0, 10_000.0), 12.0);
    near(rate("diurnal:50,0.8,1h", 0.0, 7_200.0), 50.0);
    near(rate("diurnal:50,0.8,1h", 800.0, 1_000.0), 90.0);
    near(rate("step:10,20,10s,gaps=const", 100.0, 200.0), 20.0);
}

#[test]
fn a_name_before_the_specification_names_the_revision() {
    let all = played(generated("web=poisson:5", 10).as_ref());
    assert!(all.iter().all(|row| row.2 == "web"));
}

#[test]
fn fitted_traffic_has_the_rate_and_the_irregularity_of_its_model() {
    let files = Files::new();
    let mut text = String::from("arrival\n");
    for row in played(generated("step:20,100,600s,gaps=cv2", 1_200).as_ref()) {
        text.push_str(&format!("{:.6}\n", row.0));
    }
    let path = files.write("model.csv", text);
    let trace = TraceFile::open(&path, TraceOptions::default()).expect("the trace opens");
    let learnt = FittedArrivals::learn(&trace).expect("there are arrivals");
    assert!((learnt.variation / 2.0 - 1.0).abs() < 0.1, "{}", learnt.variation);
    let fitted = played(generated(&format!("fitted:{}", path.display()), 3_600).as_ref());
    let count = |from: f64, to: f64| {
        fitted.iter().filter(|row| row.0 >= from && row.0 < to).count() as f64 / (to - from)
    };
    assert!((count(0.0, 600.0) / 20.0 - 1.0).abs() < 0.1, "{}", count(0.0, 600.0));
    assert!((count(600.0, 1_200.0) / 100.0 - 1.0).abs() < 0.1, "{}", count(600.0, 1_200.0));
    assert_eq!(count(1_300.0, 3_600.0), 0.0, "it ends where its model ended");
}

fn changed(inner: Arc<dyn Traffic>, transform: Transform) -> Vec<(f64, f64, String)> {
    let traffic = Transformed::new(inner, transform, 3).expect("the change is possible");
    played(&traffic)
}

#[test]
fn scaling_keeps_the_shape() {
    let base = generated("step:20,100,600s", 1_200);
    let before = played(base.as_ref()).len() as f64;
    near(changed(Arc::clone(&base), Transform::Scale(2.5)).len() as f64, before * 2.5);
    near(changed(Arc::clone(&base), Transform::Scale(0.5)).len() as f64, before * 0.5);
    let doubled = changed(base, Transform::Scale(2.0));
    let early = doubled.iter().filter(|row| row.0 < 600.0).count() as f64;
    near(early / 600.0, 40.0);
}

#[test]
fn warping_slicing_and_sampling() {
    let base = || generated("times:1,2,3,4,5", 100);
    let times =
        |rows: Vec<(f64, f64, String)>| -> Vec<f64> { rows.into_iter().map(|row| row.0).collect() };
    assert_eq!(times(changed(base(), Transform::Warp(2.0))), [0.5, 1.0, 1.5, 2.0, 2.5]);
    let slice = Transform::Slice(SimSpan::from_secs(2), SimSpan::from_secs(4));
    assert_eq!(times(changed(base(), slice)), [0.0, 1.0]);
    let sampled = changed(generated("constant:100", 1_000), Transform::Sample(0.1));
    near(sampled.len() as f64, 10_000.0);
    assert!(Transformed::new(base(), Transform::Sample(1.5), 0).is_err());
    assert!(Transformed::new(base(), Transform::Scale(0.0), 0).is_err());
}

#[test]
fn merging_joins_revisions_of_the_same_name() {
    let parts = vec![
        generated("web=times:1,3", 10),
        generated("api=times:2", 10),
        generated("web=times:2.5", 10),
    ];
    let merged = Merged::new(parts);
    let found = played(&merged);
    let names: Vec<&str> = found.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(names, ["web", "api", "web", "web"]);
    assert_eq!(merged.sha256().len(), 64);
}
