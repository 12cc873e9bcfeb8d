//! The story: one controller has only so much memory and time, and revisions are divided over
//! several. Each decides on its own and on no other; who asks for a revision gets it wherever it
//! is; and where one of them is gone, only its revisions wait for a decision, and no request fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

#[path = "../metrics/sidecar_command.rs"]
mod sidecar_command;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use world::{
    Clients, Process, activator, addresses, app, ask, controller, owner, revisions, sidecar,
    statuses, until,
};

/// How long a controller is gone: two decisions of the others, and a second of its own past.
const AWAY: Duration = Duration::from_secs(5);

fn ports<const COUNT: usize>() -> [u16; COUNT] {
    std::array::from_fn(|_| tidegate_reserved_port::reserve().unwrap().port())
}

fn listening(port: u16, shard: &str) -> Process {
    let controller = Process::start(controller(port, shard));
    controller.said("listening on ");
    controller
}

/// Prints of `tidegate` with these arguments, and whether it succeeded.
fn tidegate(arguments: &[&str]) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.args(arguments).env_remove("TIDEGATE_CONTROLLER").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

/// Waits until each of these controllers has an instance of each of its revisions, and none else.
fn until_divided(ports: &[u16], revisions: &[String]) {
    let shards = u16::try_from(ports.len()).unwrap();
    for (port, shard) in ports.iter().zip(1..) {
        let own: BTreeSet<&String> =
            revisions.iter().filter(|name| owner(name, shards) == shard).collect();
        until(&format!("shard {shard} has its own"), || {
            let known = statuses(&addresses(&[*port]));
            assert!(known.keys().all(|name| own.contains(name)), "{shard}: {known:?}, not {own:?}");
            known.len() == own.len() && known.values().all(|(ready, _)| *ready > 0)
        });
    }
}

#[test]
fn each_decides_on_its_own_and_one_that_is_gone_is_missed_by_nobody() {
    let (ports, revisions, app) = (ports::<3>(), revisions(), app());
    let all = addresses(&ports);
    let shards = ["1/3", "2/3", "3/3"];
    let mut controllers: Vec<Process> =
        ports.iter().zip(shards).map(|(port, shard)| listening(*port, shard)).collect();
    let _sidecars: Vec<Process> = revisions
        .iter()
        .map(|revision| sidecar(app, revision, &format!("{revision}-a"), &all))
        .collect();
    let (_activator, door) = activator("door", &all);
    until_divided(&ports, &revisions);
    for revision in &revisions {
        assert_eq!(ask(door, revision), Ok(()));
    }
    people_ask_all_of_them(&all, &ports, &revisions);

    let clients = Clients::start(door, &revisions);
    until("all are decided on", || {
        statuses(&all).values().filter(|(_, desired)| *desired == 1).count() == revisions.len()
    });
    let second: Vec<&String> = revisions.iter().filter(|name| owner(name, 3) == 2).collect();
    controllers.remove(1).kill();
    let killed = Instant::now();
    clients.until_more(10);
    let (list, is_whole) = tidegate(&["explain", "--controller", &all]);
    assert!(is_whole && list.contains("shard 2 of 3 is missing"), "{list}");
    for revision in &revisions {
        assert_eq!(list.contains(revision.as_str()), !second.contains(&revision), "{list}");
    }
    thread::sleep(AWAY.saturating_sub(killed.elapsed()));
    controllers.insert(1, listening(ports[1], shards[1]));
    let mut least = BTreeMap::<String, i32>::new();
    until("it has learned", || {
        let known = statuses(&all);
        for (name, (_, desired)) in &known {
            let least = least.entry(name.clone()).or_insert(i32::MAX);
            // Before its first decision a controller says -1.
            *least = (*least).min(if *desired < 0 { i32::MAX } else { *desired });
        }
        known.len() == revisions.len()
            && known.values().all(|(ready, desired)| *ready == 1 && *desired == 1)
    });
    clients.until_more(10);
    assert!(least.values().all(|desired| *desired >= 1), "less was wanted: {least:?}");
    assert_eq!(clients.stop(), Vec::<String>::new());
    until_divided(&ports, &revisions);
}

