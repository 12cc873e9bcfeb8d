//! `tidegate run` as a new user runs it: real processes, real signals, real requests.

mod bad_input;
mod cold_start;
mod drain_bound;
mod ending;
mod guard_killed_too;
mod pipes;
mod readiness;
mod recording;
mod replay;
mod running;
mod spare;
mod tcp;
mod truth;
mod uninvited;
mod unmarked;
mod unseen;
mod watchman;

use running::{Running, get};

/// An app that says its process id, and takes 20 ms for each request.
const APP: &str = r#"echo "pid $$"; exec "$0" demo --app --service-time 20ms --start-up 0ms"#;

/// The app, started through a shell.
fn app() -> Vec<String> {
    ["--", "sh", "-c", APP, env!("CARGO_BIN_EXE_tidegate")].map(str::to_owned).into()
}

fn start(arguments: &[&str]) -> Running {
    let all = arguments.iter().map(|argument| (*argument).to_owned()).chain(app());
    Running::start(all.collect())
}

#[test]
fn it_serves_and_leaves_nothing_behind() {
    let mut run = start(&["--listen", "0"]);
    let pid = run.app_pid();
    run.wait_for("is ready");
    for _ in 0..20 {
        assert_eq!(get(&run.address()).expect("a response").status, 200);
    }
    assert!(run.descendants().len() >= 2, "an app and its queue-proxy");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.output().contains("sh-1 stopped"), "{}", run.output());
    assert!(run.output().contains(" 20 requests in "), "{}", run.output());
    assert!(!running::is_alive(pid), "the app outlived us");
    assert!(run.descendants().is_empty());
}

#[test]
fn the_first_request_starts_the_first_instance_when_there_is_none() {
    let mut run = start(&["--listen", "0", "--initial", "0"]);
    assert!(!run.output().contains("starts"));
    assert_eq!(get(&run.address()).expect("a response").status, 200);
    run.wait_for("is ready");
    run.signal("TERM");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.output().contains("1 met a cold start"), "{}", run.output());
}

#[test]
fn an_idle_service_goes_to_zero_and_comes_back() {
    let mut run = start(&["--listen", "0", "--window", "6s", "--idle", "1s"]);
    run.wait_for("sh-1 stopped");
    assert_eq!(get(&run.address()).expect("a response").status, 200);
    run.wait_for("sh-2 is ready");
    run.wait_for("sh-2 stopped");
    assert_eq!(run.descendants().len(), 0);
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn a_killed_app_is_replaced_and_loses_only_what_it_held() {
    let mut run = start(&["--listen", "0", "--min", "2"]);
    let pid = run.app_pid();
    run.wait_for("sh-1 is ready");
    run.wait_for("sh-2 is ready");
    let address = run.address();
    let client = std::thread::spawn(move || {
        // One request at a time, so that at most one can be held by the instance that is killed.
        let answers = (0..100).map(|_| get(&address).map_or(0, |response| response.status));
        answers.filter(|status| *status != 200).count()
    });
    running::kill(pid, "KILL");
    let lost = client.join().expect("the client ends");
    assert!(lost <= 1, "{lost} of 100 lost");
    run.wait_for("sh-1 failed: the app ended (signal: 9");
    run.wait_for("sh-3 is ready");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn two_hundred_clients_never_exceed_the_limit_of_an_instance() {
    let mut run = start(&["--listen", "0", "-c", "3", "--max", "4"]);
    run.wait_for("is ready");
    let address = run.address();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                let response = get(&address).expect("a response");
                assert_eq!(response.status, 200, "{}", response.head);
                response.header("x-in-flight").expect("the app counts").parse::<u32>()
            })
        })
        .collect();
    let most = clients.into_iter().map(|c| c.join().expect("it ends").expect("a number")).max();
    assert!(most.is_some_and(|most| (1..=3).contains(&most)), "{most:?} in one instance");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn the_rule_for_abandoned_slots_reaches_the_queue_proxies() {
    for (typed, told) in [
        (&["--listen", "0"][..], "hold"),
        (&["--listen", "0", "--abandoned", "release"], "release"),
    ] {
        let mut run = start(typed);
        run.wait_for("is ready");
        let variable = format!("TIDEGATE_ABANDONED={told}");
        let is_told = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        };
        assert!(run.descendants().iter().any(is_told), "{typed:?}");
        run.signal("INT");
        assert_eq!(run.wait_for_exit(), Some(0));
    }
}

#[test]
fn an_app_that_cannot_start_is_reported_with_its_output() {
    let arguments = ["--listen", "0", "--", "sh", "-c", "echo it went boom >&2; exit 3"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    assert_eq!(run.wait_for_exit(), Some(1));
    let output = run.output();
    assert!(output.contains("never became ready in 3 attempts"), "{output}");
    assert!(output.contains("exit status: 3") && output.contains("it went boom"), "{output}");
}

#[test]
fn an_app_that_never_listens_is_given_up() {
    let arguments = ["--listen", "0", "--start-timeout", "200ms", "--", "sleep", "600"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    assert_eq!(run.wait_for_exit(), Some(1));
    assert!(run.output().contains("did not become ready within 200 ms"), "{}", run.output());
    assert!(run.descendants().is_empty());
}

#[test]
fn a_second_interrupt_is_immediate() {
    let slow = APP.replace("20ms", "600s");
    let arguments = ["--listen", "0", "--", "sh", "-c", &slow, env!("CARGO_BIN_EXE_tidegate")];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("is ready");
    let address = run.address();
    let client = std::thread::spawn(move || get(&address));
    run.wait_for_request();
    run.signal("INT");
    run.wait_for("draining");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(130));
    assert!(client.join().expect("it ends").map_or(true, |response| response.status != 200));
    assert!(run.descendants().is_empty());
}

#[test]
fn nothing_survives_a_sudden_death() {
    let mut run = start(&["--listen", "0", "--min", "2"]);
    run.wait_for("sh-1 is ready");
    run.wait_for("sh-2 is ready");
    let left_behind = run.descendants();
    assert!(left_behind.len() >= 4, "two apps with their queue-proxies: {left_behind:?}");
    run.signal("KILL");
    run.wait_for_exit();
    running::wait_until("the guard has ended them", || {
        left_behind.iter().all(|pid| !running::is_alive(*pid))
    });
}

#[test]
fn what_an_app_leaves_behind_goes_with_it() {
    // A process that leaves its parent's process group, as daemons do.
    let stray = format!("setsid sleep 600 & echo \"stray $!\"; {APP}");
    let arguments = ["--listen", "0", "--", "sh", "-c", &stray, env!("CARGO_BIN_EXE_tidegate")];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("is ready");
    assert!(run.descendants().len() >= 3);
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.descendants().is_empty());
}
