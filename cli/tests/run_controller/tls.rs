//! A controller over TLS, with everybody who speaks to one, as processes: who fits takes part, and
//! who does not is refused in words that say who is wrong, what was expected and what to do, at
//! both ends. Certificates that did not fit once left nothing but `(Unavailable)` in the client's
//! log, and in the controller's not a word.

use std::process::Command;

use crate::certificates::{Authority, Kind, Pair};
use crate::process::{Process, outcome, tidegate};

const SECRET: &str = "a-secret-of-the-tests-0123456789";

/// Where certificates are, with those that everything has that fits.
pub(crate) struct Stage {
    _folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    stranger: Authority,
    pub(crate) server: Pair,
    pub(crate) client: Pair,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "authority");
        let stranger = Authority::new(folder.path(), "stranger");
        let server = authority.sign("server", "127.0.0.1", Kind::Good);
        let client = authority.sign("client", "client.test", Kind::Good);
        Self { _folder: folder, authority, stranger, server, client }
    }

    /// A controller that shows `pair`, asks for client certificates if `mutual`, and for the secret
    /// in any case.
    pub(crate) fn controller(&self, pair: &Pair, asks: Asks) -> (Process, String) {
        let mut arguments = vec!["controller", "--listen", "127.0.0.1:0"];
        arguments.extend(["--tls-cert", &pair.certificate, "--tls-key", &pair.key]);
        let authority = self.authority.file();
        if asks == Asks::Certificates {
            arguments.extend(["--tls-client-ca", &authority]);
        }
        let mut command = tidegate(&arguments);
        command.env("TIDEGATE_SECRET", SECRET);
        let mut controller = Process::start(command);
        let line = controller.wait_for("listening on ");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        (controller, address)
    }

    pub(crate) fn trusting(&self, authority: &Authority, shown: Option<&Pair>) -> Shown {
        let mut shown_variables = vec![("TIDEGATE_CONTROLLER_CA", authority.file())];
        if let Some(Pair { certificate, key }) = shown {
            shown_variables.push(("TIDEGATE_CONTROLLER_CERT", certificate.clone()));
            shown_variables.push(("TIDEGATE_CONTROLLER_KEY", key.clone()));
        }
        Shown(shown_variables)
    }
}

/// What a controller asks for beside the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Certificates,
}

