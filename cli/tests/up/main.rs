//! `tidegate up` as a person runs it: real processes, a file that changes, real requests.

#[path = "../run/running.rs"]
#[allow(dead_code, reason = "what `run` is tested with, of which this needs a part")]
mod running;

mod adopted;
mod entrances;
mod manager;
mod operated;
mod readiness;
mod reload;
mod replaced;
mod services;
mod verbs;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use running::Running;

/// An app that answers each request after 5 ms.
const APP: &str = "demo --app --service-time 5ms --start-up 0ms";

/// No response takes this long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a file of services.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(text: &str) -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a folder") };
        desk.write(text);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the file, in one step as editors do.
    fn write(&self, text: &str) {
        let (new, file) = (self.path("new"), self.path("tidegate.toml"));
        std::fs::write(&new, filled(text)).expect("written");
        std::fs::rename(new, file).expect("renamed");
    }

    fn up(&self, more: &[&str]) -> Running {
        self.up_with(more, &[])
    }

    fn up_with(&self, more: &[&str], variables: &[(&str, &str)]) -> Running {
        let file = self.path("tidegate.toml").display().to_string();
        let arguments = ["-f", &file, "--listen", "127.0.0.1:0"].map(str::to_owned);
        let more = more.iter().map(|word| (*word).to_owned());
        Running::start_verb("up", arguments.into_iter().chain(more).collect(), variables)
    }
}

/// A file in which APP stands for our app.
fn filled(text: &str) -> String {
    let program = env!("CARGO_BIN_EXE_tidegate");
    let words: Vec<String> =
        std::iter::once(program).chain(APP.split(' ')).map(|word| format!("\"{word}\"")).collect();
    text.replace("APP", &format!("[{}]", words.join(", ")))
}

/// A port that nobody else is given.
fn free_port() -> u16 {
    tidegate_reserved_port::reserve().expect("a port").port()
}

/// The common address.
fn address(up: &mut Running) -> String {
    let place = up.address_behind("web on http://");
    let port = place.rsplit(':').next().expect("a port").split('/').next().expect("a port");
    format!("127.0.0.1:{port}")
}

/// The status and the body of a request.
fn get(address: &str, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    status.map(|status| (status, body)).ok_or_else(|| std::io::Error::other("no response"))
}
