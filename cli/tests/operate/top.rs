//! `top`: live on a terminal, however narrow; plain rows anywhere else.

use crate::Desk;
use crate::running::get;
use crate::terminal::Typed;

#[test]
fn elsewhere_than_on_a_terminal_it_prints_rows() {
    let desk = Desk::new();
    let mut web = desk.run("web", &[]);
    web.wait_for("is ready");
    let rows = desk.printed(&["top", "--rounds", "3", "--interval", "100ms"]);
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines.len(), 4, "{rows}");
    assert!(lines[0].starts_with("TIME") && lines[0].contains("REQ/S"), "{rows}");
    assert!(lines[1..].iter().all(|line| line.contains("Z  web ")), "{rows}");
    assert!(!rows.contains('\x1b'));
    let json = desk.printed(&["top", "web", "--rounds", "2", "--interval", "100ms", "--json"]);
    assert_eq!(json.lines().count(), 2);
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}

#[test]
fn on_a_narrow_terminal_keys_sort_open_and_leave() {
    let desk = Desk::new();
    let mut web = desk.run("web", &[]);
    web.wait_for("is ready");
    assert_eq!(get(&web.address()).expect("a response").status, 200);
    let mut top = Typed::start(desk.command(&["top", "--interval", "200ms"]), 60, 24);
    top.wait_for("1 service, by name");
    top.wait_for("> web");
    top.press("w");
    top.wait_for("by requests that wait");
    top.press("\r");
    top.wait_for("requests a second: ");
    top.wait_for("instances that are ready: ");
    top.press("\x7f");
    top.press("q");
    assert_eq!(top.wait_for_exit(), Some(0));
    top.wait_for("\x1b[?1049l");
    let shown = top.shown();
    assert!(shown.contains("\x1b[?1049h"), "it has a screen of its own");
    for line in shown.split("\r\n") {
        let visible = line.split('\x1b').next_back().unwrap_or_default();
        assert!(visible.chars().count() <= 64, "{line:?}");
    }
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}
