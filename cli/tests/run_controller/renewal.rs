//! Certificates were read once, at the start: a controller whose certificate had been renewed went
//! on with the one that expired, and had to be restarted. Now both ends read their files again, and
//! files that cannot be used change nothing.

use crate::certificates::Kind;
use crate::tls::{Asks, Stage, takes_part};

#[test]
fn certificates_are_renewed_while_both_ends_run() {
    let stage = Stage::new();
    let (mut controller, address) = stage.controller(&stage.server, Asks::Certificates);
    let shown = stage.trusting(&stage.authority, Some(&stage.client));
    takes_part(&shown, &address);

    // What cannot be used is told, and changes nothing.
    let good = std::fs::read(&stage.server.key).expect("readable");
    std::fs::write(&stage.server.key, "no key").expect("writable");
    let line = controller.wait_for("the old ones stay");
    assert!(line.contains("server.key"), "{line}");
    takes_part(&shown, &address);
    std::fs::write(&stage.server.key, good).expect("writable");

    // A client that runs, and cannot connect with what it has.
    let expired = stage.authority.sign("client", "client.test", Kind::Expired);
    let mut sidecar = stage.trusting(&stage.authority, Some(&expired)).sidecar(&address);
    sidecar.wait_for("client.crt has expired");
    stage.authority.sign("client", "client.test", Kind::Good);
    sidecar.wait_for("connected to the controller");

    // The controller shows another certificate from now on, here one that is for somebody else.
    stage.authority.sign("server", "elsewhere.test", Kind::Good);
    controller.wait_for("certificates were replaced");
    let (code, text) = shown.explain(&address);
    assert!(code == Some(1) && text.contains("elsewhere.test"), "{code:?} {text}");
}
