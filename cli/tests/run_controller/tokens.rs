//! One secret let its holder do everything: whoever could report for one revision could report for
//! every other, and could order. A token of the secret lets its holder do one thing.

use std::path::Path;

use crate::process::{Process, outcome, tidegate};
use crate::tls::Shown;

const SECRET: &str = "the-secret-of-all-0123456789";

fn token(scope: &str, more: &[&str], file: &Path) -> String {
    let mut command = tidegate(&["token", scope, "--secret-file", file.to_str().expect("text")]);
    let (code, printed) = outcome(command.args(more));
    assert_eq!(code, Some(0), "{printed}");
    assert!(!printed.contains(SECRET));
    printed.trim().to_owned()
}

/// A controller with a route, and the file of its secret.
fn world() -> (tempfile::TempDir, Process, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let [secret, routes] = ["secret", "routes.toml"].map(|name| folder.path().join(name));
    std::fs::write(&secret, SECRET).expect("writable");
    std::fs::write(&routes, "[route.all]\nsplit = { web = 100, till = 0 }\n").expect("writable");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let arguments = ["--secret-file", &text(&secret), "--routes", &text(&routes)];
    let (controller, address) = Process::controller(&arguments);
    (folder, controller, address)
}

#[test]
fn a_token_lets_its_holder_do_one_thing() {
    let (folder, _controller, address) = world();
    let secret = folder.path().join("secret");
    let instance = Shown::plain(&token("revision:prod/web", &[], &secret));
    let namespace = Shown::plain(&token("namespace:prod", &[], &secret));
    let activator = Shown::plain(&token("activator", &[], &secret));
    let questions = token("questions", &["--expires-in", "1h"], &secret);
    let observer = Shown::plain(&questions);

    // The instances of one revision are that and nothing else.
    instance.sidecar_of("web", &address).wait_for("connected to the controller");
    let refused = instance.sidecar_of("till", &address).wait_for("refuses us");
    assert!(refused.contains("cannot report for the revision prod/till"), "{refused}");
    instance.activator(&address).wait_for("where one for an activator is asked for");
    let (code, told) = instance.explain(&address);
    assert!(code == Some(1) && told.contains("where one for questions"), "{code:?} {told}");

    namespace.sidecar_of("till", &address).wait_for("connected to the controller");
    namespace.activator(&address).wait_for("refuses us");

    activator.activator(&address).wait_for("connected to the controller");
    activator.sidecar_of("web", &address).wait_for("refuses us");
    assert_eq!(activator.explain(&address).0, Some(1));

    // Who may ask may not order.
    let (code, told) = observer.explain(&address);
    assert!(code == Some(0) && told.contains("prod/"), "{code:?} {told}");
    let route = |secret: &str, arguments: &[&str]| {
        let all = [&["route", "--controller", address.as_str()], arguments].concat();
        outcome(tidegate(&all).env("TIDEGATE_SECRET", secret))
    };
    assert_eq!(route(&questions, &[]).0, Some(0));
    let shares = ["set", "all", "web=50", "till=50"];
    let (code, told) = route(&questions, &shares);
    assert!(code == Some(1) && told.contains("where one for everything"), "{code:?} {told}");
    let (code, told) = route(SECRET, &shares);
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn what_has_expired_or_was_changed_is_refused_and_told_apart() {
    let (folder, mut controller, address) = world();
    let secret = folder.path().join("secret");
    let expired = Shown::plain(&token("questions", &["--expires-in", "0s"], &secret));
    let (code, told) = expired.explain(&address);
    assert!(code == Some(1) && told.contains("has expired"), "{code:?} {told}");
    let good = token("questions", &[], &secret);
    let more = Shown::plain(&good.replace("questions", "activator"));
    let (code, told) = more.explain(&address);
    assert!(code == Some(1) && told.contains("not of this controller's secret"), "{told}");
    controller.wait_for("the token that was shown");
    let signature = good.rsplit(':').next().expect("the last part");
    assert!(!controller.log().contains(signature) && !controller.log().contains(SECRET));
}

#[test]
fn a_token_is_made_of_a_secret_and_of_a_scope_that_exists() {
    let (folder, _controller, _) = world();
    let secret = folder.path().join("secret");
    let from = |file: &Path, scope: &str| {
        outcome(&mut tidegate(&["token", scope, "--secret-file", file.to_str().expect("text")]))
    };
    let (code, told) = from(&secret, "revision:web");
    assert!(code == Some(2) && told.contains("revision:NAMESPACE/NAME"), "{code:?} {told}");
    let (code, told) = from(&secret, "namespace:caf\u{e9}");
    assert!(code == Some(2) && told.contains("namespace:NAME"), "{code:?} {told}");
    let (code, told) = from(&secret, "namespace:a+b");
    assert!(code == Some(2) && told.contains("letters, digits"), "{code:?} {told}");
    let (code, told) = from(&folder.path().join("nowhere"), "questions");
    assert!(code == Some(2) && told.contains("cannot read the secret file"), "{code:?} {told}");
    assert_eq!(told.matches("No such file").count(), 1, "{told}");
    let of_token = folder.path().join("token");
    std::fs::write(&of_token, token("activator", &[], &secret)).expect("writable");
    let (code, told) = from(&of_token, "questions");
    assert!(code == Some(2) && told.contains("a token is no secret"), "{code:?} {told}");
    let (code, told) = outcome(&mut tidegate(&["token", "questions"]));
    assert!(code == Some(2) && told.contains("--secret-file"), "{code:?} {told}");
}