/// What clients trust and show, as their environment has it.
pub(crate) struct Shown(Vec<(&'static str, String)>);

impl Shown {
    /// A secret, or a token of one, over a connection without TLS.
    pub(crate) fn plain(secret: &str) -> Self {
        Self(vec![("TIDEGATE_SECRET", secret.to_owned())])
    }

    fn with(&self, mut command: Command) -> Command {
        command
            .env("TIDEGATE_SECRET", SECRET)
            .envs(self.0.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn sidecar(&self, controller: &str) -> Process {
        self.sidecar_of("web", controller)
    }

    /// A sidecar of this revision of the namespace `prod`.
    pub(crate) fn sidecar_of(&self, revision: &str, controller: &str) -> Process {
        let mut command = self.with(tidegate(&["queue-proxy"]));
        command.envs([
            ("CONTAINER_CONCURRENCY", "1"),
            ("USER_PORT", "1"),
            ("QUEUE_SERVING_PORT", "0"),
            ("QUEUE_SERVING_TLS_PORT", ""),
            ("REVISION_TIMEOUT_SECONDS", "300"),
            ("SERVING_LOGGING_CONFIG", ""),
            ("SERVING_LOGGING_LEVEL", "info"),
            ("SERVING_NAMESPACE", "prod"),
            ("SERVING_CONFIGURATION", "web"),
            ("SERVING_REVISION", revision),
            ("SERVING_POD", "web-1"),
            ("SERVING_POD_IP", "127.0.0.1"),
            ("TIDEGATE_ADMIN_PORT", "off"),
            ("TIDEGATE_STATS_PORT", "off"),
            ("TIDEGATE_METRICS_PORT", "off"),
            ("TIDEGATE_LISTEN_HOST", "127.0.0.1"),
            ("TIDEGATE_CONTROLLER", controller),
        ]);
        Process::start(command)
    }

    pub(crate) fn activator(&self, controller: &str) -> Process {
        let arguments = ["activator", "--listen", "127.0.0.1:0", "--controller", controller];
        Process::start(self.with(tidegate(&arguments)))
    }

    pub(crate) fn explain(&self, controller: &str) -> (Option<i32>, String) {
        outcome(&mut self.with(tidegate(&["explain", "--controller", controller])))
    }
}

/// Reporters of both kinds are connected, and `explain` tells of their revision.
pub(crate) fn takes_part(shown: &Shown, controller: &str) {
    let (mut sidecar, mut activator) = (shown.sidecar(controller), shown.activator(controller));
    sidecar.wait_for("connected to the controller");
    activator.wait_for("connected to the controller");
    let (code, text) = shown.explain(controller);
    assert!(code == Some(0) && text.contains("prod/web"), "{code:?} {text}");
}

/// Each part of a message is in a line of the client's log and of what `explain` says, and of the
/// server's log.
fn is_refused(shown: &Shown, controller: &mut Process, address: &str, told: [&[&str]; 2]) {
    let [by_client, by_server] = told;
    let mut sidecar = shown.sidecar(address);
    let line = sidecar.wait_for(by_client[0]);
    assert!(by_client.iter().all(|part| line.contains(part)), "{by_client:?} in {line}");
    assert!(!sidecar.log().contains("connected to the controller"), "{}", sidecar.log());
    let line = controller.wait_for(by_server[0]);
    assert!(by_server.iter().all(|part| line.contains(part)), "{by_server:?} in {line}");
    let (code, text) = shown.explain(address);
    assert_eq!(code, Some(1), "{text}");
    assert!(!text.contains('…'), "it is whole: {text}");
    assert!(by_client.iter().all(|part| text.contains(part)), "{by_client:?} in {text}");
    let all = [sidecar.log(), controller.log(), text].concat();
    assert!(!all.contains(SECRET) && !all.contains("PRIVATE KEY"), "{all}");
}

#[test]
fn a_certificate_and_the_secret_let_everybody_take_part() {
    let stage = Stage::new();
    let (_controller, address) = stage.controller(&stage.server, Asks::Nothing);
    let shown = stage.trusting(&stage.authority, None);
    takes_part(&shown, &address);
    takes_part(&shown, &format!("https://{address}"));
    // A certificate that nobody asked for does no harm.
    takes_part(&stage.trusting(&stage.authority, Some(&stage.client)), &address);
}

#[test]
fn certificates_of_both_ends_let_everybody_take_part() {
    let stage = Stage::new();
    let (_controller, address) = stage.controller(&stage.server, Asks::Certificates);
    takes_part(&stage.trusting(&stage.authority, Some(&stage.client)), &address);
}

#[test]
fn the_secret_is_asked_for_over_tls_as_well() {
    let stage = Stage::new();
    let (mut controller, address) = stage.controller(&stage.server, Asks::Certificates);
    let Shown(mut variables) = stage.trusting(&stage.authority, Some(&stage.client));
    variables.push(("TIDEGATE_SECRET", "another-secret-0123456789".to_owned()));
    let by_client = ["is not this controller's", "TIDEGATE_SECRET", "TIDEGATE_SECRET_FILE"];
    let told: [&[&str]; 2] = [&by_client, &["a client was refused", "is not this controller's"]];
    is_refused(&Shown(variables), &mut controller, &address, told);
}

#[test]
fn a_controller_of_another_authority_is_not_told_anything() {
    let stage = Stage::new();
    let (mut controller, address) = stage.controller(&stage.server, Asks::Nothing);
    let stranger = stage.stranger.file();
    let by_client =
        ["nobody in", &*stranger, "vouches for the controller's", "TIDEGATE_CONTROLLER_CA"];
    let by_server = ["does not know who vouches for our", "server.crt", "TIDEGATE_CONTROLLER_CA"];
    let shown = stage.trusting(&stage.stranger, None);
    is_refused(&shown, &mut controller, &address, [&by_client, &by_server]);
}

#[test]
fn a_controller_whose_certificate_is_not_valid_now_is_not_told_anything() {
    let stage = Stage::new();
    for (kind, said) in [(Kind::Expired, "has expired "), (Kind::NotYetValid, "is not valid yet")] {
        let pair = stage.authority.sign("other", "127.0.0.1", kind);
        let (mut controller, address) = stage.controller(&pair, Asks::Nothing);
        let by_client = ["the controller's certificate", said, "clock"];
        let by_server = ["the client says that our", "other.crt", "has expired", "renew it"];
        let shown = stage.trusting(&stage.authority, None);
        is_refused(&shown, &mut controller, &address, [&by_client, &by_server]);
    }
}

#[test]
fn a_controller_of_another_name_is_not_told_anything() {
    let stage = Stage::new();
    let pair = stage.authority.sign("other", "elsewhere.test", Kind::Good);
    let (mut controller, address) = stage.controller(&pair, Asks::Nothing);
    let by_client = ["is for", "elsewhere.test", "not for 127.0.0.1", "name the controller as"];
    let by_server = ["the client refuses our certificate", "other.crt", "another host name"];
    let shown = stage.trusting(&stage.authority, None);
    is_refused(&shown, &mut controller, &address, [&by_client, &by_server]);
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let stage = Stage::new();
    let (mut controller, address) = stage.controller(&stage.server, Asks::Certificates);
    let set = ["TIDEGATE_CONTROLLER_CERT", "TIDEGATE_CONTROLLER_KEY"];
    let by_client = ["asks for a client certificate and none was shown", set[0], set[1]];
    let by_server = ["no client certificate was shown", &*stage.authority.file(), set[0], set[1]]
        .map(str::to_owned);
    let by_server = by_server.each_ref().map(String::as_str);
    let shown = stage.trusting(&stage.authority, None);
    is_refused(&shown, &mut controller, &address, [&by_client, &by_server]);
}

#[test]
fn a_client_whose_certificate_is_not_good_is_refused() {
    let stage = Stage::new();
    let foreign = stage.stranger.sign("foreign", "client.test", Kind::Good);
    let expired = stage.authority.sign("expired", "client.test", Kind::Expired);
    let authority = stage.authority.file();
    let unknown: [&[&str]; 2] = [
        &["does not know who vouches for our certificate", "foreign.crt", "--tls-client-ca"],
        &["nobody in", &authority, "vouches for the client's", "TIDEGATE_CONTROLLER_CERT"],
    ];
    let late: [&[&str]; 2] = [
        &["says that our certificate", "expired.crt", "has expired", "renew it"],
        &["the client's certificate has expired", "renew it"],
    ];
    for (pair, told) in [(foreign, unknown), (expired, late)] {
        let (mut controller, address) = stage.controller(&stage.server, Asks::Certificates);
        let shown = stage.trusting(&stage.authority, Some(&pair));
        is_refused(&shown, &mut controller, &address, told);
    }
}

#[test]
fn whoever_speaks_no_tls_is_told_that_it_is_spoken() {
    let stage = Stage::new();
    let (mut controller, address) = stage.controller(&stage.server, Asks::Nothing);
    let by_client = ["what answers there speaks TLS", "https://", "TIDEGATE_CONTROLLER_CA"];
    let by_server = ["the client does not speak TLS", "https://", "TIDEGATE_CONTROLLER_CA"];
    is_refused(&Shown(Vec::new()), &mut controller, &address, [&by_client, &by_server]);
}

#[test]
fn whoever_speaks_tls_is_told_that_it_is_not_spoken() {
    let stage = Stage::new();
    let (mut controller, address) = Process::controller(&[]);
    let by_client = ["does not speak TLS", "--tls-cert", "http://", "TIDEGATE_CONTROLLER_CA"];
    let by_server = ["the client speaks TLS and this port does not", "--tls-cert", "http://"];
    let shown = stage.trusting(&stage.authority, None);
    is_refused(&shown, &mut controller, &address, [&by_client, &by_server]);
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let stage = Stage::new();
    let other = stage.authority.sign("other", "127.0.0.1", Kind::Good);
    let (certificate, key) = (&*stage.server.certificate, &*stage.server.key);
    for (arguments, expected) in [
        (["--tls-cert", certificate, "--tls-key", &other.key], "other.key is not that of the"),
        (["--tls-cert", "/no/such.crt", "--tls-key", key], "/no/such.crt"),
        (["--tls-cert", key, "--tls-key", key], "no certificate in it"),
    ] {
        let all = [&["controller", "--listen", "127.0.0.1:0"], &arguments[..]].concat();
        let (code, text) = outcome(&mut tidegate(&all));
        assert!(code == Some(2) && text.contains(expected), "{code:?} {text}");
    }
}
