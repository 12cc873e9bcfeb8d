//! What is written: summaries, pages, tables and pictures.

use crate::Desk;

const STEP: &str = "--arrivals step:5,40,60s --service exp:200ms --concurrency 1 --target 1 \
                    --duration 180s --cold-start const:2s";

#[test]
fn the_summary_ends_with_what_people_came_for() {
    let desk = Desk::new();
    let text = desk.says(&format!("run {STEP}"));
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("latency p99"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours when nobody watches");
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    let quiet = desk.says(&format!("run {STEP} --quiet"));
    assert_eq!(quiet, "");
}

#[test]
fn the_page_stands_alone_and_trusts_nothing() {
    let desk = Desk::new();
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
    desk.file("evil.csv", &format!("arrival,service,revision\n0,0.1,{evil}\n1,0.1,b\n"));
    desk.says("run --trace evil.csv --html page.html");
    let page = desk.read("page.html");
    assert!(!page.contains("<script>alert"), "a name from a trace became markup");
    assert!(!page.contains("<img"), "a name from a trace became markup");
    // Nothing is fetched: no address of anything outside, and a policy that forbids it.
    assert!(page.contains("default-src 'none'"));
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http://") && !outside.contains("https://"));
    assert!(page.contains("<title>") && page.contains("lang=\"en\""));
}

#[test]
fn the_page_of_a_day_with_many_revisions_stays_below_a_megabyte() {
    let desk = Desk::new();
    let arrivals: Vec<String> =
        (0..14).map(|n| format!("--arrivals app{n}=onoff:0.05,{}m,30m", 10 + n)).collect();
    let command = format!(
        "run {} --service exp:1s --duration 24h --cold-start const:2s --html day.html --quiet",
        arrivals.join(" ")
    );
    desk.says(&command);
    let size = std::fs::metadata(desk.path("day.html")).unwrap().len();
    assert!(size <= 1_000_000, "{size} bytes");
}

#[test]
fn tables_have_a_row_for_each_request_minute_and_step() {
    let desk = Desk::new();
    let result = desk
        .json(&format!("run {STEP} --json - --requests-csv r.csv --minutes-csv m.csv --csv s.csv"));
    // A request that is still there at the end has no row: nothing is known of its end.
    let ended = result["requests"].as_u64().unwrap() - result["in_flight"].as_u64().unwrap();
    let requests = desk.read("r.csv");
    assert!(requests.starts_with("phase,instance,invocationID,functionName,startTime,"));
    assert_eq!(requests.lines().count() as u64 - 1, ended);
    let minutes = desk.read("m.csv");
    assert!(minutes.starts_with("phase,rps,index,duration,num_func_target,num_func_invoked"));
    let counted: u64 = minutes
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(4).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(counted, ended);
    let steps = desk.read("s.csv");
    assert_eq!(steps.lines().filter(|line| line.starts_with("(all)")).count(), 180);
}

#[test]
fn every_chart_is_written_as_svg_and_png() {
    let desk = Desk::new();
    desk.says(&format!("run {STEP} --svg charts --png charts --quiet"));
    for name in ["demand", "concurrency", "instances", "waiting", "latency", "idle"] {
        let svg = desk.read(&format!("charts/{name}.svg"));
        assert!(svg.starts_with("<svg") && svg.contains("<title>") && svg.contains("<desc>"));
        let png = std::fs::read(desk.path(&format!("charts/{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 2_000, "{name}");
    }
}

#[test]
fn comparisons_speak_first() {
    let desk = Desk::new();
    let text = desk.says(&format!("compare {STEP} --variant policy=fixed:12 --html c.html"));
    assert!(text.starts_with("policy=fixed:12: "), "{text}");
    assert!(text.contains("instance-hours") && text.contains("compared with as it is"), "{text}");
    assert!(desk.read("c.html").contains("Comparison"));
    let result = desk.json(&format!("compare {STEP} --no-base --variant target=1 --json -"));
    assert_eq!(result["variants"][0]["name"], "target=1");
}

#[test]
fn sweeps_mark_their_front_and_do_not_depend_on_threads() {
    let desk = Desk::new();
    let sweep = |threads: u32| {
        let mut found = desk.json(&format!(
            "sweep {STEP} --vary min-scale=0,5,20 --vary stable-window=30s..60s/30s --json - \
             --html s.html --svg s.svg --csv s.csv --threads {threads}"
        ));
        for point in found["points"].as_array_mut().unwrap() {
            let result = point["result"].as_object_mut().unwrap();
            for machine in ["wall_seconds", "requests_per_wall_second", "peak_rss_bytes"] {
                result.remove(machine);
            }
        }
        found
    };
    let found = sweep(1);
    assert_eq!(found, sweep(2));
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.len(), 6);
    assert!(points.iter().any(|point| point["on_front"] == true));
    assert_eq!(desk.read("s.csv").lines().count(), 7);
}

#[test]
fn recommendations_come_with_evidence() {
    let desk = Desk::new();
    let text =
        desk.says(&format!("recommend {STEP} --keep cold<50% --vary min-scale=0,5 --budget 4"));
    // A minimum of 0 is what it is: one setting less does the same.
    assert!(text.contains("the settings as they are keep cold<50%"), "{text}");
    assert!(text.contains("runs, with 2 combinations in all"), "{text}");
}

#[test]
fn figures_stand_in_the_unit_of_their_bound() {
    let desk = Desk::new();
    let text = desk.says(&format!(
        "recommend {STEP} --keep cold<0.2% --keep p99<2s --vary min-scale=0,12 \
         --vary max-scale=500,600 --budget 6 --seeds 3"
    ));
    let shown = text.lines().find(|line| line.contains("as it is")).unwrap();
    assert!(shown.contains(" % ") && shown.contains(" s "), "{text}");
    // Four were tried, two of which turn two settings; one setting does it.
    assert!(text.lines().last().unwrap().trim() == "--set min-scale=12", "{text}");
    assert!(text.contains("over 3 seeds"), "{text}");
}

#[test]
fn several_seeds_give_intervals_everywhere() {
    let desk = Desk::new();
    let text = desk.says(&format!("run {STEP} --seeds 3 --html r.html"));
    assert!(text.contains("over 3 seeds") && text.contains("95 % interval"), "{text}");
    assert!(desk.read("r.html").contains("Over 3 seeds"));
    let result = desk.json(&format!("run {STEP} --seeds 3 --json -"));
    let p99 = &result["over_seeds"]["figures"]["p99"];
    assert!(p99["low"].as_f64() < p99["mean"].as_f64(), "{p99}");
    assert_eq!(result["over_seeds"]["seeds"], serde_json::json!([1, 2, 3]));
    let alone = desk.json(&format!("run {STEP} --json -"));
    assert_eq!(alone["latency_ms"], result["latency_ms"], "the first of them is the run itself");
    assert!(alone.get("over_seeds").is_none());

    let compare = format!("compare {STEP} --variant target=1 --variant policy=fixed:30 --seeds 3");
    let text = desk.says(&format!("{compare} --csv c.csv --html c.html"));
    assert!(text.starts_with("target=1: as many instance-hours and p99 ±0 ms"), "{text}");
    assert!(text.contains("Student's t"), "{text}");
    assert!(desk.read("c.html").contains("Differences from as it is"));
    let rows = desk.read("c.csv");
    assert!(rows.starts_with("name,requests,lost,") && rows.contains(",p99_low,p99_high"));
    let columns = |line: &str| line.split(',').count();
    assert!(rows.lines().all(|line| columns(line) == columns(rows.lines().next().unwrap())));

    let sweep = format!("sweep {STEP} --vary min-scale=0,5 --seeds 3 --csv s.csv");
    let text = desk.says(&sweep);
    assert!(text.contains('±') && text.contains("over 3 seeds"), "{text}");
    assert!(desk.read("s.csv").contains(",cold_low,cold_high"));
}

#[test]
fn fits_give_options_to_use() {
    let desk = Desk::new();
    desk.file("starts.txt", "1s\n1.2s\n900ms\n");
    let rows = desk.says("traffic --arrivals poisson:20 --duration 60s --csv -");
    desk.file("rows.csv", &rows);
    let text = desk.says("fit --trace rows.csv --start-ups starts.txt");
    assert!(text.contains("--arrivals poisson:"), "{text}");
    assert!(text.contains("--cold-start "), "{text}");
}

#[test]
fn validation_counts_what_failed() {
    let desk = Desk::new();
    let text = desk.says("validate --only zero --requests 1000");
    assert!(text.contains("0 failed"), "{text}");
}
