//! The command: files and standard input, errors with their places, exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::kubelet::TIDEGATE;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  \
                   - {name: a, image: a, ports: [{containerPort: 80}]}\n";

fn inject(flags: &[&str], input: &str) -> Output {
    let mut child = Command::new(TIDEGATE)
        .arg("inject")
        .args(flags)
        .env_remove("TIDEGATE_INJECT_IMAGE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its flags does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn problems_have_their_file_and_line_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.yaml");
    let bad = folder.path().join("bad.yaml");
    std::fs::write(&good, POD).unwrap();
    std::fs::write(&bad, "a: 1\nb: [\n").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());

    let output = inject(&["-f", good, "-f", bad, "--image", "i"], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(text(&output.stderr).contains(&format!("{bad}:2:")), "{}", text(&output.stderr));

    let host = POD.replace("spec:\n", "spec:\n  hostNetwork: true\n");
    std::fs::write(bad, host).unwrap();
    let output = inject(&["-f", good, "-f", bad, "--image", "i"], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let errors = text(&output.stderr);
    assert!(errors.contains(&format!("{bad}:1: Pod a: it uses the node's network")), "{errors}");
    assert!(errors.contains("nothing was written"), "{errors}");
}

#[test]
fn files_come_out_as_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod.yaml");
    std::fs::write(&path, POD).unwrap();
    let path = path.to_str().unwrap();
    let output = inject(&["-f", path, "-f", "-", "--image", "i"], POD);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("- name: tidegate-queue-proxy\n").count(), 2);
    assert_eq!(text(&output.stdout).matches("\n---\n").count(), 1);
    // And again: twice is once.
    let again = inject(&["--image", "i"], text(&output.stdout));
    assert_eq!(text(&again.stdout), text(&output.stdout));
}

#[test]
fn flags_are_refused_in_words() {
    for (flags, reason) in [
        (&["--port", "0", "--image", "i"][..], "--port: '0', expected a port from 1 to 65535"),
        (&["-c", "-1", "--image", "i"], "--concurrency: '-1', expected a number, or auto"),
        (&["--set", "queue-dept=1"], "no setting 'queue-dept', did you mean 'queue-depth'?"),
        (&["--set", "queue-depth"], "'queue-depth', expected KEY=VALUE"),
        (&["-f", "/nonexistent/web.yaml"], "/nonexistent/web.yaml: No such file"),
    ] {
        let output = inject(flags, POD);
        let errors = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{errors}");
        assert!(errors.contains(reason), "{flags:?}: {errors}");
    }
    let output = inject(&[], POD);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--image IMAGE"), "{}", text(&output.stderr));
}
