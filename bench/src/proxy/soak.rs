//! The two sides of the soak: an app that misbehaves on request, and clients that misbehave on
//! their own, all of whom know what a right response looks like.
//!
//! A target is `/KIND/SEED/SIZE`: the body is [`byte_at`] of the seed, so that any lost, doubled
//! or foreign byte shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What the app can be asked to do.
pub const KINDS: &[&str] =
    &["length", "chunked", "dies-before", "dies-within", "slow", "echo", "early", "tunnel"];

/// No honest exchange of the soak takes longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The byte at `index` of the body named by `seed`.
pub fn byte_at(seed: u64, index: u64) -> u8 {
    (seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u8
}

fn body(seed: u64, from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|index| byte_at(seed, index)).collect()
}

/// Random numbers that a seed reproduces (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// What the app records of the proxy.
#[derive(Debug, Default)]
pub struct AppRecord {
    executing: AtomicUsize,
    /// The most requests it ever had at the same time, those included whose client had just gone.
    pub most: AtomicUsize,
    /// Requests whose framing or body was not what a client sent.
    pub wrong: AtomicU64,
    /// Requests it got.
    pub requests: AtomicU64,
}

struct Present<'a>(&'a AppRecord);

impl AppRecord {
    fn enter(&self) -> Present<'_> {
        let now = self.executing.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Present(self)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.executing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts the app.
///
/// # Errors
/// When no port is free.
pub async fn serve(record: Arc<AppRecord>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let record = record.clone();
            tokio::spawn(async move {
                // Connections break here all the time; that is the point.
                let _ = answer_all(BufReader::new(stream), &record).await;
            });
        }
    });
    Ok(address)
}

