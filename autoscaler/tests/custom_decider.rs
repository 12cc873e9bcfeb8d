//! A policy of the embedder explains itself by its own name and figures.
//!
//! The story: there was no such case, and the book told embedders to say `Fixed`, so `explain`
//! called every decision of theirs "the number is fixed".

use tidegate_autoscaler::explain::{Custom, Decision, Detail, Explanation, FIGURES_MAX};
use tidegate_autoscaler::{Outcome, Timestamp};

const FOUR: Outcome = Outcome { valid: true, desired: 4, excess_burst_capacity: 0 };
const NONE: Outcome = Outcome { valid: false, desired: 0, excess_burst_capacity: 0 };

fn decision(account: Custom, outcome: Outcome) -> Decision {
    Decision::new(Explanation {
        at: Timestamp::EPOCH,
        detail: Detail::Custom(account),
        outcome,
        lifecycle: None,
    })
}

#[test]
fn the_sentence_says_who_decided_and_by_what() {
    let account = Custom::new("forecast").with("expected", 39.999).with("margin", -0.0);
    let told = decision(account, FOUR).explanation.to_string();
    assert_eq!(told, "4 instances: forecast (expected 40, margin 0).");
    let told = decision(Custom::new("forecast"), NONE).explanation.to_string();
    assert_eq!(told, "No decision: forecast.");
}

#[test]
fn what_does_not_fit_is_cut_or_left_out() {
    let long = "ä".repeat(40);
    let account = Custom::new(&long).with("nan", f64::NAN).with("infinite", f64::INFINITY);
    assert_eq!(account.name(), "ä".repeat(15), "31 bytes, and no half of a character");
    assert_eq!(account.figures().count(), 0, "what is no number says nothing");
    let many = (0..20).fold(account, |account, figure| account.with("n", f64::from(figure)));
    assert_eq!(many.figures().count(), FIGURES_MAX);
}

#[test]
fn an_account_is_no_larger_than_knatives() {
    use tidegate_autoscaler::explain::DecisionTrace;
    assert!(size_of::<Custom>() <= size_of::<DecisionTrace>());
}

#[cfg(feature = "serde")]
#[test]
fn the_account_survives_as_data() {
    let account = Custom::new("forecast").with("expected", 12.5).with("expected", 1.0);
    let decision = decision(account, FOUR);
    let text = serde_json::to_string(&decision).expect("an explanation is plain data");
    let custom =
        r#""detail":{"custom":{"name":"forecast","figures":{"expected":12.5,"expected":1.0}}}"#;
    assert!(text.contains(custom), "{text}");
    assert_eq!(serde_json::from_str::<Decision>(&text).expect("as written"), decision);
    for wrong in ["3", r#"{"name":"x"}"#, r#"{"name":"x","figures":[1]}"#] {
        assert!(serde_json::from_str::<Custom>(wrong).is_err(), "{wrong}");
    }
}
