//! The app that is scaled: `GET /?ms=N` is answered after N milliseconds.
//!
//! It says in its responses when it began to listen, so that a cold start can be told apart from
//! what Tidegate adds to it. `PORT` is where it listens, `START_DELAY_MS` how long it is busy
//! before that.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs it until it is ended.
pub(crate) fn run() -> ExitCode {
    let begun = micros();
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let start_delay = Duration::from_millis(number("START_DELAY_MS").unwrap_or(0));
    std::thread::sleep(start_delay);
    let port = u16::try_from(number("PORT").unwrap_or(8080)).unwrap();
    let listener = TcpListener::bind(("::", port)).unwrap();
    let listening = micros();
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream, (begun, listening)));
    }
    ExitCode::SUCCESS
}

/// Responses to all requests of a connection.
fn serve(mut stream: TcpStream, (begun, listening): (u64, u64)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut target, mut is_last) = (None, false);
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            if line == "\r\n" {
                break;
            }
            // Where no sidecar is in between, a client waits for the end of the connection.
            is_last |= line.eq_ignore_ascii_case("connection: close\r\n");
            target.get_or_insert_with(|| line.split(' ').nth(1).unwrap_or("/").to_owned());
        }
        let target = target.unwrap_or_default();
        let wait = target.split_once("ms=").and_then(|(_, ms)| ms.parse().ok()).unwrap_or(0);
        let service_time = Duration::from_millis(wait);
        std::thread::sleep(service_time);
        let pod = std::env::var("HOSTNAME").unwrap_or_default();
        let body = format!("{begun} {listening} {pod}\n");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() || is_last {
            return;
        }
    }
}

/// Microseconds since 1970, by this machine's clock.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}
