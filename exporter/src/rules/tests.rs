use tidegate_telemetry::Value;

use super::*;

fn series(labels: &[(&'static str, &'static str)]) -> Series {
    let labels = labels.iter().map(|(key, value)| Label::new(*key, *value)).collect();
    Series { labels, value: Value::Number(1.0) }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = Rules::parse(
        r#"
        [[rule]]
        drop = "process_*"

        [[rule]]
        keep = "*_failed_total"
        labels = { cause = "!no_*" }
        sum_without = ["cause"]
        period = "5m"

        [[rule]]
        keep = "tidegate_*"
        "#,
    )
    .unwrap();
    let first = |name: &str, labels: &[_]| rules.first_match(name, &series(labels));
    assert_eq!(first("process_threads", &[]), Some(0));
    assert_eq!(first("tidegate_requests_failed_total", &[("cause", "timeout")]), Some(1));
    assert_eq!(first("tidegate_requests_failed_total", &[("cause", "no_route")]), Some(2));
    // A label that is not there is empty, which `!no_*` matches.
    assert_eq!(first("tidegate_requests_failed_total", &[]), Some(1));
    assert_eq!(first("kn_serving_queue_depth", &[]), None);
    let rule = &rules.as_slice()[1];
    assert_eq!((rule.period, rule.line), (Duration::from_secs(300), 5));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, line, column, says) in [
        ("", 1, 1, "no rule keeps anything"),
        ("[[rule]]\ndrop = \"*\"", 1, 1, "no rule keeps anything"),
        ("[[rule]]\nkep = \"*\"", 2, 1, "unknown key `kep`"),
        ("[[rule]]\nkeep = 5", 2, 8, "expected text in quotes"),
        ("[[rule]]\nkeep = \"\"", 2, 8, "1 to 256 letters"),
        ("[[rule]]\nkeep = \"a\"\ndrop = \"b\"", 3, 8, "either `keep` or `drop`"),
        ("[[rule]]\nlabels = { a = \"b\" }", 1, 1, "expected `keep` or `drop`"),
        ("[[rule]]\nkeep = \"*\"\nperiod = \"soon\"", 3, 10, "expected a time such as"),
        ("[[rule]]\nkeep = \"*\"\nperiod = \"25h\"", 3, 10, "24h at most"),
        ("[[rule]]\nkeep = \"*\"\nperiod = \"0s\"", 3, 10, "more than 0"),
        ("[[rule]]\ndrop = \"*\"\nperiod = \"5m\"", 3, 10, "goes with `keep` only"),
        ("[[rule]]\nkeep = \"*\"\nsum_without = \"a\"", 3, 15, "expected a list"),
        ("[rule]\nkeep = \"*\"", 1, 1, "expected a list"),
        ("rule = [", 1, 9, ""),
    ] {
        let error = Rules::parse(text).expect_err(text);
        assert!(error.what.contains(says), "{text:?}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
    }
    let many = "[[rule]]\nkeep = \"*\"\n".repeat(RULES_MAX + 1);
    assert!(Rules::parse(&many).expect_err("too many").what.contains("more than 256"));
    let long = "#".repeat(RULES_BYTES_MAX + 1);
    assert!(Rules::parse(&long).expect_err("too long").what.contains("bytes"));
}
