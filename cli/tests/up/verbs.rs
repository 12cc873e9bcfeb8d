//! `check` and `init`, and what `up` says of a file that it cannot use.

use std::path::Path;
use std::process::{Command, Output};

use crate::Desk;

fn tidegate(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder).args(words.split(' ')).output().expect("it starts")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn check_tells_every_mistake_with_file_line_and_column() {
    let desk = Desk::new("[service.web]\ncommand = APP\n");
    let folder = desk.folder.path();
    let good = tidegate(folder, "check");
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert_eq!(said(&good), "tidegate.toml: 1 service, nothing is wrong\n");
    desk.write(
        "[service.web]\ncommand = APP\nmx = 3\n[service.api]\ncommand = APP\nset = { targt = 3 }\n",
    );
    let wrong = tidegate(folder, "check");
    assert_eq!(wrong.status.code(), Some(2));
    let told = said(&wrong);
    assert!(told.contains("tidegate.toml:3:1: service \"web\": unknown key `mx`"), "{told}");
    desk.write(
        "[service.web]\ncommand = 'no-such-program-here'\ndirectory = 'nowhere'\n[service.api]\n\
         command = APP\nset = { targt = 3 }\nwindow='10s'\nuser='nobody-of-this-name'\n",
    );
    let told = said(&tidegate(folder, "check"));
    for line in [
        "tidegate.toml:3:13: service \"web\": `directory`: there is no folder ",
        "tidegate.toml:6:7: service \"api\": `set`: ",
        "did you mean `target`?",
        "tidegate.toml:8:6: service \"api\": `user`: there is no user \"nobody-of-this-name\" here",
    ] {
        assert!(told.contains(line), "no {line} in {told}");
    }
    let missing = tidegate(folder, "check elsewhere.toml");
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("cannot read elsewhere.toml"), "{}", said(&missing));
    let schema = tidegate(folder, "check --schema");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert!(schema["properties"]["service"].is_object());
}

#[test]
fn up_says_the_same_and_where_to_begin() {
    let empty = tempfile::tempdir().expect("a folder");
    let none = tidegate(empty.path(), "up");
    assert_eq!(none.status.code(), Some(2));
    assert!(said(&none).contains("`tidegate init` writes one"), "{}", said(&none));
    let desk = Desk::new("[service.web]\ncommand = 'no-such-program-here'\n");
    let wrong = tidegate(desk.folder.path(), "up");
    assert_eq!(wrong.status.code(), Some(2));
    let told = "tidegate up: tidegate.toml:2:11: service \"web\": `command`: there is no program";
    assert!(said(&wrong).contains(told), "{}", said(&wrong));
}

#[test]
fn init_writes_what_it_finds_and_overwrites_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    write("Procfile", "web: python3 -m http.server $PORT\n");
    write("docker-compose.yml", "services: { api: { command: sh api.sh }, db: { image: pg } }\n");
    let first = tidegate(folder.path(), "init");
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(said(&first).contains("tidegate.toml has web, api"), "{}", said(&first));
    let checked = tidegate(folder.path(), "check");
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let text = std::fs::read_to_string(folder.path().join("tidegate.toml")).expect("written");
    let again = tidegate(folder.path(), "init");
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).contains("is there already"), "{}", said(&again));
    let now = std::fs::read_to_string(folder.path().join("tidegate.toml")).expect("there");
    assert_eq!(text, now);
}

#[test]
fn a_service_of_knative_is_served_and_what_is_ignored_is_said() {
    let program = env!("CARGO_BIN_EXE_tidegate");
    let words: Vec<String> = crate::APP.split(' ').map(|word| format!("\"{word}\"")).collect();
    let text = format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{ name: web }}\n\
         spec:\n  template:\n    spec:\n      containers:\n        - image: web\n          \
         command: [\"{program}\"]\n          args: [{}]\n",
        words.join(", ")
    );
    let desk = Desk::new("");
    std::fs::write(desk.path("ksvc.yaml"), text).expect("written");
    let file = desk.path("ksvc.yaml").display().to_string();
    let arguments = ["-f", &file, "--listen", "127.0.0.1:0"].map(str::to_owned);
    let mut up = crate::running::Running::start_verb("up", arguments.into(), &[]);
    up.wait_for("ksvc.yaml:8:18: ignored: the container's image means nothing here");
    up.wait_for("web-00001-1 is ready");
    let at = crate::address(&mut up);
    assert_eq!(crate::get(&at, "web.localhost", "/").expect("an answer").0, 200);
    up.signal("TERM");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}
