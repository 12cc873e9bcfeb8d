//! What a service may say of itself: where and how it runs, what is built, whom it waits for.

use crate::{Desk, address, filled, get};

fn ends(up: &mut crate::running::Running) {
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
    assert!(up.descendants().is_empty());
}

#[test]
fn folder_variables_build_and_order_are_as_the_file_says() {
    let desk = Desk::new("");
    std::fs::create_dir(desk.path("app")).expect("made");
    std::fs::write(desk.path("vars"), "FROM_FILE=file\nBOTH=file\n").expect("written");
    // The port in a variable's value, the folder, who wins, and what the platform adds.
    let script = "echo says $PWD $FROM_FILE $BOTH $OTHER_PORT=$PORT $K_SERVICE $K_REVISION; \
                  cat built; exec";
    let app = filled("APP");
    let app: Vec<&str> = app.trim_matches(['[', ']']).split(", ").collect();
    let app: Vec<&str> = app.iter().map(|word| word.trim_matches('"')).collect();
    desk.write(&format!(
        r#"
[service.web]
command = "{script} {}"
directory = "app"
env_files = ["vars"]
environment = {{ BOTH = "here", OTHER_PORT = "{{PORT}}" }}
build = "echo building; echo made > built"
after = ["db"]
[service.db]
command = ["sh", "-c", "sleep 0.3; exec \"$@\"", "x", "{}"]
"#,
        app.join(" "),
        app.join("\", \"")
    ));
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    let output = up.output();
    let at = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text:?} in {output}"));
    assert!(at("db-00001-1 is ready") < at("web-build | building"), "{output}");
    assert!(at("web-build | building") < at("web-00001-1 | made"), "{output}");
    let says = output.lines().find(|line| line.contains("| says ")).expect("it says something");
    let words: Vec<&str> = says.split("| says ").nth(1).expect("words").split(' ').collect();
    assert!(words[0].ends_with("/app"), "{says}");
    assert_eq!(words[1..3], ["file", "here"], "{says}");
    let (port, same) = words[3].split_once('=').expect("both ports");
    assert_eq!(port, same, "{says}");
    assert_eq!(words[4..], ["web", "web-00001"], "{says}");
    ends(&mut up);
}

#[test]
fn a_build_that_fails_is_told_and_its_service_answers_why() {
    let desk = Desk::new("[service.web]\ncommand = APP\nbuild = \"echo no compiler; exit 7\"\n");
    let mut up = desk.up(&[]);
    up.wait_for("web cannot be served: its build failed");
    up.wait_for("no compiler");
    let at = address(&mut up);
    let mut answer = (0, String::new());
    crate::running::wait_until("it answers why", || {
        answer = get(&at, "web.localhost", "/").expect("an answer");
        answer.0 == 503
    });
    assert!(answer.1.contains("its build failed"), "{answer:?}");
    desk.write("[service.web]\ncommand = APP\nbuild = \"echo fine\"\n");
    up.wait_for("web-00002-1 is ready");
    crate::running::wait_until("it serves", || {
        get(&at, "web.localhost", "/").expect("an answer").0 == 200
    });
    ends(&mut up);
}

/// In the place of `pack`: it writes down what it was told, as an app is told its variables.
const PACK: &str = "#!/bin/sh\necho pack in $(basename $PWD) with $STAGE: $*\n\
                    echo built > \"$(echo $2 | tr : _)\"\n";

#[test]
fn a_buildpack_is_run_where_there_is_pack_and_else_it_is_said_what_is_missing() {
    let desk = Desk::new(
        "[service.web]\ncommand = \"cat shop_1; exec APP\"\ndirectory = \"app\"\n\
         environment = { STAGE = \"test\" }\n\
         build = { pack = \"shop:1\", builder = \"example/builder\" }\n",
    );
    let text = std::fs::read_to_string(desk.path("tidegate.toml")).expect("there");
    let app = filled("APP").trim_matches(['[', ']']).replace("\", \"", " ").replace('"', "");
    let text = text.replace(&filled("APP"), &app);
    std::fs::write(desk.path("tidegate.toml"), text).expect("written");
    std::fs::create_dir(desk.path("app")).expect("made");
    // Without `pack` nothing is begun.
    let usual = std::env::var("PATH").expect("it is set");
    let without = desk.path("none").display().to_string();
    let mut up = desk.up_with(&[], &[("PATH", &without)]);
    assert_eq!(up.wait_for_exit(), Some(2), "{}", up.output());
    for told in [
        "tidegate.toml:5:9: service \"web\": `build`: there is no program \"pack\" in PATH\n",
        "\n  `pack` is the program of Cloud Native Buildpacks, and needs Docker or Podman: https:",
    ] {
        assert!(up.output().contains(told), "{}", up.output());
    }
    let programs = desk.path("bin");
    std::fs::create_dir(&programs).expect("made");
    std::fs::write(programs.join("pack"), PACK).expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(programs.join("pack"), executable).expect("set");
    let path = format!("{}:{usual}", programs.display());
    let mut up = desk.up_with(&[], &[("PATH", &path)]);
    up.wait_for(
        "web-build | pack in app with test: build shop:1 --path . --builder example/builder",
    );
    up.wait_for("web-00001-1 | built");
    up.wait_for("web-00001-1 is ready");
    ends(&mut up);
}

