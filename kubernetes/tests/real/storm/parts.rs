//! The processes of ours: controllers and an activator, on this machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, PATIENCE, SYSTEM, until};
use crate::process::Process;

/// The folder with the programs `tidegate` and `tidegate-kubernetes`.
const PROGRAMS: &str = "TIDEGATE_TEST_PROGRAMS";

/// What reporters show.
pub(super) const SECRET: &str = "storm-of-the-trials-0123456789";

/// How long a token of a ServiceAccount is valid: longer than any trial.
const TOKEN_DURATION: &str = "12h";

/// Time between two looks whether a controller has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The processes, which end with it.
pub(super) struct Parts {
    programs: PathBuf,
    folder: TempDir,
    reports: SocketAddr,
    activator_ip: IpAddr,
    controllers: Arc<Mutex<BTreeMap<String, Controller>>>,
    activator: Option<Child>,
}

/// A controller, and what it is started by.
struct Controller {
    command: Command,
    child: Child,
}

impl Parts {
    /// Installs definitions and rights, but no pods of ours.
    pub(super) async fn install(cluster: &Cluster) -> Self {
        let programs = std::env::var_os(PROGRAMS);
        let programs = PathBuf::from(programs.unwrap_or_else(|| panic!("{PROGRAMS} is not set")));
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/install");
        cluster.kubectl(&["apply", "--server-side", "-k", install], None);
        let all = ["delete", "deployments", "--all", "--namespace", SYSTEM];
        cluster.kubectl(&all, None);
        // Nothing of it is there.
        cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "tidegate"], None);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let account = account(cluster);
        std::fs::write(folder.path().join("kubeconfig"), account.to_string()).unwrap();
        let activator_ip = own_address(&account);
        Self {
            programs,
            folder,
            reports: free_address(),
            activator_ip,
            controllers: Arc::default(),
            activator: None,
        }
    }

    /// Where reporters connect to.
    pub(super) fn reports(&self) -> SocketAddr {
        self.reports
    }

    /// Where the activator is.
    pub(super) fn activator_ip(&self) -> IpAddr {
        self.activator_ip
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env("TIDEGATE_SECRET_FILE", self.folder.path().join("secret"));
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        command.stdin(Stdio::null());
        command
    }

    /// Starts a controller of this name, and again whenever it ends by itself, as a kubelet does.
    /// All listen at the same address, which one at a time does.
    pub(super) fn start_controller(&mut self, name: &'static str) {
        let mut command = self.command("tidegate-kubernetes");
        command.args(["controller", "--name", name, "--listen", &self.reports.to_string()]);
        let child = command.spawn().unwrap();
        self.controllers.lock().insert(name.to_owned(), Controller { command, child });
        let controllers = Arc::clone(&self.controllers);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let mut controllers = controllers.lock();
                let Some(Controller { command, child }) = controllers.get_mut(name) else { return };
                if let Some(ended) = child.try_wait().unwrap() {
                    println!("  controller {name} has ended ({ended}), and is started anew");
                    *child = command.spawn().unwrap();
                }
            }
        });
    }

    /// Kills a controller, as a crash does.
    pub(super) fn kill_controller(&mut self, name: &str) {
        let mut controller = self.controllers.lock().remove(name).unwrap();
        controller.child.kill().unwrap();
        controller.child.wait().unwrap();
    }

    /// Starts the activator, and says where it is.
    pub(super) async fn start_activator(&mut self, cluster: &Cluster) {
        let listen = SocketAddr::new(self.activator_ip, 0);
        let mut command = self.command("tidegate");
        command.args(["activator", "--name", "activator", "--listen", &listen.to_string()]);
        command.args(["--controller", &self.reports.to_string(), "--longest-wait", "600s"]);
        command.args(["--request-timeout", "600s"]);
        self.activator = Some(command.spawn().unwrap());
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "tidegate-activator-here",
                "labels": {"kubernetes.io/service-name": "tidegate-activator"},
            },
            "addressType": if self.activator_ip.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [self.activator_ip], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": 8012}],
        });
        cluster.apply(SYSTEM, &slice.to_string());
        let listens = || async { tokio::net::TcpStream::connect(self.reports).await.is_ok() };
        until(PATIENCE, "a controller that takes reports", listens).await;
    }

    /// The controller that was started last, and the activator.
    pub(super) fn processes(&self) -> (Process, Process) {
        let controllers = self.controllers.lock();
        let controller = &controllers.values().next_back().unwrap().child;
        (Process::of_child(controller), Process::of_child(self.activator.as_ref().unwrap()))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let controllers = std::mem::take(&mut *self.controllers.lock());
        let controllers = controllers.into_values().map(|controller| controller.child);
        for mut child in controllers.chain(self.activator.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A kubeconfig for what the controller is in a cluster.
fn account(cluster: &Cluster) -> Value {
    let name = "tidegate-controller";
    let token = ["create", "token", name, "--namespace", SYSTEM, "--duration", TOKEN_DURATION];
    let token = cluster.kubectl(&token, None);
    let shown = ["config", "view", "--minify", "--raw", "--output", "json"];
    let mut config: Value = serde_json::from_str(&cluster.kubectl(&shown, None)).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    config
}

/// This machine's address towards the API server.
fn own_address(kubeconfig: &Value) -> IpAddr {
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let authority = server.trim_start_matches("https://").trim_end_matches('/');
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(authority).unwrap();
    let ip = socket.local_addr().unwrap().ip();
    assert!(!ip.is_loopback(), "an API server at {authority} makes the activator's address {ip}");
    ip
}

fn free_address() -> SocketAddr {
    tidegate_reserved_port::reserve().unwrap()
}
