//! Services are found without an address, and what is not there is said with an exit code.

use std::os::unix::fs::MetadataExt;

use crate::Desk;
use crate::running::kill;

#[test]
fn where_nothing_runs_every_verb_says_so() {
    let desk = Desk::new();
    for arguments in [
        &["ps"][..],
        &["ps", "--json"],
        &["top"],
        &["logs"],
        &["logs", "-f", "web"],
        &["events"],
        &["restart"],
        &["scale", "3"],
        &["stop"],
        &["stop", "--all"],
    ] {
        let said = desk.tidegate(arguments);
        assert_eq!(said.code, Some(3), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("no service runs here"), "{}", said.err);
        assert!(said.out.is_empty());
    }
}

#[test]
fn what_runs_is_listed_and_a_wrong_name_is_answered_with_the_right_one() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["-c", "4"]);
    web.wait_for("is ready");
    let (address, pid) = (web.address(), web.pid());
    let listed = desk.printed(&["ps"]);
    assert!(listed.starts_with("SERVICE"), "{listed}");
    assert!(listed.contains(&address) && listed.contains(&pid.to_string()), "{listed}");
    let service = desk.service("web");
    assert_eq!(service["pid"], pid);
    assert_eq!((&service["limit"], &service["declared"]["max"]), (&4.0.into(), &10.into()));
    let shown = desk.printed(&["ps", "web"]);
    assert!(shown.contains("web-1") && shown.contains("limit 4"), "{shown}");

    let wrong = desk.tidegate(&["ps", "wbe"]);
    assert_eq!(wrong.code, Some(3));
    assert!(wrong.err.contains("running are: web; did you mean `web`?"), "{}", wrong.err);

    let mut api = desk.run("api", &[]);
    api.wait_for("is ready");
    let which = desk.tidegate(&["logs"]);
    assert_eq!(which.code, Some(2));
    assert!(which.err.contains("say which: api, web"), "{}", which.err);
    let mut twin = desk.run("web", &[]);
    twin.wait_for("is ready");
    let which = desk.tidegate(&["restart", "web"]);
    assert_eq!(which.code, Some(2));
    let full = format!("web@{pid}");
    assert!(which.err.contains(&full), "{}", which.err);
    assert_eq!(desk.service(&full)["pid"], pid);

    for mut run in [web, api, twin] {
        run.signal("INT");
        assert_eq!(run.wait_for_exit(), Some(0));
    }
    assert_eq!(desk.tidegate(&["ps"]).code, Some(3));
}

#[test]
fn the_socket_is_its_users_alone_and_what_a_killed_run_left_is_removed() {
    let desk = Desk::new();
    let mut web = desk.run("web", &[]);
    web.wait_for("is ready");
    let folder = desk.path().join("tidegate");
    let socket = folder.join(format!("run-{}.sock", web.pid()));
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").mode() & 0o777;
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    kill(web.pid(), "KILL");
    web.wait_for_exit();
    assert!(socket.exists(), "nobody was left to remove it");
    assert_eq!(desk.tidegate(&["ps"]).code, Some(3));
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_said_and_does_no_harm() {
    let desk = Desk::new();
    let long = desk.path().join("x".repeat(120));
    std::fs::create_dir(&long).expect("made");
    let folder = long.to_str().expect("a name");
    let app = ["--", "sh", "-c", crate::APP, env!("CARGO_BIN_EXE_tidegate")];
    let arguments = ["--listen", "0"].iter().chain(&app).map(|word| (*word).to_owned()).collect();
    let mut run = crate::Running::start_with(arguments, &[("XDG_RUNTIME_DIR", folder)]);
    run.wait_for("set XDG_RUNTIME_DIR to a folder with a shorter path");
    run.wait_for("is ready");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}
