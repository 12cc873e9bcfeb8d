//! What can be mistyped, tried with every option of every verb and every file that is named.
//!
//! The options are read from the verbs' own help, so a new one is tried as well. Whatever is wrong,
//! the program must end with 2, name the option, say what was expected within a bound, and neither
//! panic nor tell of its insides.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Longest answer to a mistake, bytes: a screen.
const ANSWER_BYTES_MAX: usize = 4_000;

/// Every verb, and what else it needs before it looks at anything.
const VERBS: [(&str, &str); 15] = [
    ("run", "-- true"),
    ("demo", ""),
    ("decide", "nowhere.json"),
    ("explain", "--controller 127.0.0.1:1"),
    ("inject", "--image queue-proxy:1"),
    ("activator", "--listen 127.0.0.1:0"),
    ("controller", "--listen 127.0.0.1:0"),
    ("webhook", "--listen 127.0.0.1:0 --certificates nowhere --dns-name localhost"),
    ("sim run", "--arrivals poisson:5 --duration 1s"),
    ("sim compare", "--arrivals poisson:5 --duration 1s --variant target=1"),
    ("sim sweep", "--arrivals poisson:5 --duration 1s --vary min-scale=0"),
    ("sim recommend", "--arrivals poisson:5 --duration 1s --keep p99<1s --vary min-scale=0"),
    ("sim fit", "--arrivals poisson:5"),
    ("sim traffic", "--arrivals poisson:5"),
    ("sim validate", "--only nothing"),
];

fn tidegate(words: &[&OsStr], directory: &Path) -> Output {
    Command::new(TIDEGATE)
        .args(words)
        .current_dir(directory)
        .env_remove("TIDEGATE_CONTROLLER")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn typed(line: &str, directory: &Path) -> Output {
    let words: Vec<&OsStr> = line.split_whitespace().map(OsStr::new).collect();
    tidegate(&words, directory)
}

/// What must hold of an answer to any mistake; gives its text.
fn judge(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{what}: {text}");
    assert!(!text.is_empty(), "{what} is refused without a word");
    for inside in ["panicked", "RUST_BACKTRACE", "transport error", "Error(", "Some(", "ParseInt"] {
        assert!(!text.contains(inside), "{what} tells of insides: {text}");
    }
    assert!(text.len() < ANSWER_BYTES_MAX, "{what}: {} bytes", text.len());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{what}: {text:?}");
    text
}

/// The options of a verb that take a value: their names, and what their values are called.
fn options(verb: &str, directory: &Path) -> Vec<(String, String)> {
    let help = typed(&format!("{verb} --help"), directory);
    let help = String::from_utf8(help.stdout).unwrap();
    let option = |line: &str| {
        let line = line.trim_start();
        let long = line.split_whitespace().find(|word| word.starts_with("--"))?;
        let value = line.split_once(" <")?.1.split_once('>')?.0;
        line.starts_with('-').then(|| (long.to_owned(), value.to_owned()))
    };
    help.lines().filter_map(option).collect()
}

/// Values that no option of this kind can mean.
fn wrong(kind: &str) -> &'static [&'static str] {
    const NUMBERS: &[&str] =
        &["", "-1", "NaN", "inf", "1e999", "abc", "5x", "99999999999999999999999", "--json"];
    const TIMES: &[&str] = &["", "-5s", "abc", "5x", "NaN", "1e999", "5 5", "1h30", "--json"];
    match kind {
        "N" | "N|auto" | "FACTOR" | "SHARE" | "PRICE" => NUMBERS,
        "TIME" | "TIME,TIME" | "FROM..TO" => TIMES,
        "DIST" => &["", "abc", "5x:1", "exp:", "exp:-1s", "exp:1s,2s,3s", "empirical:/nowhere"],
        "KEY=VALUE" => &["", "abc", "=5", "=", "stabel-window=60s", "target=-1"],
        "LABEL=VALUE" => &["", "abc", "=5", "="],
        "ADDR" | "HOST:PORT" => &["", "abc", "host:99999", "1.2.3.4:x", ":", "::"],
        "FIGURE<BOUND" => &["", "abc", "p99", "p98<1s", "p99<250", "cold<2", "p99<-1s"],
        "NAME=VALUES" => &["", "abc", "=1", "target=", "target=1..2", "target=5..1/1"],
        "LAW" | "POLICY" | "RULE" | "WHERE" | "WHOSE" | "HOW" | "WHETHER" | "WHAT" => {
            &["", "abc", "🦀", "none:1"]
        }
        "SPEC" => &["", "abc", "foo:1", "poisson:-1", ":", "10,x"],
        "NAMESPACE/NAME" | "NAMESPACE/NAME[,CONCURRENCY]" => &["", "abc", "a/", "/b"],
        "NAMESPACE/NAME=IP:PORT[,LIMIT]" => &["", "abc", "a/b=x", "a/b=1.2.3.4:5,x"],
        "tcp|/PATH" | "STRANGERS" => &["", "abc"],
        "POLICY_NAME" => &["", "best"],
        _ => &[],
    }
}

