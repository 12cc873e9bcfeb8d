//! A page of many revisions had decisions for the first half of its day only, figures of everything
//! whichever revision was chosen, and a choice of ten of 250.

use tidegate_sim::result::RevisionResult;
use tidegate_sim::series::TimeSeries;

use super::*;

/// A run of so many revisions, each with decisions over the whole day, the first with the most.
fn crowded(revisions: u32) -> RunOutput {
    let mut all = run(1_024, 0, "all");
    let name = |number: u32| format!("function-{number:03}");
    all.result.revisions = (0..revisions)
        .map(|number| RevisionResult {
            revision: name(number),
            requests: u64::from(revisions - number) * 10,
            ..RevisionResult::default()
        })
        .collect();
    let template = all.series[0].clone();
    all.series.truncate(1);
    all.series.extend(
        (0..revisions)
            .map(|number| TimeSeries { revision: Some(name(number)), ..template.clone() }),
    );
    for second in 0..86_400_u32 {
        let number = second % (revisions * 4);
        let number = if number >= revisions { 0 } else { number };
        if second % 7 == 0 {
            let mut one = run(1, 1, &name(number)).decisions.remove(0);
            one.at_s = f64::from(second);
            one.wanted = u64::from(second % 3);
            one.reason = format!("at {second} something was decided, and this is the reason why");
            all.decisions.push(one);
        }
    }
    all
}

#[test]
fn every_revision_can_be_chosen_and_has_figures_panels_and_decisions_of_its_own() {
    let crowded = crowded(250);
    let page = page(&[&crowded]);
    assert!(html(&page).len() <= 1_000_000, "{}", html(&page).len());
    let view = &data(&page)["views"][0];
    let choices = view["revisions"].as_array().expect("a list");
    assert_eq!(choices.len(), 250);
    assert_eq!(choices[0]["name"], "function-000", "the busiest first");
    assert_eq!(choices[249]["cards"][0][0], "10", "its own requests");
    let series = view["series"].as_array().expect("a list");
    for choice in choices {
        let own = choice["series"].as_u64().expect("panels of its own") as usize;
        assert!(own > 0 && own < series.len());
    }
    let names = view["decisions"]["names"].as_array().expect("a list");
    assert_eq!(names.len(), 250, "each keeps some of its decisions");
}

#[test]
fn decisions_reach_the_end_of_the_day() {
    let crowded = crowded(250);
    let decisions = &data(&page(&[&crowded]))["views"][0]["decisions"];
    let times: Vec<f64> = serde_json::from_value(decisions["at"].clone()).expect("times");
    for hour in 0..24_u32 {
        let hours = f64::from(hour) * 3_600.0..f64::from(hour + 1) * 3_600.0;
        let there = times.iter().filter(|at| hours.contains(at)).count();
        assert!(there * 24 * 2 > times.len(), "{there} of {} in hour {hour}", times.len());
    }
}

#[test]
fn one_revision_offers_no_choice() {
    let mut plain = run(10, 2, "plain");
    plain.result.revisions.truncate(1);
    let view = data(&page(&[&plain]))["views"][0].clone();
    assert_eq!(view["revisions"], serde_json::json!([]));
    assert_eq!(view["cards"][0], "requests");
    assert_eq!(view["all"][0][0], "1,000");
}