/// Requests that come while a service cannot start yet wait for it.
#[test]
fn requests_wait_for_a_service_that_waits_for_others() {
    let desk = Desk::new(
        "[service.web]\ncommand = APP\nafter = [\"db\"]\n[service.db]\ncommand = \"while [ ! -e \
         go ]; do sleep 0.05; done; exec BIN\"\n",
    );
    let text = std::fs::read_to_string(desk.path("tidegate.toml")).expect("there");
    let app = format!("{} {}", env!("CARGO_BIN_EXE_tidegate"), crate::APP);
    std::fs::write(desk.path("tidegate.toml"), text.replace("BIN", &app)).expect("written");
    let mut up = desk.up(&[]);
    let at = address(&mut up);
    let client = std::thread::spawn(move || get(&at, "web.localhost", "/").expect("an answer").0);
    up.wait_for("db-00001-1 starts");
    assert!(!up.output().contains("web-00001-1 starts"), "{}", up.output());
    std::fs::write(desk.path("go"), "").expect("written");
    assert_eq!(client.join().expect("it ends"), 200);
    ends(&mut up);
}

/// Only root can, so only root tests it.
#[test]
fn an_app_runs_as_the_user_that_the_file_names() {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let desk = Desk::new("");
    let script = "echo ids $(id -u) $(id -g) $HOME; exec python3 -m http.server {PORT}";
    desk.write(&format!(
        "[service.web]\ncommand = \"{script}\"\nuser = \"nobody\"\ndirectory = \"/\"\n"
    ));
    let nobody = users.lines().find(|line| line.starts_with("nobody:"));
    let Some(nobody) = nobody.filter(|_| is_root) else {
        let mut up = desk.up(&[]);
        assert_eq!(up.wait_for_exit(), Some(2));
        assert!(up.output().contains("`user`: "), "{}", up.output());
        return;
    };
    let fields: Vec<&str> = nobody.split(':').collect();
    let mut up = desk.up(&[]);
    up.wait_for(&format!("| ids {} {} {}", fields[2], fields[3], fields[5]));
    up.wait_for("web-00001-1 is ready");
    ends(&mut up);
}

/// Where control groups cannot be had that is said once, and the services run; where they can, the
/// instances are in groups with these limits.
#[test]
fn limits_are_set_or_it_is_said_once_why_not() {
    let limits = "limits = { memory = \"512Mi\", processes = 200 }";
    let desk = Desk::new(&format!(
        "[service.web]\ncommand = APP\n{limits}\n[service.api]\ncommand = APP\n{limits}\n"
    ));
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    up.wait_for("api-00001-1 is ready");
    match up.output().matches("`limits` are not set here: ").count() {
        0 => {
            let group_of = |pid: &u32| {
                let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
                let groups = groups.unwrap_or_default();
                groups.lines().find_map(|line| line.strip_prefix("0::/")).map(str::to_owned)
            };
            let groups: Vec<String> = up.descendants().iter().filter_map(group_of).collect();
            let is_limited = |group: &String| {
                let limit = format!("/sys/fs/cgroup/{group}/memory.max");
                std::fs::read_to_string(limit).is_ok_and(|limit| limit.trim() == "536870912")
            };
            assert!(groups.iter().any(is_limited), "{groups:?}");
        }
        told => assert_eq!(told, 1, "{}", up.output()),
    }
    ends(&mut up);
}

#[test]
fn a_second_interrupt_is_immediate_and_the_summary_counts_all_services() {
    let desk = Desk::new("[service.web]\ncommand = APP\n[service.api]\ncommand = APP\n");
    let mut up = desk.up(&["--json", "-q"]);
    up.wait_for("web-00001-1 is ready");
    up.wait_for("api-00001-1 is ready");
    let at = address(&mut up);
    for host in ["web.localhost", "api.localhost", "api.localhost"] {
        assert_eq!(get(&at, host, "/").expect("an answer").0, 200);
    }
    ends(&mut up);
    let summary = up.output().lines().rev().find(|line| line.starts_with('{')).map(str::to_owned);
    let summary = summary.unwrap_or_else(|| panic!("no summary in {}", up.output()));
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(summary["requests"], 3);
    let requests = |name: &str| {
        let services = summary["services"].as_array().expect("a list");
        let found = services.iter().find(|service| service["service"] == name);
        found.expect("it is there")["requests"].as_u64()
    };
    assert_eq!((requests("web"), requests("api")), (Some(1), Some(2)));
}
