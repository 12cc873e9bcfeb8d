//! Calls over TLS: the view proves who it is, and may ask for a certificate as well.

use crate::certificates::{Authority, Kind};
use crate::stage::Stage;

#[test]
fn both_ends_of_a_call_prove_who_they_are() {
    let stage = Stage::new();
    stage.sites("");
    let (ours, strange) =
        (Authority::new(&stage.folder(), "ours"), Authority::new(&stage.folder(), "strange"));
    let server = ours.sign("view", "127.0.0.1", Kind::Good);
    let client = ours.sign("edge", "edge.test", Kind::Good);
    let other = strange.sign("other", "edge.test", Kind::Good);
    let (trusted, untrusted) = (ours.file(), strange.file());
    let shown = ["--tls-cert", &server.certificate, "--tls-key", &server.key];
    let asked = ["--calls-client-ca", &trusted];
    let mut view = stage.view(&[shown.as_slice(), &asked].concat());

    let failed = |arguments: &[&str]| {
        stage.edge(stage.calls, arguments).wait_for("the view cannot be called")
    };
    let said = failed(&[]);
    assert!(said.contains("takes no calls") || said.contains("cannot connect"), "{said}");
    let said = failed(&["--call-ca", &untrusted]);
    assert!(said.contains("vouches for the view's certificate"), "{said}");
    assert!(said.contains("TIDEGATE_CALL_CA"), "{said}");
    let said = failed(&["--call-ca", &trusted]);
    assert!(said.contains("the view asks for a client certificate and none was shown"), "{said}");
    let of_other = ["--call-cert", &other.certificate, "--call-key", &other.key];
    let said = failed(&[["--call-ca", &trusted].as_slice(), &of_other].concat());
    assert!(said.contains("--calls-client-ca"), "{said}");
    view.wait_for("a call was refused");

    let own = ["--call-cert", &client.certificate, "--call-key", &client.key];
    let _edge = stage.edge(stage.calls, &[["--call-ca", &trusted].as_slice(), &own].concat());
    let mut view_log = view;
    view_log.wait_for("a site calls");
    view_log.wait_for("the site answers");
}
