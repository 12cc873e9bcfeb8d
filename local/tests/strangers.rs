//! Processes of other users get nothing at the socket for commands, even where the modes of its
//! folder and its file would let them connect.
//!
//! Without the test harness: this program starts itself as another user, which only root can.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use tidegate_local::operate::{Roster, Socket};

/// What an HTTP/2 client begins with (RFC 9113, 3.4), and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Nobody, on every Linux.
const STRANGER: u32 = 65_534;

/// The other process was answered.
const ANSWERED: i32 = 7;

/// The other process was connected and got nothing.
const NOTHING: i32 = 8;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "knock").skip(1);
    if let Some(path) = arguments.next() {
        return knock(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run-1.sock");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let socket = runtime.block_on(async { Socket::open(&Roster::new(), &path) }).expect("open");
    assert_eq!(knocked(&path, None), Some(ANSWERED), "our own user is answered");
    if !rustix::process::getuid().is_root() {
        println!("only root can be somebody else: strangers were not tried");
        return ExitCode::SUCCESS;
    }
    assert_eq!(knocked(&path, Some(STRANGER)), None, "the modes keep strangers out");
    for (path, mode) in [(folder.path(), 0o755), (&*path, 0o666)] {
        let open = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, open).expect("it is ours");
    }
    assert_eq!(knocked(&path, Some(STRANGER)), Some(NOTHING), "and so does the check of a peer");
    assert_eq!(knocked(&path, None), Some(ANSWERED));
    runtime.block_on(socket.close());
    assert!(!path.exists());
    println!("strangers were refused");
    ExitCode::SUCCESS
}

/// What a process of this user gets; `None` where it cannot even connect.
fn knocked(path: &Path, user: Option<u32>) -> Option<i32> {
    let program = std::env::current_exe().expect("this program");
    // Other users may not reach the folder of the build.
    let copy = std::env::temp_dir().join(format!("tidegate-strangers-{}", std::process::id()));
    std::fs::copy(program, &copy).expect("copied");
    let mut command = Command::new(&copy);
    command.arg("knock").arg(path);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let status = command.status();
    std::fs::remove_file(&copy).expect("it is ours");
    status.expect("it starts").code().filter(|code| *code != 1)
}

fn knock(path: &Path) -> ExitCode {
    let Ok(mut stream) = UnixStream::connect(path) else { return ExitCode::FAILURE };
    let mut answer = [0; 1];
    // A peer that is refused may see its connection closed before it has written.
    let answered = stream.write_all(PREFACE).and_then(|()| stream.read(&mut answer));
    let code = if answered.is_ok_and(|bytes| bytes > 0) { ANSWERED } else { NOTHING };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