#[test]
fn every_value_of_every_option_is_judged() {
    let directory = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for (verb, rest) in VERBS {
        for (option, kind) in options(verb, directory.path()) {
            for value in wrong(&kind) {
                let what = format!("tidegate {verb} {option} {value:?}");
                let before: Vec<&OsStr> = verb.split(' ').map(OsStr::new).collect();
                // What else the verb needs must not be there twice.
                let rest = rest.split_whitespace().map(OsStr::new).collect::<Vec<_>>();
                let given = rest.iter().any(|word| *word == OsStr::new(&option));
                let rest = if given { Vec::new() } else { rest };
                let mine = [OsStr::new(&option), OsStr::new(value)];
                let text = judge(
                    &tidegate(&[&before[..], &mine, &rest].concat(), directory.path()),
                    &what,
                );
                assert!(
                    text.contains(option.trim_start_matches('-')) || kind == "SPEC",
                    "{what}: {text}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried} were tried: are options still found in the help?");
    eprintln!("{tried} values of options were tried");
}

#[test]
fn a_value_may_be_missing_enormous_or_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let enormous = "x".repeat(100_000);
    let control = "\u{1b}[2J\u{7}";
    for (verb, rest) in VERBS {
        let mut kinds = Vec::new();
        for (option, kind) in options(verb, directory.path()) {
            if kinds.contains(&kind) || wrong(&kind).is_empty() {
                continue;
            }
            for value in [OsStr::new(&enormous), OsStr::new(control), OsStr::from_bytes(b"-\xff")] {
                let what = format!("tidegate {verb} {option} {value:.20?}");
                let before: Vec<&OsStr> = verb.split(' ').map(OsStr::new).collect();
                let words = [&before[..], &[OsStr::new(&option), value]].concat();
                judge(&tidegate(&words, directory.path()), &what);
            }
            let bare = format!("{verb} {option}");
            let text = judge(&typed(&bare, directory.path()), &bare);
            assert!(text.contains(&option), "{bare}: {text}");
            kinds.push(kind);
        }
        let unknown = format!("{verb} --no-such-option {rest}");
        let text = judge(&typed(&unknown, directory.path()), &unknown);
        assert!(text.contains("--no-such-option"), "{unknown}: {text}");
    }
}

#[test]
fn files_are_judged_by_their_name_and_content() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::create_dir(here.join("folder.json")).unwrap();
    let contents: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("binary", b"\x00\xff\xfe\x01\x80"),
        ("text", b"this is no such file\n"),
        ("brackets", b"[[[[[[[[[["),
        ("deep", &[b'['; 200_000]),
        ("pair", b"a: b: c\n"),
        ("control", b"\x1b[2J\x07 = 1\n"),
    ];
    let mut tried = 0;
    for extension in ["json", "toml", "yaml", "csv"] {
        for (name, content) in contents {
            std::fs::write(here.join(format!("{name}.{extension}")), content).unwrap();
        }
    }
    let names =
        ["empty", "binary", "text", "brackets", "deep", "pair", "control", "nowhere", "folder"];
    for name in names {
        for (line, extensions) in [
            ("decide", &["json", "toml", "yaml"][..]),
            ("controller --listen nowhere --settings", &["toml"][..]),
            ("sim run --trace", &["csv", "json"][..]),
            ("sim traffic --trace", &["csv"][..]),
            ("sim fit --trace", &["csv"][..]),
            ("sim fit --arrivals poisson:5 --start-ups", &["csv"][..]),
            ("sim run --duration 1s --arrivals fitted:", &["csv"][..]),
            ("sim run --duration 1s --arrivals poisson:5 --service empirical:", &["csv"][..]),
        ] {
            for extension in extensions {
                let empty_settings =
                    matches!((line, name), ("decide", "empty")) && *extension != "json";
                let empty_list = name == "empty" && line.ends_with("--start-ups");
                if empty_settings || empty_list {
                    continue; // No settings and no start-up times are nothing wrong.
                }
                let space = if line.ends_with(':') { "" } else { " " };
                let typed_line = format!("{line}{space}{name}.{extension}");
                let text = judge(&typed(&typed_line, here), &typed_line);
                assert!(text.contains(name) || text.contains("nowhere"), "{typed_line}: {text}");
                tried += 1;
            }
        }
    }
    eprintln!("{tried} files were tried");
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for line in [
        "sim fit --arrivals poisson:5 --start-ups /dev/zero",
        "sim run --arrivals poisson:5 --duration 1s --service empirical:/dev/zero",
    ] {
        let text = judge(&typed(line, directory.path()), line);
        assert!(text.contains("larger than 64 MiB"), "{line}: {text}");
    }
}

#[test]
fn misspelt_verbs_and_options_are_recognised() {
    let directory = tempfile::tempdir().unwrap();
    for (line, meant) in [
        ("rnu", "run"),
        ("dmeo", "demo"),
        ("simm", "sim"),
        ("sim runn", "run"),
        ("sim recomend", "recommend"),
        ("controler", "controller"),
        ("run --widnow 10s -- true", "--window"),
        ("sim run --arivals poisson:5", "--arrivals"),
        ("explain --contoller x", "--controller"),
    ] {
        let text = judge(&typed(line, directory.path()), line);
        assert!(text.contains(&format!("'{meant}'")), "{line}: {text}");
    }
}

#[test]
fn an_aim_that_is_missed_is_no_typing_error() {
    let directory = tempfile::tempdir().unwrap();
    let impossible = "sim recommend --arrivals poisson:5 --service exp:1s --duration 1m \
                      --vary min-scale=0,1 --keep p99<1ms -q";
    let output = typed(impossible, directory.path());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("nothing that was tried keeps p99<1ms"), "{text}");
    let hasty = typed("sim validate --only closed --requests 1000", directory.path());
    assert_eq!(hasty.status.code(), Some(1));
    let text = String::from_utf8_lossy(&hasty.stderr).into_owned();
    assert!(text.contains("1,000 requests are too few to judge by"), "{text}");
}
