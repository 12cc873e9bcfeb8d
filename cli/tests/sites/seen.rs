//! All sites are seen, through a view and without one.

use serde_json::Value;

use crate::process::{outcome, tidegate};
use crate::stage::{Stage, is_now, reserved, revision, silent};

#[test]
fn a_view_shows_who_is_dialled_who_calls_and_who_is_dead() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    let dead = format!("[dead]\ncontroller = \"{}\"\n", reserved());
    stage.sites(&(section + &dead));
    let _view = stage.view(&[]);
    // Its own port asks for a secret that the view has not: it is seen by its call alone.
    let _edge = stage.edge(stage.calls, &[]);
    let listed = stage.listed_when(|all| {
        let is_decided = revision(all, "edge", "cart").is_some_and(|cart| cart["desired"] != -1);
        is_decided && is_now(all, "paris", "web") && silent(all, "dead").is_some()
    });
    let dead = silent(&listed, "dead").expect("it is dead");
    assert!(dead["since_unix_ms"].as_i64().is_some_and(|since| since > 0), "{dead}");
    assert!(
        dead["why"].as_str().is_some_and(|why| why.contains("no controller answers")),
        "{dead}"
    );
    assert_eq!(dead["told_unix_ms"], Value::Null);

    let view = stage.questions.to_string();
    let ask = |arguments: &[&str]| {
        let all = [arguments, &["--controller", &view]].concat();
        outcome(&mut tidegate(&all))
    };
    let (code, table) = ask(&["explain"]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.starts_with("SITE   REVISION"), "{table}");
    assert!(table.contains("edge   shop/cart") && table.contains("paris  prod/web"), "{table}");
    assert!(table.contains("\ndead: no answer since 20"), "{table}");

    let (code, one) = ask(&["explain", "edge:shop/cart", "--json"]);
    let one: Value = serde_json::from_str(one.trim()).expect("one decision");
    assert_eq!((code, &one["site"], &one["name"]), (Some(0), &"edge".into(), &"cart".into()));
    assert!(one["explanation"].is_object(), "{one}");
    let (code, none) = ask(&["explain", "dead:prod/web"]);
    assert!(code == Some(1) && none.contains("dead: no answer since"), "{none}");

    let (code, top) = ask(&["top", "--rounds", "2", "--interval", "300ms"]);
    assert_eq!(code, Some(0), "{top}");
    assert_eq!(top.matches("shop/cart").count(), 2, "{top}");
    assert_eq!(top.matches("dead: no answer since").count(), 2, "{top}");
    let (_, of_one) = ask(&["top", "--rounds", "1", "--site", "paris"]);
    assert!(of_one.contains("prod/api") && !of_one.contains("shop/cart"), "{of_one}");
    let (_, json) = ask(&["top", "--rounds", "1", "--json"]);
    assert!(json.lines().all(|line| {
        serde_json::from_str::<Value>(line).is_ok_and(|line| line["site"].is_string())
    }));
}

#[test]
fn sites_of_a_file_are_asked_without_a_view() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    let sites = stage.sites(&section);
    let (code, table) = outcome(&mut tidegate(&["explain", "--sites", &sites]));
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("paris  prod/web"), "{table}");
    assert!(
        table.contains("edge: no answer since") && table.contains("it calls a view"),
        "{table}"
    );
    let (code, one) = outcome(&mut tidegate(&["explain", "--sites", &sites, "paris:prod/web"]));
    assert!(code == Some(0) && one.starts_with("paris:prod/web: 0 ready"), "{one}");
    let (code, top) = outcome(&mut tidegate(&["top", "--sites", &sites, "--rounds", "1"]));
    assert!(code == Some(0) && top.contains("prod/api"), "{top}");
}

#[test]
fn one_controller_is_told_of_as_ever() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    let address = section.split('"').nth(1).expect("an address");
    let secret = stage.path("paris.secret");
    let ask = |arguments: &[&str]| {
        let shown = ["--controller", address, "--secret-file", &secret];
        outcome(&mut tidegate(&[arguments, &shown].concat()))
    };
    let (_, table) = ask(&["explain"]);
    assert!(table.starts_with("REVISION  WANTED  READY  IN FLIGHT  WAITING  WHY\n"), "{table}");
    let (_, json) = ask(&["explain", "--json"]);
    assert!(!json.contains("site") && !json.contains("is_old"), "{json}");
    let (code, top) = ask(&["top", "--rounds", "1"]);
    assert!(code == Some(0) && top.contains("REVISION") && !top.contains("SITE"), "{top}");
}
