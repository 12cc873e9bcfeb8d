//! The roles as processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::sidecar_command::sidecar_command;

/// Nothing here takes this long unless it hangs, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A role that is killed with its test.
pub(crate) struct Process {
    child: Child,
    /// Where it serves.
    pub(crate) port: u16,
    /// Where its metrics are.
    metrics: u16,
}

impl Process {
    pub(crate) fn sidecar(app: u16, more: &[(&str, &str)]) -> Self {
        let mut command = sidecar_command(app);
        let environment = [("CONTAINER_CONCURRENCY", "1"), ("TIDEGATE_CAUSE_HEADER", "true")];
        command.envs(environment).envs(more.iter().copied());
        Self::start(command)
    }

    /// An activator that knows one instance, of limit 1.
    pub(crate) fn activator(instance: u16, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["activator", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--default-revision", "default/web", "--cause-header"])
            .arg(format!("--endpoint=default/web=127.0.0.1:{instance},1"))
            .args(more);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.env_remove("TIDEGATE_LOG").env_remove("TIDEGATE_CONTROLLER");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, heard) = mpsc::channel();
        // Read to the end, or the role would wait for room in the pipe.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let (mut port, mut metrics) = (None, None);
        while port.is_none() || metrics.is_none() {
            let line = heard.recv_timeout(PATIENCE).expect("it says where it listens");
            port = port.or_else(|| number(&line, &["\"main\":", "listening on 127.0.0.1:"]));
            metrics = metrics.or_else(|| number(&line, &["\"metrics\":", "on http://127.0.0.1:"]));
        }
        thread::spawn(move || heard.into_iter().for_each(drop));
        Self { child, port: port.unwrap(), metrics: metrics.unwrap() }
    }

    /// The sum of all series of this name with this label.
    pub(crate) fn counted(&self, name: &str, label: &str) -> f64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page.lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number behind one of these texts.
fn number(line: &str, texts: &[&str]) -> Option<u16> {
    let after = texts.iter().find_map(|text| line.split_once(text)).map(|(_, after)| after)?;
    after.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
