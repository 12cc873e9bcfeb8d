//! Clients of several activators: each request goes to one of them, drawn at random, as a balancer
//! in front of them would send it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::roles::Role;

/// The time between two attempts while no activator listens.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A request that takes longer failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// An activator with the idle connections to it.
pub(super) struct Door {
    role: Arc<Role>,
    /// Each with the life of the activator that it leads to.
    idle: Mutex<Vec<(u64, TcpStream)>>,
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a 200, and the number of requests that the app had then.
    Served(u32),
    /// Its activator was killed while it was on its way.
    LostWithDoor,
    /// Otherwise; with what was seen.
    Failed(String),
}

impl Door {
    pub(super) fn new(role: Arc<Role>) -> Self {
        Self { role, idle: Mutex::default() }
    }

    /// Lets go of the connections that nobody uses.
    pub(super) async fn close_idle(&self) {
        self.idle.lock().await.clear();
    }

    /// A connection with the life of the activator that it surely leads to; `None` if nobody
    /// listens.
    async fn connection(&self) -> Option<(u64, TcpStream)> {
        let life = self.role.life()?;
        let mut idle = self.idle.lock().await;
        idle.retain(|(of, _)| *of == life);
        if let Some(connection) = idle.pop() {
            return Some(connection);
        }
        drop(idle);
        let stream = TcpStream::connect(self.role.address).await.ok()?;
        // One that was killed meanwhile may have been this one or the next.
        let is_certain = self.role.life() == Some(life);
        is_certain.then_some((life, stream))
    }

    async fn ask(&self, request: &[u8], (life, mut stream): (u64, TcpStream)) -> Ended {
        let asked = tokio::time::timeout(PATIENCE, exchange(&mut stream, request)).await;
        let saw = match asked {
            Ok(Ok((inside, Kept::Open))) => {
                self.idle.lock().await.push((life, stream));
                return Ended::Served(inside);
            }
            Ok(Ok((inside, Kept::Closed))) => return Ended::Served(inside),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it was not answered in time".to_owned(),
        };
        match self.role.life() == Some(life) {
            true => Ended::Failed(format!("{}: {saw}", self.role.address)),
            false => Ended::LostWithDoor,
        }
    }
}

/// Sends one request through any of the activators. Where one does not listen, nothing was sent,
/// and the next is asked.
pub(super) async fn ask(doors: &[Door], first: usize, request: &[u8]) -> Ended {
    for turn in 0.. {
        let door = &doors[(first + turn) % doors.len()];
        if let Some(connection) = door.connection().await {
            return door.ask(request, connection).await;
        }
        if turn % doors.len() == doors.len() - 1 {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    unreachable!("the turns have no end")
}

/// Whether a connection stays open after a response.
enum Kept {
    Open,
    Closed,
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<(u32, Kept)> {
    stream.set_nodelay(true)?;
    stream.write_all(request).await.context("it could not be sent")?;
    let mut response = Vec::with_capacity(1_024);
    let end = loop {
        let count = stream.read_buf(&mut response).await.context("no response came")?;
        ensure!(count > 0, "the connection ended after {} bytes", response.len());
        if let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&response[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        let cause = field(&head, "tidegate-error").unwrap_or("no cause");
        bail!("{} ({cause})", head.lines().next().unwrap_or_default());
    }
    let length: usize = field(&head, "content-length").context("no length")?.parse()?;
    while response.len() < end + 4 + length {
        let count = stream.read_buf(&mut response).await.context("the response was cut short")?;
        ensure!(count > 0, "the response was cut short");
    }
    let inside = field(&head, "x-in-flight").context("an app says how many it has")?.parse()?;
    let closes = field(&head, "connection") == Some("close");
    Ok((inside, if closes { Kept::Closed } else { Kept::Open }))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(found, _)| *found == name).map(|(_, value)| value.trim()).next()
}
