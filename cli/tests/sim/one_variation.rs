//! `sim traffic` and `sim fit` gave two figures for one trace under the name "coefficient of
//! variation" (7.99 and 13.2 of the same requests): the first was taken on a clock that ran with
//! the rate, and called the same. Both say now what the gaps themselves have.

use crate::Desk;

/// The figure in the line about gaps.
fn variation(said: &str) -> &str {
    let line = said.lines().find(|line| line.starts_with("gaps")).expect("a line about gaps");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..4], ["coefficient", "of", "variation"], "{line}");
    words[4]
}

#[test]
fn one_trace_has_one_coefficient_of_variation() {
    let desk = Desk::new();
    // Ten requests at once each minute: gaps of 0 s nine times of ten, and of 60 s.
    // In milliseconds, for what is stamped in whole seconds is spread over each of them.
    let rows: String = (0..200).map(|n| format!("{}.001,0.1\n", n / 10 * 60)).collect();
    desk.file("bursts.csv", &format!("arrival,service\n{rows}"));
    let traffic = desk.says("traffic --trace bursts.csv");
    let fitted = desk.says("fit --trace bursts.csv");
    assert_eq!(variation(&traffic), variation(&fitted));
    // 19 gaps of 60 s among 199: the standard deviation is 3.08 times the mean.
    assert!(variation(&traffic).starts_with("3.08"), "{traffic}");
}
