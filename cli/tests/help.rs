//! Help, examples, completions and manual: they are there for every verb, and they are true.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "help/verbs.rs"]
mod verbs;

use verbs::VERBS;

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(50);

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How long an example may run before it is stopped: what has not failed by then was typed
/// right. None of them has to come to its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Examples that are tried at the same time: most of them wait.
const AT_ONCE: usize = 6;

fn tidegate(line: &str) -> Output {
    Command::new(TIDEGATE).args(line.split_whitespace()).output().unwrap()
}

fn says(line: &str) -> String {
    let output = tidegate(line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn short_help_is_short_and_long_help_has_examples() {
    for verb in VERBS {
        let (short, long) = (says(&format!("{verb} -h")), says(&format!("{verb} --help")));
        assert!(short.len() < long.len(), "{verb}");
        assert!(short.lines().count() <= 45, "{verb}: {} lines", short.lines().count());
        assert!(long.contains("Usage: tidegate"), "{verb}: {long}");
        let has_examples = long.contains("\nExamples:\n");
        assert!(has_examples || verb == "queue-proxy", "{verb}");
    }
}

#[test]
fn options_stand_under_the_heading_they_belong_to() {
    for (verb, option, heading) in [
        ("sim compare", "--json", "Answers:"),
        ("sim compare", "--price", "Model:"),
        ("sim compare", "--quiet", "Answers:"),
        ("sim fit", "--json", "Answers:"),
        ("sim fit", "--seed", "Options:"),
        ("sim traffic", "--csv", "Answers:"),
        ("sim traffic", "--seed", "Options:"),
        ("sim traffic", "--trace", "Traffic:"),
        ("sim run", "--policy", "Model:"),
    ] {
        let help = says(&format!("{verb} --help"));
        let mut under = "";
        for line in help.lines() {
            if !line.starts_with(' ') && line.ends_with(':') {
                under = line;
            }
            let is_it = line.trim_start().starts_with('-')
                && line.split_whitespace().any(|word| word == option);
            assert!(!is_it || under == heading, "{verb} {option} stands under {under}");
        }
        assert!(help.contains(option), "{verb} {option}");
    }
}

/// The commands at the end of all help texts.
fn examples() -> Vec<String> {
    let mut found = Vec::new();
    for verb in VERBS {
        let help = says(&format!("{verb} --help"));
        let Some((_, examples)) = help.split_once("\nExamples:\n") else { continue };
        let commands = examples.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        found.extend(commands.map(str::to_owned));
    }
    found.sort();
    found.dedup();
    found
}

/// A folder with everything that examples name.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    let log: String = (0..120)
        .map(|second| {
            let (minute, second) = (second / 60, second % 60);
            format!(
                "10.0.0.1 - - [25/Nov/2026:10:{minute:02}:{second:02} +0000] \
                 \"GET / HTTP/1.1\" 200 512\n"
            )
        })
        .collect();
    let settings = "kind: ConfigMap\nmetadata: {name: config-autoscaler}\n\
                    data: {stable-window: \"30s\"}\n";
    let manifests = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n\
                     spec: {containers: [{name: app, image: web, ports: [{containerPort: 80}]}]}\n\
                     ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                     spec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let services = "[service.web]\ncommand = \"python3 -m http.server {PORT}\"\n";
    let knative = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n\
                   spec: {template: {spec: {containers: [\
                   {command: [python3, -m, http.server, $(PORT)]}]}}}\n";
    let hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n\
               spec: {scaleTargetRef: {kind: Deployment, name: web}, maxReplicas: 3}\n\
               status: {currentReplicas: 1, desiredReplicas: 1}\n";
    let sites = "[paris]\ncontroller = \"127.0.0.1:9400\"\n[edge-17]\ncalls = true\n\
                 secret_file = \"edge-17.secret\"\n";
    let scenario = r#"{"kind": "sample_size", "input": {"populations": [100]}}"#;
    for (name, text) in [
        ("access.log", log.as_str()),
        ("config-autoscaler.yaml", settings),
        ("scenario.json", scenario),
        ("hpa.yaml", hpa),
        ("web.yaml", manifests),
        ("tidegate.toml", services),
        ("ksvc.yaml", knative),
        ("controller.secret", "0123456789abcdef"),
        ("sites.toml", sites),
        ("edge-17.secret", "0123456789abcdef-of-an-example"),
    ] {
        std::fs::write(desk.path().join(name), text).unwrap();
    }
    desk
}

/// How a trial ended.
struct Trial {
    code: Option<i32>,
    was_stopped: bool,
    errors: String,
}

/// Starts an example in a shell, and tells it to end once it has run for a while.
fn tried(command: &str, desk: &Path) -> Trial {
    let binary = Path::new(TIDEGATE).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let errors = tempfile::tempfile().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &shell_line(command)])
        .current_dir(desk)
        .env("PATH", format!("{binary}:{path}"))
        // Orders such as `tidegate stop` are not for what else runs on this machine.
        .env("XDG_RUNTIME_DIR", desk)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone().unwrap())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let mut stopped = false;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE && !stopped {
            let pid = child.id().to_string();
            Command::new("kill").args(["-INT", &pid]).status().unwrap();
            stopped = true;
        }
        std::thread::sleep(POLL_PERIOD);
    };
    let mut errors = errors;
    std::io::Seek::rewind(&mut errors).unwrap();
    let errors = std::io::read_to_string(errors).unwrap();
    Trial { code: status.code(), was_stopped: stopped, errors }
}

