//! Nobody takes part in a run who was not started by it: any process of the machine once could,
//! since the controller asked nobody who they were, and took a reporter's word for where an app is.
//! And an app, which runs whatever its user wants to try, is told no secret.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::running::{Running, get, kill};
use crate::{app, running};

/// Somebody else: `nobody`, as Linux has it.
const STRANGER: &str = "65534";

/// What could tell an app, or a sidecar of a run, how we show ourselves to others.
const OF_OTHERS: [(&str, &str); 5] = [
    ("TIDEGATE_SECRET", "a-secret-of-elsewhere-0123456789"),
    ("TIDEGATE_SECRET_FILE", "/elsewhere/secret"),
    ("TIDEGATE_CONTROLLER_CA", "/elsewhere/ca.crt"),
    ("TIDEGATE_CONTROLLER_CERT", "/elsewhere/tls.crt"),
    ("TIDEGATE_CONTROLLER_KEY", "/elsewhere/tls.key"),
];

/// A run whose folder for `explain` is in `runtime`.
fn start(runtime: &Path, variables: &[(&str, &str)]) -> Running {
    let runtime = runtime.to_str().expect("text");
    let variables = [&[("XDG_RUNTIME_DIR", runtime)], variables].concat();
    let arguments = ["--listen", "0", "--name", "web"].map(str::to_owned).into_iter().chain(app());
    let mut run = Running::start_with(arguments.collect(), &variables);
    run.wait_for("web-1 is ready");
    run
}

fn presence(runtime: &Path, run: &Running) -> (PathBuf, serde_json::Value) {
    let file = runtime.join(format!("tidegate/run-{}.json", run.pid()));
    let text = std::fs::read(&file).expect("it announced itself");
    (file, serde_json::from_slice(&text).expect("JSON"))
}

fn of_process(pid: u32, what: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(|entry| String::from_utf8_lossy(entry).into_owned())
        .collect()
}

/// The queue-proxy of the only instance.
fn sidecar(run: &Running) -> u32 {
    let is_sidecar = |pid: &u32| of_process(*pid, "cmdline").contains(&"queue-proxy".to_owned());
    run.descendants().into_iter().find(is_sidecar).expect("there is one")
}

#[test]
fn an_app_is_told_no_secret_and_a_sidecar_that_of_the_run_only() {
    let runtime = tempfile::tempdir().expect("a folder");
    let mut run = start(runtime.path(), &OF_OTHERS);
    let (_, presence) = presence(runtime.path(), &run);
    let secret = presence["secret"].as_str().expect("there is one");
    let (app, sidecar) = (run.app_pid(), sidecar(&run));
    let environment = of_process(app, "environ");
    assert!(environment.iter().any(|entry| entry.starts_with("PORT=")), "{environment:?}");
    for entry in &environment {
        let (name, value) = entry.split_once('=').unwrap_or_default();
        assert!(!value.contains(secret) && !value.contains("elsewhere"), "the app has {name}");
        assert!(!OF_OTHERS.iter().any(|(other, _)| *other == name), "the app has {name}");
    }
    let environment = of_process(sidecar, "environ");
    assert!(environment.contains(&format!("TIDEGATE_SECRET={secret}")));
    for entry in &environment {
        assert!(!entry.contains("elsewhere"), "the sidecar has {entry}");
    }
    for pid in [run.pid(), app, sidecar, run.child_called("tg-watchman")] {
        let arguments = of_process(pid, "cmdline").join(" ");
        assert!(!arguments.contains(secret), "everybody can read {arguments}");
    }
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(!run.output().contains(secret));
}

/// Runs a command as somebody else.
fn as_stranger(command: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut stranger = Command::new("setpriv");
    stranger
        .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"])
        .args(command)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    stranger
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// A process of a stranger that is killed with its test; returns what it wrote until a line had
/// `awaited` in it.
fn told(mut command: Command, awaited: &str) -> String {
    use std::io::{BufRead, BufReader};
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut text = String::new();
    for line in lines.map_while(Result::ok) {
        text.push_str(&line);
        text.push('\n');
        if line.contains(awaited) {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    text
}

#[test]
fn another_user_of_the_machine_takes_no_part() {
    let may = as_stranger(&["true"], &[]).output().is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("left out: only root, with setpriv, can be somebody else");
        return;
    }
    // Where the stranger can reach our program, too.
    let open = tempfile::tempdir().expect("a folder");
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(open.path(), everybody).expect("it is ours");
    let program = open.path().join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_tidegate"), &program).expect("there is room");
    let program = program.to_str().expect("text");

    let runtime = open.path();
    let mut run = start(runtime, &[]);
    let (file, presence) = presence(runtime, &run);
    let controller = presence["controller"].as_str().expect("an address");
    let secret = presence["secret"].as_str().expect("there is one");

    // Nothing that the stranger can read has the secret in it.
    let environ = format!("/proc/{}/environ", sidecar(&run));
    for path in [file.to_str().expect("text"), &environ] {
        let output = as_stranger(&["cat", path], &[]).output().expect("it starts");
        assert!(!output.status.success() && !text(&output).contains(secret), "{path} is readable");
    }

    // Without it nobody is told anything, takes requests, or speaks for an app.
    let ours = ("TIDEGATE_CONTROLLER", controller);
    let guessed = ("TIDEGATE_SECRET", "a-guess-of-the-secret-0123456789");
    for shown in [&[ours][..], &[ours, guessed]] {
        let asked = as_stranger(&[program, "explain"], shown).output().expect("it starts");
        assert!(!asked.status.success() && !text(&asked).contains("local/web"), "{}", text(&asked));
        let activator = as_stranger(&[program, "activator", "--listen", "127.0.0.1:0"], shown);
        assert!(told(activator, "the controller refuses us").contains("(Unauthenticated)"));
        for name in ["web-1", "web-2"] {
            let identity = [
                ("CONTAINER_CONCURRENCY", "0"),
                ("USER_PORT", "1"),
                ("QUEUE_SERVING_PORT", "0"),
                ("QUEUE_SERVING_TLS_PORT", ""),
                ("REVISION_TIMEOUT_SECONDS", "300"),
                ("SERVING_LOGGING_CONFIG", ""),
                ("SERVING_LOGGING_LEVEL", "info"),
                ("SERVING_NAMESPACE", "local"),
                ("SERVING_CONFIGURATION", "web"),
                ("SERVING_REVISION", "web"),
                ("SERVING_POD", name),
                ("SERVING_POD_IP", "127.0.0.1"),
                ("TIDEGATE_ADMIN_PORT", "off"),
                ("TIDEGATE_STATS_PORT", "off"),
                ("TIDEGATE_METRICS_PORT", "off"),
                ("TIDEGATE_LISTEN_HOST", "127.0.0.1"),
            ];
            let rogue = as_stranger(&[program, "queue-proxy"], &[shown, &identity].concat());
            let said = told(rogue, "the controller refuses us");
            assert!(said.contains("(Unauthenticated)"), "{said}");
        }
    }

    // All that time the service had one instance, which is ours.
    for _ in 0..20 {
        assert_eq!(get(&run.address()).expect("a response").status, 200);
    }
    assert!(!run.output().contains("web-2"), "{}", run.output());
    assert!(running::is_alive(run.app_pid()));
    kill(run.pid(), "INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.output().contains(" 20 requests in "), "{}", run.output());
}
