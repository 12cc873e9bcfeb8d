//! What recordings are like: generated traffic is described as what it was made by.

use tidegate_sim::{SimSpan, fit};
use tidegate_sim_traffic::Generated;

#[test]
fn traffic_is_described() {
    let until = SimSpan::from_secs(2_000);
    let made = Generated::new("poisson:20", 0, until, 3).expect("parses");
    let (fit, services) = fit::traffic(&made).expect("reads");
    assert!((fit.rate / 20.0 - 1.0).abs() < 0.03, "{fit:?}");
    assert!((fit.dispersion - 1.0).abs() < 0.15, "{fit:?}");
    assert!(fit.generator.starts_with("poisson:"), "{fit:?}");
    assert!(services.is_empty());
}
