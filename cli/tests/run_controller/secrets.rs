//! The secret was read once, at the start: to replace one, every role had to be restarted at the
//! same moment, and whoever came second was refused. Now each role reads its file anew, and a
//! controller takes the secret of before for a while.

use std::path::Path;

use crate::process::{Process, outcome, tidegate};

const OLD: &str = "the-secret-of-before-0123";
const NEW: &str = "the-secret-of-now-4567890";

/// A reporter that shows what the file holds whenever it connects.
fn activator(address: &str, file: &Path) -> Process {
    let mut command = tidegate(&["activator", "--listen", "127.0.0.1:0", "--controller", address]);
    command.env("TIDEGATE_SECRET_FILE", file);
    Process::start(command)
}

fn may_ask(address: &str, secret: &str) -> bool {
    let mut explain = tidegate(&["explain", "--controller", address]);
    outcome(explain.env("TIDEGATE_SECRET", secret)).0 == Some(0)
}

#[test]
fn a_secret_is_replaced_while_both_ends_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let at_controller = folder.path().join("controller");
    let at_client = folder.path().join("client");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("writable");
    write(&at_controller, OLD);
    write(&at_client, NEW);
    let path = at_controller.to_str().expect("text");
    let (mut controller, address) = Process::controller(&["--secret-file", path]);
    assert!(may_ask(&address, OLD) && !may_ask(&address, NEW));

    // What cannot be used is told, and changes nothing.
    write(&at_controller, "short");
    let line = controller.wait_for("new secrets cannot be used, the old ones stay");
    assert!(line.contains("5 characters") && !line.contains("short"), "{line}");
    assert!(may_ask(&address, OLD));

    // A client that has the new one before the controller does is let in once that has it too.
    let mut client = activator(&address, &at_client);
    client.wait_for("the controller refuses us");
    write(&at_controller, NEW);
    controller.wait_for("secrets were replaced");
    client.wait_for("connected to the controller");

    // Whoever comes later with the old one is let in for a while, whoever made one up is not.
    assert!(may_ask(&address, OLD) && may_ask(&address, NEW));
    assert!(!may_ask(&address, "neither-of-the-two-012345"));
    for log in [controller.log(), client.log()] {
        assert!(!log.contains(OLD) && !log.contains(NEW), "{log}");
    }
}

#[test]
fn a_client_shows_what_its_file_holds_when_it_connects() {
    let folder = tempfile::tempdir().expect("a folder");
    let [at_controller, at_client] = ["controller", "client"].map(|name| folder.path().join(name));
    std::fs::write(&at_controller, NEW).expect("writable");
    std::fs::write(&at_client, OLD).expect("writable");
    let path = at_controller.to_str().expect("text");
    let (_controller, address) = Process::controller(&["--secret-file", path]);
    let mut client = activator(&address, &at_client);
    client.wait_for("the controller refuses us");
    std::fs::write(&at_client, NEW).expect("writable");
    client.wait_for("connected to the controller");
}
