//! `tidegate explain` against a running service, and where none runs.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(200);

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How long a first decision may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn explain(args: &[&str]) -> Output {
    Command::new(TIDEGATE).arg("explain").args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `tidegate run` with the bundled app; interrupted when dropped, so that it cleans up.
struct Service {
    child: Child,
    controller: String,
}

impl Service {
    fn start() -> Self {
        let mut child = Command::new(TIDEGATE)
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--name",
                "web",
                "--min",
                "1",
                "--drain",
                "1s",
            ])
            .args(["--", TIDEGATE, "demo", "--app"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let controller = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| line.split_once("--controller ").map(|(_, at)| at.trim().to_owned()))
            .unwrap();
        // Its output must be read on, or the service would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, controller }
    }

    /// What is explained once the first decision was made.
    fn decided(&self, args: &[&str]) -> String {
        let args = [&["--controller", &self.controller], args].concat();
        let start = Instant::now();
        loop {
            let text = stdout(&explain(&args));
            let decided = text.contains("instance");
            if decided || start.elapsed() > PATIENCE {
                return text;
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_controller_is_asked() {
    let service = Service::start();
    let told = service.decided(&["web"]);
    let first = told.lines().next().unwrap();
    assert!(first.starts_with("local/web: "), "{told}");
    assert!(told.contains("Z  local/web  1  "), "{told}");

    let listed = service.decided(&[]);
    assert!(listed.starts_with("REVISION   WANTED"), "{listed}");
    assert!(listed.contains("local/web"), "{listed}");

    let json = service.decided(&["local/web", "--last", "2", "--json"]);
    for line in json.lines() {
        let decision: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(decision["name"], "web");
        assert!(decision["explanation"]["detail"].is_object(), "{line}");
    }

    let unknown = explain(&["--controller", &service.controller, "other"]);
    assert_eq!(unknown.status.code(), Some(1));
    let message = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(message.contains("no revision \"other\" here; known are: local/web"), "{message}");
    let near = explain(&["--controller", &service.controller, "wbe"]);
    let message = String::from_utf8_lossy(&near.stderr).into_owned();
    assert!(message.contains("did you mean `web`?"), "{message}");
}

#[test]
fn a_missing_controller_is_an_error_that_says_so() {
    let nowhere = explain(&["--controller", "127.0.0.1:1"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let message = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(
        message.contains("no controller answers at 127.0.0.1:1 (Connection refused"),
        "{message}"
    );
    assert!(!message.contains("transport error"), "{message}");
    let nonsense = explain(&["--controller", "no address at all"]);
    assert_eq!(nonsense.status.code(), Some(2));
    let message = String::from_utf8_lossy(&nonsense.stderr).into_owned();
    assert!(message.contains("expected HOST:PORT"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    let unnamed = Command::new(TIDEGATE)
        .arg("explain")
        .env_remove("TIDEGATE_CONTROLLER")
        .env("XDG_RUNTIME_DIR", empty.path())
        .output()
        .unwrap();
    assert_eq!(unnamed.status.code(), Some(1));
    let message = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(message.contains("--controller HOST:PORT"), "{message}");
}

/// What `kubectl get hpa -o yaml` prints, with what matters of it.
const HPA: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: autoscaling/v2
  kind: HorizontalPodAutoscaler
  metadata: {name: web, namespace: shop}
  spec:
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
    minReplicas: 2
    maxReplicas: 10
    metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: 60}
  status:
    currentReplicas: 4
    desiredReplicas: 6
    currentMetrics:
    - type: Resource
      resource:
        name: cpu
        current: {averageUtilization: 90, averageValue: 90m}
    conditions:
    - {type: AbleToScale, status: 'True', reason: SucceededRescale, message: set to 6}
";

/// `tidegate explain --hpa -` with this on its standard input.
fn explain_hpa(text: &str, more: &[&str]) -> Output {
    let mut child = Command::new(TIDEGATE)
        .args(["explain", "--hpa", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // What is refused before it is read to its end closes the pipe.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn an_hpa_is_explained_from_its_text_alone() {
    let said = stdout(&explain_hpa(HPA, &[]));
    for expected in [
        "HPA shop/web of Deployment/web, 2 to 10 replicas: it scaled from 4 to 6",
        "Resource cpu: 90 % of what is requested, target 60 %: ratio 1.5, outside of 0.9 to 1.1",
        "6 replicas, as the status says",
        "the metrics ask for it",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let json = stdout(&explain_hpa(HPA, &["--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["cause"], &json["replicas"]["high"]), (&"as_proposed".into(), &6.into()));
    let tolerant = stdout(&explain_hpa(HPA, &["--tolerance", "0.6"]));
    assert!(tolerant.contains("within 0.4 to 1.6"), "{tolerant}");
}

#[test]
fn what_is_no_hpa_is_refused_with_what_to_give() {
    for (text, more, expected) in [
        ("kind: Pod\napiVersion: v1", &[][..], "kubectl get hpa NAME -o yaml"),
        ("", &[], "expected an object"),
        ("a: [", &[], "line 1"),
        (HPA, &["--tolerance", "-1"], "expected a ratio from 0 on"),
        (HPA, &["web"], "cannot be used with"),
    ] {
        let refused = explain_hpa(text, more);
        assert_eq!(refused.status.code(), Some(2), "{text}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
}
