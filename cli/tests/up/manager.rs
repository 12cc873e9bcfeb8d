//! A service manager before us: it hands over listeners, and is told how things stand.

use std::os::unix::net::UnixDatagram;

use crate::{Desk, PATIENCE, get};

#[test]
fn a_service_manager_is_told_when_clients_can_connect_and_when_the_end_begins() {
    let desk = Desk::new("[service.web]\ncommand = APP\n");
    let socket = desk.path("notify");
    let manager = UnixDatagram::bind(&socket).expect("bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("set");
    let heard = || {
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).expect("something is told");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut up = desk.up_with(&[], &[("NOTIFY_SOCKET", &socket.display().to_string())]);
    assert_eq!(heard(), "READY=1");
    crate::running::kill(up.pid(), "HUP");
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1");
    up.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}

/// Hands a listener over as descriptor 3, as systemd does; a shell that becomes the program has the
/// process id that it is for.
const HAND_OVER: &str = r#"import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
if listener.fileno() != 3: os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_listener_that_was_handed_over_is_the_front_door() {
    let desk = Desk::new("[service.web]\ncommand = APP\n");
    std::fs::write(desk.path("hand.py"), HAND_OVER).expect("written");
    let mut child = std::process::Command::new("python3")
        .arg(desk.path("hand.py"))
        .arg(env!("CARGO_BIN_EXE_tidegate"))
        .args(["up", "-f"])
        .arg(desk.path("tidegate.toml"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
    let port = lines.next().expect("a line").expect("text");
    let port = port.strip_prefix("port ").expect("a port").to_owned();
    let at = format!("127.0.0.1:{port}");
    // Clients connect before there is anybody to answer: the system holds them.
    assert_eq!(get(&at, "web.localhost", "/").expect("an answer").0, 200);
    crate::running::kill(child.id(), "TERM");
    let shown: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(child.wait().expect("it ends").success(), "{shown:#?}");
    let place = format!("web on http://web.localhost:{port}");
    assert!(shown.iter().any(|line| line.ends_with(&place)), "{shown:#?}");
}
