//! An app that goes from zero to several instances and back, watched from a program of one's own.
//!
//! ```console
//! cargo run -p tidegate-local --example scale_to_zero
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use tidegate_local::{Config, RoleProgram, Service, Settings, roles};

/// How long the app works on a request.
const WORK: Duration = Duration::from_millis(300);

/// Requests that are sent at once.
const REQUESTS: usize = 8;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // The service starts this very program again, as the queue-proxy beside each instance.
    if let Some(code) = roles::play() {
        return Ok(code);
    }
    // It is also the app, so that the example needs no other program: any command that listens on
    // $PORT will do.
    if std::env::args().any(|argument| argument == "app") {
        app()?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Runtime::new()?.block_on(watch())?;
    Ok(ExitCode::SUCCESS)
}

async fn watch() -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let mut settings = Settings::new("web", [program.into_os_string(), "app".into()]);
    settings.concurrency = 2;
    settings.initial = 0;
    // The shortest window that Knative allows, and a second without requests is enough to stop.
    settings.window = Duration::from_secs(6);
    settings.idle = Some(Duration::from_secs(1));
    let config = Config::new(settings.declare()?, RoleProgram::Ourselves)?;
    let mut service = Service::start(config).await?;
    let address = service.address();
    println!("serving http://{address}, no instance yet");

    let requests: Vec<_> =
        (0..REQUESTS).map(|_| tokio::task::spawn_blocking(move || get(address))).collect();
    for request in requests {
        assert_eq!(request.await??, "200 OK");
    }
    let status = service.status().await?;
    println!(
        "{} served, {} of them after a cold start; {} ready now",
        status.activator.requests, status.activator.cold_starts, status.revision.ready
    );
    service.wait_until(|status| status.revision.instances.is_empty()).await?;
    println!("back at zero: {}", service.status().await?.revision.last_reason);

    service.drain(Duration::from_secs(5)).await?;
    let swept = service.finish().await;
    println!("ended, {swept} leftover processes had to be killed");
    Ok(())
}

/// One request over a connection of its own: the status of the response.
fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.lines().next().unwrap_or_default();
    Ok(status.strip_prefix("HTTP/1.1 ").unwrap_or(status).to_owned())
}

/// The smallest server that will do.
fn app() -> Result<(), Box<dyn Error>> {
    let port = std::env::var("PORT")?.parse()?;
    for stream in TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || {
            let mut request = [0; 4_096];
            // A probe that only checks whether the port is open sends nothing.
            if stream.read(&mut request)? > 0 {
                std::thread::sleep(WORK);
                let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(response)?;
            }
            std::io::Result::Ok(())
        });
    }
    Ok(())
}
