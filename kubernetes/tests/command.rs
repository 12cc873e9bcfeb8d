//! The command as people run it: against an API server on loopback that a KUBECONFIG names.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_kubernetes_fake::{FakeCluster, Kind};

const SECRET: &str = "0123456789abcdef";
const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-kubernetes");
const SCALERS: &str = "/apis/tidegate.dev/v1alpha1/namespaces/shop/trafficscalers";
const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/tidegate-controller";
const SCALER_KIND: Kind =
    Kind::custom("tidegate.dev", "v1alpha1", "trafficscalers", "TrafficScaler");

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two checks of an awaited condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn ended(arguments: &[&str], secret: Option<&str>) -> Output {
    let mut command = command(arguments);
    if let Some(secret) = secret {
        command.env("TIDEGATE_SECRET", secret);
    }
    command.output().unwrap()
}

async fn ask(cluster: &FakeCluster, method: Method, path: &str, body: Value) -> Value {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    let body = cluster.respond(request).into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kubeconfig of a cluster, whose namespace is `shop`.
fn kubeconfig(folder: &Path, address: SocketAddr) -> PathBuf {
    let path = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me, namespace: shop}}}}]\n\
         users: [{{name: me, user: {{}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn until(cluster: &FakeCluster, path: &str, is_so: impl Fn(&Value) -> bool) {
    let begin = Instant::now();
    loop {
        let object = ask(cluster, Method::GET, path, Value::Null).await;
        if is_so(&object) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "not in time: {object}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_scales_what_it_finds_and_releases_its_lease_on_sigterm() {
    let cluster = FakeCluster::new(&[SCALER_KIND]);
    let address = cluster.serve().await.unwrap();
    let spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"},
        "service": {"name": "till"},
    });
    let scaler = json!({"metadata": {"name": "till"}, "spec": spec});
    ask(&cluster, Method::POST, SCALERS, scaler).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), address);
    let mut running = Running(
        command(&["controller", "--listen", "127.0.0.1:0", "--name", "one"])
            .env("KUBECONFIG", &kubeconfig)
            .env("TIDEGATE_SECRET", SECRET)
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let path = format!("{SCALERS}/till");
    until(&cluster, &path, |scaler| {
        let conditions = scaler["status"]["conditions"].as_array();
        let is_told = |c: &Value| c["type"] == "Ready" && c["reason"] == "ServiceNotFound";
        conditions.is_some_and(|all| all.iter().any(is_told))
    })
    .await;
    until(&cluster, LEASE, |lease| lease["spec"]["holderIdentity"] == "one").await;
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = tokio::task::block_in_place(|| running.0.wait().unwrap());
    assert!(status.success(), "{status}");
    until(&cluster, LEASE, |lease| lease["spec"]["holderIdentity"].is_null()).await;
}

/// What was printed by a command that succeeds, with this kubeconfig and the secret.
fn printed(arguments: &[&str], kubeconfig: &Path) -> String {
    let mut command = command(arguments);
    command.env("KUBECONFIG", kubeconfig).env("TIDEGATE_SECRET", SECRET);
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Why a command failed, with this kubeconfig and without a secret.
fn refused(arguments: &[&str], kubeconfig: &Path) -> String {
    let mut command = command(arguments);
    // kubectl, where there is one, keeps files at home.
    command.env("KUBECONFIG", kubeconfig).env("HOME", kubeconfig.parent().unwrap());
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(!status.success(), "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

/// A port that nobody listens on, and nobody else is given.
fn free_address() -> String {
    tidegate_reserved_port::reserve().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scaled_can_be_looked_at() {
    let cluster = FakeCluster::new(&[SCALER_KIND]);
    let address = cluster.serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), address);
    let look = |arguments: &[&str]| tokio::task::block_in_place(|| printed(arguments, &kubeconfig));
    assert_eq!(look(&["status"]), "There is no TrafficScaler here.\n");
    let spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"},
        "service": {"name": "till"},
        "scale": {"minScale": 1},
    });
    let scaler = json!({"metadata": {"name": "counter"}, "spec": spec});
    ask(&cluster, Method::POST, SCALERS, scaler).await;
    assert!(look(&["status"]).contains("no controller has looked at it"));
    let listen = free_address();
    let _running = Running(
        command(&["controller", "--listen", &listen, "--name", "one"])
            .env("KUBECONFIG", &kubeconfig)
            .env("TIDEGATE_SECRET", SECRET)
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until(&cluster, &format!("{SCALERS}/counter"), |scaler| {
        let conditions = scaler["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["reason"] == "ServiceNotFound"))
    })
    .await;
    let told = look(&["status", "-n", "shop"]);
    for word in ["NAMESPACE", "Deployment/till", "False", "there is no Service shop/till"] {
        assert!(told.contains(word), "{word} is not in:\n{told}");
    }
    assert_eq!(look(&["status", "-n", "elsewhere"]), "There is no TrafficScaler here.\n");
    let all: Value = serde_json::from_str(&look(&["status", "-A", "-o", "json"])).unwrap();
    assert_eq!((&all[0]["name"], &all[0]["ready"]), (&json!("counter"), &json!("False")));
    // The revision of a target has the target's name.
    let told = look(&["top", "--once", "--controller", &listen]);
    assert!(told.starts_with("NAMESPACE") && told.contains("shop       till"), "{told}");
    let told = look(&["explain", "counter", "--controller", &listen]);
    for word in ["shop/counter scales Deployment/till", "ServiceNotFound", "shop/till: 0 ready"] {
        assert!(told.contains(word), "{word} is not in:\n{told}");
    }
}

/// What is answered to a request that shows the secret, as far as `until` is in it.
fn asked(address: &str, path: &str, fields: &str, until: &str) -> String {
    let begin = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n").unwrap();
    let (mut told, mut buffer) = (Vec::new(), [0; 4_096]);
    while !String::from_utf8_lossy(&told).contains(until) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => told.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_has_a_page_in_a_browser() {
    let cluster = FakeCluster::new(&[SCALER_KIND]);
    let address = cluster.serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), address);
    let spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"},
        "service": {"name": "till"},
    });
    let scaler = json!({"metadata": {"name": "till"}, "spec": spec});
    ask(&cluster, Method::POST, SCALERS, scaler).await;
    let run = |name: &str, admin: &str| {
        let flags = ["--listen", "127.0.0.1:0", "--name", name, "--admin", admin, "--page"];
        let mut command = command(&[&["controller"][..], &flags].concat());
        command.env("KUBECONFIG", &kubeconfig).env("TIDEGATE_SECRET", SECRET);
        Running(command.stderr(Stdio::null()).spawn().unwrap())
    };
    let (first, second) = (free_address(), free_address());
    let _decides = run("one", &first);
    until(&cluster, LEASE, |lease| lease["spec"]["holderIdentity"] == "one").await;
    let _waits = run("two", &second);
    tokio::task::block_in_place(|| {
        let known = format!("Authorization: Bearer {SECRET}\r\n");
        let told = asked(&first, "/page/events?view=fleet", &known, "till");
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(told.contains(r#""namespace":"shop","name":"till""#), "{told}");
        let told = asked(&first, "/page/events?view=fleet", "Connection: close\r\n", "\0");
        assert!(told.starts_with("HTTP/1.1 401"), "{told}");
        let told = asked(&second, "/page", "Connection: close\r\n", "\0");
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("Another controller"), "{told}");
        assert!(asked(&second, "/metrics", "Connection: close\r\n", "\0").contains("200 OK"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hpa_is_explained_by_its_name_without_a_controller() {
    let cluster = FakeCluster::new(&[]);
    let address = cluster.serve().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), address);
    let of = |kind: &str, name: &str| json!({"apiVersion": "apps/v1", "kind": kind, "name": name});
    let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}});
    let read = json!({"name": "cpu", "current": {"averageUtilization": 90}});
    let hpa = json!({
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": of("Deployment", "web"),
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
        "status": {
            "currentReplicas": 4,
            "desiredReplicas": 6,
            "currentMetrics": [{"type": "Resource", "resource": read}],
        },
    });
    let path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    ask(&cluster, Method::POST, path, hpa).await;
    let look = |more: &[&str]| {
        let arguments = [&["explain", "--hpa", "web"], more].concat();
        tokio::task::block_in_place(|| printed(&arguments, &kubeconfig))
    };
    let told = look(&[]);
    for words in ["HPA shop/web of Deployment/web", "from 4 to 6", "ratio 1.5"] {
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
    let numbers: Value = serde_json::from_str(&look(&["--json"])).unwrap();
    assert_eq!(numbers["cause"], "as_proposed");
    let tolerant = look(&["--tolerance", "0.6"]);
    assert!(tolerant.contains("within 0.4 to 1.6"), "{tolerant}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_look_is_told_what_to_do() {
    let without_the_kind = FakeCluster::new(&[]);
    let cluster = FakeCluster::new(&[SCALER_KIND]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let empty = kubeconfig(&path("empty"), without_the_kind.serve().await.unwrap());
    let here = kubeconfig(&path("here"), cluster.serve().await.unwrap());
    let lease = json!({
        "metadata": {"name": "tidegate-controller"},
        "spec": {"holderIdentity": "tidegate-controller-1"},
    });
    let leases = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
    ask(&cluster, Method::POST, leases, lease).await;
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = secret.to_str().unwrap();
    let nobody = free_address();
    for (arguments, kubeconfig, expected) in [
        (&["status"][..], &empty, "tidegate crd | kubectl apply"),
        (&["status", "--context", "other"], &here, "--context other"),
        (&["explain", "till"], &here, "there is no TrafficScaler till in shop"),
        (&["explain"], &here, "<NAME>"),
        (&["explain", "--hpa", "till"], &here, "there is no HorizontalPodAutoscaler till in shop"),
        (&["explain", "--hpa", "till", "--tolerance", "-1"], &here, "expected a ratio from 0 on"),
        (&["top", "--once"], &here, "give --secret-file FILE"),
        (&["top", "--once", "--secret-file", secret], &here, "no controller decides in"),
        (&["top", "--secret-file", secret, "--system-namespace", "system"], &here, "kubectl"),
        (
            &["top", "--secret-file", secret, "--controller", &nobody],
            &here,
            "no controller answers at",
        ),
    ] {
        let told = tokio::task::block_in_place(|| refused(arguments, kubeconfig));
        assert!(told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_is_called_as_people_type_it() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-tidegate");
    std::os::unix::fs::symlink(BINARY, &plugin).unwrap();
    let told = Command::new(&plugin).arg("--help").output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("Usage: kubectl tidegate <COMMAND>"), "{told}");
    let mut failing = Command::new(&plugin);
    failing.args(["status", "--context", "none"]).env_clear();
    failing.env("KUBECONFIG", folder.path().join("none"));
    let told = failing.output().unwrap().stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("kubectl tidegate status: "), "{told}");
}

#[test]
fn missing_options_are_named() {
    let secret = Some(SECRET);
    for (arguments, secret, expected) in [
        (&["controller"][..], None, "give --secret-file, --tls-client-ca or"),
        (&["controller"], Some("short"), "TIDEGATE_SECRET"),
        (&["controller", "--activator-ports", "1-2"], secret, "20000-29999"),
        (&["controller", "--activator-ports", "30000-20000"], secret, "20000-29999"),
        (&["controller", "--listen", "everywhere"], secret, "--listen"),
        (&["controller", "--page"], secret, "--page: give --admin as well"),
        (&["controller", "--page-orders"], secret, "--page"),
        (&["controller", "--log", "wran,warn=much"], secret, "--log"),
        (&["controller"], secret, "KUBECONFIG"),
        (&["controler"], secret, "controller"),
    ] {
        let Output { status, stderr, .. } = ended(arguments, secret);
        let told = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!status.success() && told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
}
