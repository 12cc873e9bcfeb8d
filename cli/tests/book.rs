//! The README and the book are run: every console example marked `<!-- run -->` is typed into a
//! shell, and must print what the page shows.
//!
//! A shown line may leave out what differs between machines with `…`, and whole lines with `...`.
//! A `cat` of a file that is not there yet shows what is to be in it. An example without output
//! must only succeed.

#![expect(clippy::unwrap_used, reason = "what cannot be read or run fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Begins a fenced block that is run; stands in the line before it.
const MARK: &str = "<!-- run -->";

/// What a page shows: a command, and what it prints.
struct Example {
    place: String,
    command: String,
    shown: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The README, and all pages of the book.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("md") => pages.push(path),
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    pages.sort();
    pages
}

/// The marked examples of a page, in their order.
fn examples(page: &Path) -> Vec<Example> {
    let text = std::fs::read_to_string(page).unwrap();
    let name = page.strip_prefix(root()).unwrap().display().to_string();
    let mut found: Vec<Example> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line != MARK {
            continue;
        }
        assert_eq!(lines.next().unwrap().1, "```console", "{name}:{}", number + 2);
        let mut continues = false;
        for (number, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            if let Some(command) = line.strip_prefix("$ ") {
                let place = format!("{name}:{}", number + 1);
                found.push(Example { place, command: command.to_owned(), shown: Vec::new() });
            } else {
                let example = found.last_mut().expect("an example begins with a command");
                if continues {
                    example.command.push_str(&format!("\n{line}"));
                } else {
                    example.shown.push(line.to_owned());
                }
            }
            continues = line.ends_with('\\') && (continues || line.starts_with("$ "));
        }
    }
    found
}

/// A folder in which examples find what they name.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("examples"), desk.path().join("examples")).unwrap();
    std::fs::create_dir(desk.path().join("cli")).unwrap();
    std::os::unix::fs::symlink(root().join("cli/tests"), desk.path().join("cli/tests")).unwrap();
    let log: String = (0..300)
        .map(|second| {
            format!(
                "10.0.0.1 - - [25/Nov/2026:10:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 512\n",
                second / 60,
                second % 60
            )
        })
        .collect();
    std::fs::write(desk.path().join("access.log"), log).unwrap();
    desk
}

/// Types a command into a shell; gives what it printed, and whether it succeeded.
fn typed(command: &str, desk: &Path) -> (String, bool) {
    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(desk)
        .env("PATH", format!("{binary}:{path}"))
        .env("COLUMNS", "90")
        .env("NO_COLOR", "1")
        .env_remove("TIDEGATE_CONTROLLER")
        // Commands for what runs here are for what the page has started.
        .env("XDG_RUNTIME_DIR", desk)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

/// Whether a printed line is the shown one; `…` stands for anything.
fn is_like(printed: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        let at = if is_last { rest.rfind(part) } else { rest.find(part) };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Whether what was printed is what the page shows.
fn is_shown(printed: &[&str], shown: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, others)) if line == "..." => {
            (0..=printed.len()).any(|skipped| is_shown(&printed[skipped..], others))
        }
        Some((line, others)) => printed
            .split_first()
            .is_some_and(|(first, rest)| is_like(first.trim_end(), line) && is_shown(rest, others)),
    }
}

#[test]
fn what_the_pages_show_is_what_is_printed() {
    let has_jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_ok();
    let (mut run, mut wrong) = (0, Vec::new());
    for page in pages() {
        let desk = desk();
        for example in examples(&page) {
            let Example { place, command, shown } = example;
            if let Some(file) = command.strip_prefix("cat ") {
                std::fs::write(desk.path().join(file), shown.join("\n") + "\n").unwrap();
                continue;
            }
            if command.contains("| jq") && !has_jq {
                continue;
            }
            run += 1;
            let (printed, succeeded) = typed(&command, desk.path());
            let lines: Vec<&str> = printed.lines().collect();
            let right = if shown.is_empty() { succeeded } else { is_shown(&lines, &shown) };
            if !right {
                wrong.push(format!("{place}: $ {command}\n{printed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} examples are not so:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(run >= 15, "only {run} examples were run: are the marks still there?");
    eprintln!("{run} examples of the README and the book were run");
}

#[test]
fn lines_are_compared_with_gaps() {
    assert!(is_like("in 10 min, simulated in 124 ms (1/s)", "in 10 min, simulated in …"));
    assert!(is_like("a 1 b 2 c", "a … b … c") && !is_like("a 1 b 2 d", "a … b … c"));
    assert!(!is_like("abc", "ab") && is_like("abc", "abc"));
    let shown = ["...".to_owned(), "end".to_owned()];
    assert!(is_shown(&["x", "y", "end"], &shown) && !is_shown(&["x", "y"], &shown));
}
