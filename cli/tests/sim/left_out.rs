//! `sim recommend --vary target=-1,5` left -1 out without a word and called what remained all
//! combinations; with nothing left it recommended `the settings as they are` as `as many than the
//! settings as they are`. `sim sweep` said so, in the notation of a debugger.

use crate::Desk;

const ASKED: &str = "--arrivals poisson:5 --service const:50ms --duration 30s --seed 1";

#[test]
fn values_that_cannot_be_run_are_reported() {
    let desk = Desk::new();
    for verb in ["sweep", "recommend --keep p99<10s"] {
        let output = desk.sim(&format!("{verb} {ASKED} --vary target=-1,5"));
        assert!(output.status.success(), "{verb}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("note: left out target=-1: "), "{verb}: {told}");
        assert!(told.contains("expected a number of at least 0.01"), "{verb}: {told}");
    }
}

#[test]
fn nothing_that_can_be_run_is_an_error() {
    let desk = Desk::new();
    for verb in ["sweep", "recommend --keep p99<10s"] {
        let told = desk.refuses(&format!("{verb} {ASKED} --vary target=-1,-2"));
        assert!(told.contains("no combination can be run: "), "{verb}: {told}");
    }
}

#[test]
fn many_are_not_reported_one_by_one() {
    let desk = Desk::new();
    let output = desk.sim(&format!("sweep {ASKED} --vary target=-1,-2,-3,-4,-5,-6,-7,8"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.matches("note: left out target=").count(), 5, "{told}");
    assert!(told.contains("left out 2 more combinations that cannot be run"), "{told}");
}

#[test]
fn the_settings_as_they_are_are_not_compared_with_themselves() {
    let desk = Desk::new();
    let said = desk.says(&format!("recommend --keep p99<10s {ASKED} --vary min-scale=3"));
    assert!(said.contains("the settings as they are keep p99<10s for "), "{said}");
    assert!(said.contains("; nothing that was tried does it for fewer"), "{said}");
    assert!(said.contains("\n2 runs, with 1 combination in all"), "{said}");
}
