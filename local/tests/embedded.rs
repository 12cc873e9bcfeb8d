//! A service in a program that is not ours: started, asked, scaled to zero, given up, ended.
//!
//! Without the test harness, because this program plays the roles of its own services.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use tidegate_controller::Notice;
use tidegate_local::{Config, RoleProgram, Service, Settings, StartError, roles};

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    if std::env::args().any(|argument| argument == "app") {
        return app();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        from_zero_and_back().await;
        an_app_that_never_starts_is_given_up().await;
        another_program_that_is_not_there_is_an_error().await;
    });
    ExitCode::SUCCESS
}

fn settings(argument: &str) -> Settings {
    let program = std::env::current_exe().expect("this program");
    let mut settings = Settings::new("web", [program.into_os_string(), argument.into()]);
    settings.initial = 0;
    settings.window = Duration::from_secs(6);
    settings.idle = Some(Duration::from_secs(1));
    settings
}

fn config(settings: &Settings) -> Config {
    Config::new(settings.declare().expect("valid"), RoleProgram::Ourselves).expect("a port")
}

async fn from_zero_and_back() {
    let mut service = Service::start(config(&settings("app"))).await.expect("started");
    assert_eq!(service.status().await.expect("it runs").revision.ready, 0);
    let address = service.address();
    let response = tokio::task::spawn_blocking(move || get(address)).await.expect("joined");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let status = service.wait_until(|status| status.revision.instances.is_empty()).await;
    let status = status.expect("it runs");
    assert_eq!((status.activator.requests, status.activator.cold_starts), (1, 1));
    service.drain(Duration::from_secs(5)).await.expect("drained");
    assert_eq!(service.finish().await, 0, "nothing was left");
}

async fn an_app_that_never_starts_is_given_up() {
    let mut settings = settings("no-such-mode");
    settings.initial = 1;
    settings.start_timeout = Duration::from_millis(300);
    settings.command = vec!["sleep".into(), "600".into()];
    let mut service = Service::start(config(&settings)).await.expect("started");
    let mut notices = service.watch_notices();
    let why = loop {
        if let Notice::GaveUp { ending, .. } = notices.recv().await.expect("it runs") {
            break ending.what;
        }
    };
    assert!(why.contains("did not become ready within 300 ms"), "{why}");
    service.give_up(why, Duration::from_millis(100)).await.expect("ended");
    assert_eq!(service.finish().await, 0, "nothing was left");
}

async fn another_program_that_is_not_there_is_an_error() {
    let roles = RoleProgram::Other("/no/such/program".into());
    let config = Config::new(settings("app").declare().expect("valid"), roles).expect("a port");
    let error = Service::start(config).await.err().expect("refused");
    assert!(matches!(error, StartError::System { .. }), "{error}");
}

fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

fn app() -> ExitCode {
    let port = std::env::var("PORT").expect("set").parse().expect("a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut request = [0; 4_096];
        // A probe that only checks whether the port is open sends nothing.
        if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(response).expect("written");
        }
    }
    ExitCode::SUCCESS
}
