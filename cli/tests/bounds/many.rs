//! As many idle connections as there is room for.

use std::net::{Ipv4Addr, TcpStream};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::app::{self, App};
use crate::attacks::{self, Kept};
use crate::handshakes::connect_from;
use crate::stage::{self, Stage};

/// What an idle connection takes at most, in KiB. Its parts are in the table of bounds.
const KIBIBYTES_EACH: u64 = 8;

/// Connections from one address: half of the ports that a machine gives away.
const FROM_ONE_ADDRESS: usize = 12_000;

/// Asks once on each of so many connections, and leaves them open. Gives what they took, in MB.
fn open_and_idle(count: usize) -> u64 {
    let app = App::start(app::answers);
    let endpoint = format!("--endpoint=d/web=127.0.0.1:{}", app.port());
    let stage = Stage::start_activator(&[&endpoint, "--default-revision=d/web"], 0);
    let idle = stage.resident_megabytes();
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    for nth in 0..count {
        let source = Ipv4Addr::new(127, 0, 1, (1 + nth / FROM_ONE_ADDRESS) as u8);
        let mut stream = connect_from(source, stage.port());
        attacks::ask_on(&mut stream);
        streams.push(stream);
    }
    let now = stage.resident_megabytes();
    assert!(stage.serves("web.d.svc"), "others are served");
    // They are still connections: one in a hundred asks again.
    for stream in streams.iter_mut().step_by(100) {
        attacks::ask_on(stream);
    }
    drop(Kept(streams));
    stage.until_served();
    now - idle
}

#[test]
fn idle_connections_take_little() {
    let count = stage::exchanges_max();
    let megabytes = open_and_idle(count);
    assert!(megabytes * 1024 <= count as u64 * KIBIBYTES_EACH, "{megabytes} MB for {count}");
}

/// The long form: `cargo test -p tidegate --test bounds -- --ignored --nocapture fifty_thousand`.
/// It raises the limit on descriptors where it may, and says how many there were.
#[test]
#[ignore = "takes a minute, and more descriptors than most machines give"]
fn fifty_thousand_idle_connections() {
    const WANTED: u64 = 50_000;
    const OTHERS: u64 = 500;
    let mut limits = getrlimit(Resource::Nofile);
    limits.maximum = limits.maximum.map(|most| most.max(WANTED + OTHERS));
    limits.current = limits.maximum;
    if setrlimit(Resource::Nofile, limits).is_err() {
        // Not permitted: as many as there are.
        limits = getrlimit(Resource::Nofile);
        limits.current = limits.maximum;
        setrlimit(Resource::Nofile, limits).unwrap();
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) - OTHERS;
    let count = usize::try_from(most.min(WANTED)).unwrap();
    let megabytes = open_and_idle(count);
    println!("{count} idle connections took {megabytes} MB");
    assert!(megabytes * 1024 <= count as u64 * KIBIBYTES_EACH, "{megabytes} MB for {count}");
}
