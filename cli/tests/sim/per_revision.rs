//! `recommend --per-revision`, and the file that carries its settings to other verbs.

use crate::Desk;

const LOAD: &str = "--arrivals busy=poisson:2 --arrivals often=timer:100s \
                    --arrivals rare=timer:900s --service const:200ms --duration 1h \
                    --cold-start const:2s";

#[test]
fn settings_of_single_revisions_are_carried_from_verb_to_verb() {
    let desk = Desk::new();
    let text = desk.says(&format!(
        "recommend {LOAD} --per-revision --keep cold<0.15% --vary min-scale=0,1 --seeds 2 \
         --csv own.csv --html own.html --json own.json"
    ));
    assert!(text.contains("each its own") && text.contains("1 of 3 revisions"), "{text}");
    assert!(text.contains("no choice among these values takes less by more than"), "{text}");
    assert_eq!(desk.read("own.csv"), "revision,setting,value\noften,min-scale,1\n");
    assert!(desk.read("own.html").contains("each its own"));
    let found: serde_json::Value = serde_json::from_str(&desk.read("own.json")).unwrap();
    let result = desk.json(&format!("run {LOAD} --revision-settings own.csv --json -"));
    assert_eq!(result["cold_starts"], found["best"]["point"]["result"]["cold_starts"]);
    assert_eq!(result["settings"]["revisions"]["often"]["set"]["min-scale"], "1");
}

#[test]
fn what_cannot_be_is_refused() {
    let desk = Desk::new();
    let asked = format!("recommend {LOAD} --per-revision --vary min-scale=0,1");
    let told = desk.refuses(&format!("{asked} --keep instances<3"));
    assert!(told.contains("does not add up over revisions"), "{told}");
    let output = desk.sim(&format!("{asked} --keep max<1ms --seeds 2"));
    assert_eq!(output.status.code(), Some(1));
    for (rows, expected) in [
        ("name,value\n", "bad.csv:1: expected the header"),
        ("revision,setting,value\nbusy,min-scale\n", "bad.csv:2: expected revision,setting,value"),
        ("revision,setting,value\nbusy,min-scal,1\n", "did you mean `min-scale`"),
        ("revision,setting,value\nbusy,min-scale,-1\n", "busy"),
    ] {
        desk.file("bad.csv", rows);
        let told = desk.refuses(&format!("run {LOAD} --revision-settings bad.csv"));
        assert!(told.contains(expected), "{rows}: {told}");
    }
    let told = desk.refuses(&format!("run {LOAD} --revision-settings none.csv"));
    assert!(told.contains("none.csv"), "{told}");
}