async fn answer_all(mut stream: BufReader<TcpStream>, record: &AppRecord) -> std::io::Result<()> {
    loop {
        let head = read_head(&mut stream).await?;
        let present = record.enter();
        let Some((kind, seed, size)) = target(&head) else {
            record.wrong.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let length = field(&head, "content-length").and_then(|text| text.parse::<u64>().ok());
        if kind == "early" {
            let head = format!("HTTP/1.1 413 Too Large\r\nContent-Length: {size}\r\n\r\n");
            stream.get_mut().write_all(head.as_bytes()).await?;
            stream.get_mut().write_all(&body(seed, 0, size)).await?;
            return Ok(());
        }
        let mut echoed = Vec::new();
        if let Some(length) = length {
            echoed.resize(usize::try_from(length).unwrap_or(0), 0);
            stream.read_exact(&mut echoed).await?;
            if echoed != body(seed, 0, length) {
                record.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        match kind {
            "dies-before" => return Ok(()),
            "tunnel" => return tunnel(stream).await,
            _ => {}
        }
        let known = matches!(kind, "length" | "echo" | "dies-within");
        let framing = match known {
            true => format!("Content-Length: {size}"),
            false => "Transfer-Encoding: chunked".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n{framing}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).await?;
        let end = if kind == "dies-within" { size / 2 } else { size };
        let mut at = 0;
        while at < end {
            let next = end.min(at + 10_000);
            let piece = body(seed, at, next);
            if !known {
                stream.get_mut().write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            stream.get_mut().write_all(&piece).await?;
            if !known {
                stream.get_mut().write_all(b"\r\n").await?;
            }
            if kind == "slow" {
                sleep(Duration::from_millis(5)).await;
            }
            at = next;
        }
        if kind == "dies-within" {
            return Ok(());
        }
        if !known {
            stream.get_mut().write_all(b"0\r\n\r\n").await?;
        }
        drop(present);
    }
}

async fn tunnel(mut stream: BufReader<TcpStream>) -> std::io::Result<()> {
    stream
        .get_mut()
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: soak\r\n\r\n",
        )
        .await?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.get_mut().write_all(&buffer[..count]).await?;
    }
}

/// How an exchange went, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Whole and right.
    Right,
    /// Refused or failed, and said so.
    Refused,
    /// Cut short, visibly.
    Cut,
    /// The client itself broke off.
    GivenUp,
    /// It looked whole and was not right: never.
    Wrong,
    /// Neither a response nor an end came: never.
    Stuck,
}

/// One exchange on a connection of its own, misbehaving as drawn.
pub async fn misbehave(proxy: SocketAddr, random: &mut Random) -> Outcome {
    let kind = KINDS[random.below(KINDS.len() as u64) as usize];
    let (seed, size) = (random.roll() >> 1, random.below(120_000));
    let manner = random.below(6);
    let exchange = async {
        match kind {
            "tunnel" => talk_through(proxy, seed, manner).await,
            _ => exchange(proxy, kind, seed, size, manner).await,
        }
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Cut,
        Err(_) => Outcome::Stuck,
    }
}

async fn exchange(
    proxy: SocketAddr,
    kind: &str,
    seed: u64,
    size: u64,
    manner: u64,
) -> std::io::Result<Outcome> {
    let stream = TcpStream::connect(proxy).await?;
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    let sends = matches!(kind, "echo" | "early");
    let head = match sends {
        true => format!(
            "POST /{kind}/{seed}/{size} HTTP/1.1\r\nHost: soak\r\nContent-Length: {size}\r\n\r\n"
        ),
        false => format!("GET /{kind}/{seed}/{size} HTTP/1.1\r\nHost: soak\r\n\r\n"),
    };
    if manner == 1 {
        stream.get_mut().write_all(&head.as_bytes()[..head.len() / 2]).await?;
        return Ok(Outcome::GivenUp);
    }
    stream.get_mut().write_all(head.as_bytes()).await?;
    if sends {
        let whole = body(seed, 0, size);
        let mut at = 0;
        while at < whole.len() {
            let next = whole.len().min(at + 20_000);
            if stream.get_mut().write_all(&whole[at..next]).await.is_err() {
                break;
            }
            match manner {
                2 if at > 0 => return Ok(Outcome::GivenUp),
                3 => sleep(Duration::from_millis(5)).await,
                _ => {}
            }
            at = next;
        }
    }
    let head = read_head(&mut stream).await?;
    if !head.starts_with("HTTP/1.1 200") && !head.starts_with("HTTP/1.1 413") {
        return Ok(if head.starts_with("HTTP/1.1 50") { Outcome::Refused } else { Outcome::Wrong });
    }
    let mut reader = Reader { seed, at: 0, manner };
    match field(&head, "content-length").and_then(|text| text.parse::<u64>().ok()) {
        Some(length) => {
            if let Some(outcome) = reader.take(&mut stream, length).await? {
                return Ok(outcome);
            }
        }
        None => loop {
            let line = read_line(&mut stream).await?;
            let Ok(length) = u64::from_str_radix(line.trim_end(), 16) else {
                return Ok(Outcome::Wrong);
            };
            if let Some(outcome) = reader.take(&mut stream, length).await? {
                return Ok(outcome);
            }
            read_line(&mut stream).await?;
            if length == 0 {
                break;
            }
        },
    }
    Ok(if reader.at == size { Outcome::Right } else { Outcome::Wrong })
}

/// Checks a body as it comes.
struct Reader {
    seed: u64,
    at: u64,
    manner: u64,
}

impl Reader {
    /// Reads so many bytes. Something, when that settles the outcome.
    async fn take(
        &mut self,
        stream: &mut BufReader<TcpStream>,
        length: u64,
    ) -> std::io::Result<Option<Outcome>> {
        let mut left = length;
        let mut buffer = [0; 8192];
        while left > 0 {
            let room = left.min(buffer.len() as u64) as usize;
            let count = stream.read(&mut buffer[..room]).await?;
            if count == 0 {
                return Ok(Some(Outcome::Cut));
            }
            for byte in &buffer[..count] {
                if *byte != byte_at(self.seed, self.at) {
                    return Ok(Some(Outcome::Wrong));
                }
                self.at += 1;
            }
            left -= count as u64;
            match self.manner {
                4 if self.at > 20_000 => return Ok(Some(Outcome::GivenUp)),
                5 => sleep(Duration::from_millis(2)).await,
                _ => {}
            }
        }
        Ok(None)
    }
}

async fn talk_through(proxy: SocketAddr, seed: u64, manner: u64) -> std::io::Result<Outcome> {
    let mut stream = BufReader::new(TcpStream::connect(proxy).await?);
    let ask = format!(
        "GET /tunnel/{seed}/0 HTTP/1.1\r\nHost: soak\r\n\
         Connection: Upgrade\r\nUpgrade: soak\r\n\r\n"
    );
    stream.get_mut().write_all(ask.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    if !head.starts_with("HTTP/1.1 101") {
        return Ok(if head.starts_with("HTTP/1.1 50") { Outcome::Refused } else { Outcome::Wrong });
    }
    for round in 0..20 {
        let said = body(seed, round * 100, round * 100 + 100);
        let mut heard = [0; 100];
        stream.get_mut().write_all(&said).await?;
        stream.read_exact(&mut heard).await?;
        if heard[..] != said[..] {
            return Ok(Outcome::Wrong);
        }
        if manner == 1 && round == 10 {
            return Ok(Outcome::GivenUp);
        }
    }
    // Half a close: the app is still to get the last message and to respond.
    stream.get_mut().write_all(b"bye").await?;
    stream.get_mut().shutdown().await?;
    let mut last = Vec::new();
    stream.read_to_end(&mut last).await?;
    Ok(if last == b"bye" { Outcome::Right } else { Outcome::Wrong })
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut head = String::new();
    loop {
        let line = read_line(stream).await?;
        if line == "\r\n" {
            return Ok(head);
        }
        head.push_str(&line);
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(stream, &mut line).await?;
    match line.ends_with('\n') {
        true => Ok(line),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn target(head: &str) -> Option<(&str, u64, u64)> {
    let mut parts = head.split(' ').nth(1)?.split('/').skip(1);
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
