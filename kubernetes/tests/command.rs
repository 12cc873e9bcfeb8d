//! The command as people run it: against an API server on loopback that a KUBECONFIG names.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_kubernetes_fake::{FakeCluster, Kind};

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
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n\
         users: [{{name: me, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let mut running = Running(
        command(&["controller", "--listen", "127.0.0.1:0", "--name", "one"])
            .env("KUBECONFIG", &kubeconfig)
            .env("TIDEGATE_SECRET", "0123456789abcdef")
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

#[test]
fn missing_options_are_named() {
    let secret = Some("0123456789abcdef");
    for (arguments, secret, expected) in [
        (&["controller"][..], None, "give --secret-file, --tls-client-ca or"),
        (&["controller"], Some("short"), "TIDEGATE_SECRET"),
        (&["controller", "--activator-ports", "1-2"], secret, "20000-29999"),
        (&["controller", "--activator-ports", "30000-20000"], secret, "20000-29999"),
        (&["controller", "--listen", "everywhere"], secret, "--listen"),
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
