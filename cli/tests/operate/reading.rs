//! What was written and what happened, from the beginning and from now on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::Desk;
use crate::running::get;

#[test]
fn lines_of_every_instance_are_there_for_whoever_comes_later() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["--min", "2", "--quiet"]);
    web.wait_for("web-1 is ready");
    web.wait_for("web-2 is ready");
    let all = desk.printed(&["logs"]);
    assert!(all.contains("web-1 | pid ") && all.contains("web-2 | pid "), "{all}");
    let one = desk.printed(&["logs", "web", "--instance", "web-2", "--timestamps"]);
    assert!(one.contains("Z web-2 | pid ") && !one.contains("web-1"), "{one}");
    let json = desk.printed(&["logs", "--json"]);
    for line in json.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&line["service"], &line["missed"]), (&"web".into(), &0.into()));
    }
    assert!(desk.printed(&["logs", "--since", "0s"]).is_empty());
    let wrong = desk.tidegate(&["logs", "--instance", "web-9"]);
    assert_eq!(wrong.code, Some(3));
    assert!(wrong.err.contains("there are: web-1, web-2"), "{}", wrong.err);

    let mut follower =
        desk.command(&["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("pid ") && next().contains("pid "));
    desk.printed(&["scale", "web", "3"]);
    assert!(next().contains("web-3 | pid "));
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
    assert!(follower.wait().expect("it ends").success(), "it ends with what it follows");
}

/// Lines that an app writes before it serves anything.
const WRITTEN: u64 = 30_000;

#[test]
fn an_app_that_writes_much_does_not_wait_and_what_is_not_kept_is_counted() {
    let desk = Desk::new();
    let app = format!("seq 1 {WRITTEN}; exec \"$0\" demo --app --start-up 0ms");
    let mut web = desk.run_command(&[
        "--listen",
        "0",
        "--name",
        "web",
        "--quiet",
        "--",
        "sh",
        "-c",
        &app,
        env!("CARGO_BIN_EXE_tidegate"),
    ]);
    web.wait_for("is ready");
    let (mut shown, mut missed) = (0, 0);
    for line in desk.printed(&["logs", "--json"]).lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        missed += line["missed"].as_u64().expect("a number");
        let is_counted = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        shown += u64::from(line["text"].as_str().is_some_and(is_counted));
    }
    assert!(shown > 1_000 && missed > 0, "{shown} shown, {missed} missed");
    assert_eq!(shown + missed, WRITTEN);
    let text = desk.printed(&["logs"]);
    assert!(text.starts_with(&format!("web-1 | … {missed} lines left out\n")), "{missed}");
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}

#[test]
fn events_say_what_happened_and_why() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["--initial", "0"]);
    assert_eq!(get(&web.address()).expect("a response").status, 200);
    web.wait_for("is ready");
    let told = desk.printed(&["events"]);
    assert!(told.contains("  web  0 -> 1 instance. 1 instance: "), "{told}");
    assert!(told.contains("  web  web-1 is ready after "), "{told}");
    let kinds: Vec<String> = desk
        .printed(&["events", "web", "--json"])
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(event["service"], "web");
            event["kind"].as_str().expect("a word").to_owned()
        })
        .collect();
    for kind in ["scaled", "starting", "ready"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}

#[test]
fn the_only_service_is_explained_without_its_name() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["--min", "1"]);
    web.wait_for("is ready");
    let last = desk.printed(&["explain", "--last", "3"]);
    assert!(last.starts_with("local/web: "), "{last}");
    let now = desk.printed(&["explain", "--at", "0s"]);
    assert!(now.contains("Z  local/web  1  "), "{now}");
    let before = desk.tidegate(&["explain", "--at", "1h"]);
    assert_eq!(before.code, Some(1));
    assert!(before.err.contains("nothing is kept of what had been decided at"), "{}", before.err);
    let mut follower =
        desk.command(&["explain", "--follow"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("a decision").expect("text");
        assert!(line.contains("local/web"), "{line}");
    }
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}
