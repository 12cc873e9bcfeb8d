//! Prices, nodes and failures on the command line.

use crate::Desk;

const LOAD: &str = "--arrivals constant:8 --service const:500ms --concurrency 1 --target 1 \
                    --duration 10m --cold-start const:2s";

/// Nodes that a provider may take away.
const SPOT: &str = "--nodes 2,1,20,const:30s";

#[test]
fn cost_stands_wherever_results_are_shown() {
    let desk = Desk::new();
    let priced = format!("{LOAD} {SPOT} --price node-hour=0.3,million-requests=2");
    let text = desk.says(&format!("run {priced} --html r.html"));
    assert!(text.contains("at 0.3 a node-hour, 2 a million requests"), "{text}");
    assert!(text.contains("node-hours") && text.contains(" at most"), "{text}");
    let page = desk.read("r.html");
    assert!(page.contains("<dt>cost</dt>") && page.contains("<dt>node-hours</dt>"));
    let result = desk.json(&format!("run {priced} --json -"));
    let hours = result["usage"]["node_hours"].as_f64().unwrap();
    let requests = result["requests"].as_f64().unwrap();
    let cost = result["cost"].as_f64().unwrap();
    assert!((cost - 0.3 * hours - 2e-6 * requests).abs() < 1e-9, "{cost}");
    assert_eq!(result["settings"]["prices"]["node_hour"], 0.3);

    let text = desk.says(&format!("compare {priced} --variant min-scale=12 --csv c.csv"));
    assert!(text.starts_with("min-scale=12: costs "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("cost ")), "{text}");
    assert!(desk.read("c.csv").lines().next().unwrap().ends_with(",node_hours,cost"));

    let text =
        desk.says(&format!("sweep {priced} --vary min-scale=0,12 --csv s.csv --html s.html"));
    assert!(text.trim_start().starts_with("cost "), "{text}");
    assert!(desk.read("s.csv").lines().next().unwrap().ends_with(",on_front,cost"));
    assert!(desk.read("s.html").contains("<th>cost</th>"));
}

#[test]
fn cost_is_what_is_kept_and_what_is_ranked_by() {
    let desk = Desk::new();
    let asked =
        format!("recommend {LOAD} --price instance-hour=1 --vary min-scale=0,3,12 --budget 8");
    let text = desk.says(&format!("{asked} --keep cost<1.5 --keep cold<0.5%"));
    assert!(text.trim_start().starts_with("cost "), "{text}");
    assert!(
        text.contains("min-scale=3 keeps cost<1.5 and cold<0.5% for 1.07, 15 % less than"),
        "{text}"
    );
    let output = desk.sim(&format!("{asked} --keep cost<0.01"));
    assert_eq!(output.status.code(), Some(1), "nothing is so cheap");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("nothing that was tried keeps cost<0.01"), "{told}");
    let told = desk.refuses(&format!("recommend {LOAD} --keep cost<1 --vary min-scale=0"));
    assert!(told.contains("--price"), "{told}");
    let told = desk.refuses(&format!("recommend {LOAD} --keep node-hours<1 --vary min-scale=0"));
    assert!(told.contains("--nodes"), "{told}");
}

#[test]
fn failures_and_nodes_can_be_varied() {
    let desk = Desk::new();
    let result = desk.json(&format!(
        "compare {LOAD} {SPOT} --variant fail=2m:nodes=50%:every=2m \
         --variant fail=2m:nodes=50%:every=2m:notice=30s \
         --variant nodes=none;nodes=big:10,1,2;fail=none --json -"
    ));
    let of = |number: usize, pointer: &str| {
        let value = result["variants"][number]["result"].pointer(pointer);
        value.unwrap_or(&serde_json::Value::Null).clone()
    };
    assert_eq!(of(0, "/usage/nodes/node/lost"), 0);
    assert!(
        of(1, "/failed").as_u64() > Some(0) && of(1, "/usage/nodes/node/lost").as_u64() > Some(3)
    );
    assert_eq!(of(2, "/failed"), 0, "half a second is less than the notice");
    assert!(of(3, "/usage/nodes/big/hours").is_f64() && of(3, "/usage/nodes/node").is_null());
    let told = of(2, "/settings/failures/0/what");
    assert_eq!(told, "50 % of the nodes, every 120 s, with 30 s notice");

    let found = desk.json(&format!(
        "sweep {LOAD} {SPOT} --vary fail=none,5m:nodes=50% --vary min-scale=0,12 --json -"
    ));
    assert_eq!(found["points"].as_array().map(Vec::len), Some(4));
}

#[test]
fn mistakes_say_what_would_do() {
    let desk = Desk::new();
    for (option, expected) in [
        ("--price instance-hours=1", "did you mean `instance-hour`"),
        ("--price 3", "expected WHAT=PRICE"),
        ("--nodes 0,1,2", "capacity above 0"),
        ("--nodes 2,1,2 --nodes 4,1,2", "two kinds of nodes are called `node`"),
        ("--fail 2m:nodes=30%", "no nodes"),
        ("--fail 2m:nodes=150%", "AT:nodes=SHARE%"),
        ("--fail 2m:instances=1:every=0s", "above zero"),
        ("--instance-memory 5", "such as 512MB or 2GB"),
        ("--instance-gpus 2 --nodes 2,1,2", "needs 2 GPUs"),
    ] {
        let told = desk.refuses(&format!("run {LOAD} {option}"));
        assert!(told.contains(expected), "{option}: {told}");
    }
    let told = desk.refuses(&format!("compare {LOAD} --variant fail=2m:node"));
    assert!(told.contains("no nodes"), "{told}");
}
