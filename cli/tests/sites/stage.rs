//! A view with its file of sites, and controllers around it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Process, outcome, tidegate};

/// What proves the site that calls.
pub(crate) const SECRET: &str = "a-secret-of-the-edge-0123456789";

/// What the site that is dialled asks for. Nobody else knows it.
pub(crate) const PARIS_SECRET: &str = "a-secret-of-paris-0123456789";

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// A folder with secrets, and with addresses that nobody else is given.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) questions: SocketAddr,
    pub(crate) calls: SocketAddr,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writable");
        };
        write("edge.secret", SECRET);
        write("paris.secret", PARIS_SECRET);
        write("other.secret", "another-secret-0123456789");
        let free = || reserved();
        let (questions, calls) = (free(), free());
        Self { folder, questions, calls }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Writes the file of sites: one that calls, and what else is said.
    pub(crate) fn sites(&self, more: &str) -> String {
        let text = format!("[edge]\ncalls = true\nsecret_file = \"edge.secret\"\n{more}");
        std::fs::write(self.path("sites.toml"), text).expect("writable");
        self.path("sites.toml")
    }

    /// The view, once it listens.
    pub(crate) fn view(&self, more: &[&str]) -> Process {
        let (sites, calls) = (self.path("sites.toml"), self.calls.to_string());
        let questions = self.questions.to_string();
        let own = ["view", "--sites", &sites, "--listen", &questions, "--calls", &calls];
        let mut view =
            Process::start(tidegate(&[&own, ["--interval", "200ms"].as_slice(), more].concat()));
        view.wait_for("taking calls on ");
        view
    }

    /// A controller whose own port asks for a secret that the view has not, and which calls.
    pub(crate) fn edge(&self, view: SocketAddr, more: &[&str]) -> Process {
        let (own, secret) = (self.path("other.secret"), self.path("edge.secret"));
        let view = view.to_string();
        let call = ["--call", &view, "--call-as", "edge", "--call-secret-file", &secret];
        let arguments = ["--secret-file", &own, "--revision", "shop/cart,5"];
        Process::controller(&[&arguments, call.as_slice(), more].concat()).0
    }

    /// A controller that is dialled, and its section of the file of sites.
    pub(crate) fn paris(&self) -> (Process, String) {
        let secret = self.path("paris.secret");
        let revisions = ["--revision", "prod/web", "--revision", "prod/api"];
        let arguments = [["--secret-file", &secret].as_slice(), &revisions].concat();
        let (process, address) = Process::controller(&arguments);
        let section =
            format!("[paris]\ncontroller = \"{address}\"\nsecret_file = \"paris.secret\"\n");
        (process, section)
    }

    /// What the view says of all sites, a value for each line.
    pub(crate) fn listed(&self) -> Vec<Value> {
        let controller = self.questions.to_string();
        let (code, said) =
            outcome(&mut tidegate(&["explain", "--controller", &controller, "--json"]));
        if code != Some(0) {
            return Vec::new();
        }
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What is listed once it is as is expected.
    pub(crate) fn listed_when(&self, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let listed = self.listed();
            if is_so(&listed) {
                return listed;
            }
            assert!(start.elapsed() < PATIENCE, "it never came to be so: {listed:#?}");
            std::thread::sleep(POLL_PERIOD);
        }
    }
}

/// An address that nobody else is given, and nobody listens on.
pub(crate) fn reserved() -> SocketAddr {
    tidegate_reserved_port::reserve().expect("a free port")
}

/// The line about a revision.
pub(crate) fn revision<'a>(listed: &'a [Value], site: &str, name: &str) -> Option<&'a Value> {
    listed.iter().find(|line| line["site"] == site && line["name"] == name)
}

/// The line about a site that does not answer.
pub(crate) fn silent<'a>(listed: &'a [Value], site: &str) -> Option<&'a Value> {
    listed.iter().find(|line| line["site"] == site && line["link"] == "cut")
}

/// Whether a revision is told, as what is so now.
pub(crate) fn is_now(listed: &[Value], site: &str, name: &str) -> bool {
    revision(listed, site, name).is_some_and(|line| line["is_old"] == false)
}
