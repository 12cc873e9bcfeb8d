//! What the admin address exposes, and to whom: SECURITY.md says the same.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::stage::{App, Role, ask, get};

/// A secret as long as the roles ask for.
const SECRET: &str = "S3CRET-0123456789abcdef";

/// A role without an admin address, once it listens.
struct Quiet(Child);

impl Quiet {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .env_remove("TIDEGATE_ADMIN")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line.contains("listening on")))
            .unwrap()
            .unwrap();
        Self(child)
    }

    /// How many TCP ports it listens on.
    fn ports(&self) -> usize {
        let process = Path::new("/proc").join(self.0.id().to_string());
        let sockets: BTreeSet<String> = std::fs::read_dir(process.join("fd"))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|target| {
                let target = target.to_str()?;
                Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
            })
            .collect();
        ["net/tcp", "net/tcp6"]
            .iter()
            .map(|table| std::fs::read_to_string(process.join(table)).unwrap())
            .map(|table| {
                let listening = table.lines().skip(1).filter(|line| {
                    let fields: Vec<&str> = line.split_whitespace().collect();
                    fields[3] == LISTEN && sockets.contains(fields[9])
                });
                listening.count()
            })
            .sum()
    }
}

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_is_off_unless_it_is_asked_for() {
    for role in ["activator", "controller"] {
        let mut arguments = vec![role, "--listen", "127.0.0.1:0"];
        if role == "activator" {
            arguments.extend(["--controller", "127.0.0.1:1"]);
        }
        assert_eq!(Quiet::start(&arguments).ports(), 1, "{role} has one port");
    }
}

/// Anybody who reaches it may read it: so there must be nothing worth reading for a stranger.
#[test]
fn its_pages_name_no_secret_no_client_and_no_address() {
    let app = App::start();
    let controller = Role::controller_with(SECRET);
    let sidecar = Role::sidecar_with(app.port(), &controller.address, SECRET);
    let activator = Role::activator_with(&controller.address, SECRET);
    activator.until_ready();
    let target = "/private?token=T0KEN";
    assert!(get(&activator.address, target).starts_with("HTTP/1.1 200"), "the app is reached");
    for role in [&controller, &activator] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let response = get(&role.admin, path);
            for hidden in [SECRET, "private", "T0KEN", "127.0.0.1", &sidecar.address, "web"] {
                assert!(!response.contains(hidden), "{path} has {hidden:?}: {response}");
            }
        }
        for path in ["/", "/debug", "/metrics/"] {
            assert!(get(&role.admin, path).starts_with("HTTP/1.1 404"), "{path}");
        }
        for path in ["/metrics", "/healthz", "/readyz"] {
            let response = ask(&role.admin, "POST", path);
            assert!(response.starts_with("HTTP/1.1 405"), "nothing can be changed: {response}");
        }
    }
}