fn people_ask_all_of_them(all: &str, ports: &[u16], revisions: &[String]) {
    let (list, is_whole) = tidegate(&["explain", "--controller", all]);
    assert!(is_whole && revisions.iter().all(|name| list.contains(name.as_str())), "{list}");
    for revision in revisions {
        let (told, is_told) = tidegate(&["explain", "--controller", all, revision]);
        assert!(is_told && told.contains(revision.as_str()), "{told}");
        let elsewhere = ports[usize::from(owner(revision, 3) % 3)];
        let one = addresses(&[elsewhere]);
        let (told, is_told) = tidegate(&["explain", "--controller", &one, revision]);
        assert!(!is_told && told.contains("no revision"), "{told}");
    }
}

#[test]
fn whoever_comes_to_another_shard_is_told_where_to_go() {
    let (ports, app) = (ports::<2>(), app());
    let _controllers = [listening(ports[0], "1/2"), listening(ports[1], "2/2")];
    let revision = (0..).map(|number| format!("web{number}")).find(|name| owner(name, 2) == 2);
    let revision = revision.unwrap();
    let lost = sidecar(app, &revision, "lost-1", &addresses(&ports[..1]));
    let told = lost.said("the controller refuses us: ");
    assert!(told.contains("belongs to shard 2/2") && told.contains("all 2 shards"), "{told}");
    // In another order, and without knowing of the second.
    let backwards = addresses(&[ports[1], ports[0]]);
    for controllers in [backwards, addresses(&ports[..1])] {
        let (lost, _) = activator("lost", &controllers);
        let told = lost.said("the controller refuses us: ");
        assert!(told.contains("in their order, with semicolons between"), "{told}");
    }
    let declared = format!("default/{revision},1");
    let (told, is_started) = tidegate(&["controller", "--shard", "1/2", "--revision", &declared]);
    assert!(!is_started, "{told}");
    let expected = format!("default/{revision} belongs to shard 2/2; give each --revision");
    assert!(told.contains(&expected), "{told}");
    for (bad, why) in [("3/2", "there is no shard 3 of 2"), ("2", "expected NUMBER/SHARDS")] {
        let (told, is_started) = tidegate(&["controller", "--shard", bad]);
        assert!(!is_started && told.contains(why), "{told}");
    }
}

/// From two shards to three, in the order of the book: the new controller, activators, instances,
/// and the controllers that were there.
#[test]
fn a_shard_is_added_while_requests_flow() {
    let (ports, revisions, app) = (ports::<3>(), revisions(), app());
    let (two, three) = (addresses(&ports[..2]), addresses(&ports));
    let first = [listening(ports[0], "1/2"), listening(ports[1], "2/2")];
    let start = |generation: &str, controllers: &str| -> Vec<Process> {
        let named = |revision: &String| format!("{revision}-{generation}");
        revisions.iter().map(|it| sidecar(app, it, &named(it), controllers)).collect()
    };
    let old = start("a", &two);
    let (door_before, port_before) = activator("door", &two);
    until_divided(&ports[..2], &revisions);
    let clients_before = Clients::start(port_before, &revisions);
    clients_before.until_more(3);

    let _third = listening(ports[2], "3/3");
    let (_door, port) = activator("door-2", &three);
    let clients = Clients::start(port, &revisions);
    clients.until_more(3);
    assert_eq!(clients_before.stop(), Vec::<String>::new());
    door_before.terminate();

    let moved: Vec<String> = revisions.iter().filter(|it| owner(it, 3) == 3).cloned().collect();
    assert_eq!(moved.len(), 2, "two of the six move");
    let _new = start("b", &three);
    until("the new shard has the new instances", || {
        let known = statuses(&addresses(&ports[2..]));
        known.len() == moved.len() && known.values().all(|(ready, _)| *ready == 1)
    });
    clients.until_more(3);
    old.iter().for_each(Process::tell_to_end);
    old.into_iter().for_each(Process::terminate);
    clients.until_more(3);

    let mut again = Vec::new();
    for (controller, (port, shard)) in first.into_iter().zip(ports.iter().zip(["1/3", "2/3"])) {
        controller.terminate();
        again.push(listening(*port, shard));
        clients.until_more(3);
    }
    until_divided(&ports, &revisions);
    clients.until_more(3);
    assert_eq!(clients.stop(), Vec::<String>::new());
}
