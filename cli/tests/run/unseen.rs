//! A daemon was said to have ended well, an app on a Unix socket to listen nowhere, and characters
//! that reorder or hide text went to the terminal as the app wrote them.

use crate::running::Running;

fn start(arguments: &[&str]) -> Running {
    Running::start(arguments.iter().map(|argument| (*argument).to_owned()).collect())
}

#[test]
fn an_app_that_puts_itself_into_the_background_is_reported() {
    let script = "setsid sleep 600 & exit 0";
    let mut run = start(&["--listen", "0", "--", "sh", "-c", script]);
    assert_eq!(run.wait_for_exit(), Some(1));
    let output = run.output();
    let told = "the app ended (exit status: 0) and left a process in the background: run it in the \
                foreground";
    assert!(output.contains(told), "{output}");
    assert!(run.descendants().is_empty());
}

#[test]
fn a_unix_socket_is_reported_where_a_port_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let listen = "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); \
                  s.listen(); time.sleep(600)";
    let mut run = start(&["--listen", "0", "--", "python3", "-c", listen, path.to_str().unwrap()]);
    run.wait_for(&format!("it listens on the Unix socket {} only: let it", path.display()));
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn what_an_app_writes_shows_what_it_hides() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().to_str().expect("text");
    let script = r"printf 'user\342\200\256nimda\rx\033[2J\n'; exit 3";
    let mut run = start(&["--listen", "0", "--log-dir", logs, "--", "sh", "-c", script]);
    assert_eq!(run.wait_for_exit(), Some(1));
    let output = run.output();
    assert!(output.contains(r"sh-1 | user\u{202e}nimda\rx\u{1b}[2J"), "{output}");
    // A file keeps what was written, byte by byte.
    let kept = std::fs::read(folder.path().join("sh-1.log")).expect("it was written");
    assert_eq!(kept, b"user\xe2\x80\xaenimda\rx\x1b[2J\n");
}