/// A shell that becomes the command itself, where it is one, so that it can be stopped.
fn shell_line(command: &str) -> String {
    let is_plain = command.starts_with("tidegate") && !command.contains(" | ");
    if is_plain { format!("exec {command}") } else { command.to_owned() }
}

#[test]
fn every_example_of_every_help_is_typed_right() {
    let desk = desk();
    let examples = examples();
    assert!(examples.len() >= 20, "{examples:?}");
    let judge = |command: &String| {
        let Trial { code, was_stopped, errors } = tried(command, desk.path());
        // Another example that runs at the same time serves one of that name as well.
        if errors.contains("several processes run a service") {
            return;
        }
        assert_ne!(code, Some(2), "{command}: {errors}");
        assert!(!errors.contains("panicked"), "{command}: {errors}");
        // A port that is taken, and a controller that is not there, are not the
        // example's fault; nor has one that was cut short to end well.
        let excused = ["cannot listen on", "no controller answers", "no service"];
        let is_excused = was_stopped || excused.iter().any(|text| errors.contains(text));
        assert!(code == Some(0) || is_excused, "{command}: {code:?} {errors}");
    };
    for some in examples.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for command in some {
                scope.spawn(move || judge(command));
            }
        });
    }
    eprintln!("{} examples of help were run", examples.len());
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = says(&format!("completions {shell}"));
        for word in ["recommend", "queue-proxy", "arrivals"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    let script = says("completions bash");
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success(), "bash cannot read its completions");
    assert_eq!(tidegate("completions tcsh").status.code(), Some(2));
}

#[test]
fn manual_pages_are_written_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    says(&format!("man --dir {}", pages.display()));
    for verb in VERBS.iter().filter(|verb| !verb.is_empty()) {
        let page = pages.join(format!("tidegate-{}.1", verb.replace(' ', "-")));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(text.contains(".SH SYNOPSIS"), "{} is no page", page.display());
        // One is rendered for all: the one with the most options.
        if *verb != "sim run" {
            continue;
        }
        let Ok(shown) = Command::new("man").arg("-l").arg(&page).env("MANPAGER", "cat").output()
        else {
            continue; // Not every machine has a reader of manuals.
        };
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    }
    assert!(says("man").starts_with(".ie"));
    assert_eq!(tidegate("man --dir /proc/nowhere").status.code(), Some(1));
}

#[test]
fn the_version_names_its_commit_where_there_is_one() {
    let plain = format!("tidegate {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(says("-V").trim(), plain);
    let long = says("--version");
    let rest = long.trim().strip_prefix(&plain).unwrap();
    let is_commit = |text: &str| {
        let inside = text.strip_prefix(" (").and_then(|text| text.strip_suffix(')'));
        let parts = inside.and_then(|inside| inside.split_once(' '));
        parts.is_some_and(|(commit, day)| {
            commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && day.len() == "2026-11-25".len()
        })
    };
    assert!(rest.is_empty() || is_commit(rest), "{long}");
}
