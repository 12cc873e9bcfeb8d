//! Links that are cut and heal, and a view that is started again.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::process::{Process, tidegate};
use crate::stage::{Stage, is_now, revision, silent};

/// A line between a site and its view that can be cut.
struct Line {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Line {
    fn to(view: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().expect("not poisoned");
                if state.is_cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(view) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) =
                        (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                state.open.extend([client, server]);
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().expect("not poisoned");
        state.is_cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn heal(&self) {
        self.state.lock().expect("not poisoned").is_cut = false;
    }
}

#[test]
fn a_link_that_is_cut_leaves_what_was_last_told_and_heals() {
    let stage = Stage::new();
    stage.sites("");
    let _view = stage.view(&[]);
    let line = Line::to(stage.calls);
    let _edge = stage.edge(line.address, &[]);
    stage.listed_when(|all| is_now(all, "edge", "cart"));
    line.cut();
    let listed = stage.listed_when(|all| silent(all, "edge").is_some());
    let (cut, cart) = (silent(&listed, "edge"), revision(&listed, "edge", "cart"));
    let (cut, cart) = (cut.expect("cut"), cart.expect("its row stays"));
    assert_eq!(cart["is_old"], true);
    let times = (cart["told_unix_ms"].as_i64(), cut["since_unix_ms"].as_i64());
    assert!(times.0 > Some(0) && times.0 <= times.1, "{times:?}");
    // Nothing of it changes while nothing is heard.
    let later = stage.listed();
    assert_eq!(silent(&later, "edge").map(|it| &it["since_unix_ms"]), Some(&cut["since_unix_ms"]));
    line.heal();
    let healed = stage.listed_when(|all| is_now(all, "edge", "cart"));
    assert!(silent(&healed, "edge").is_none(), "{healed:#?}");
}

#[test]
fn a_view_that_starts_again_has_its_sites_back() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    stage.sites(&section);
    let view = stage.view(&[]);
    let _edge = stage.edge(stage.calls, &[]);
    let is_all_there = |all: &[Value]| is_now(all, "edge", "cart") && is_now(all, "paris", "web");
    stage.listed_when(is_all_there);
    assert_eq!(view.terminate(), Some(0));
    assert_eq!(stage.listed(), Vec::<Value>::new());
    let _view = stage.view(&[]);
    stage.listed_when(is_all_there);
}

#[test]
fn a_controller_that_starts_again_has_its_name_back() {
    let stage = Stage::new();
    stage.sites("");
    let mut view = stage.view(&[]);
    let edge = stage.edge(stage.calls, &[]);
    stage.listed_when(|all| is_now(all, "edge", "cart"));
    drop(edge);
    view.wait_for("the site does not answer");
    let _edge = stage.edge(stage.calls, &["--revision", "shop/new"]);
    stage.listed_when(|all| is_now(all, "edge", "new"));
}

#[test]
fn what_a_view_cannot_be_told_is_a_mistake() {
    let stage = Stage::new();
    let sites = stage.sites("");
    let outcome = |arguments: &[&str]| {
        crate::process::outcome(&mut tidegate(&[&["view", "--sites", &sites], arguments].concat()))
    };
    let (code, said) = outcome(&["--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && said.contains("give --calls ADDR"), "{said}");
    let (code, said) = outcome(&["--listen", "0.0.0.0:0", "--calls", "127.0.0.1:0"]);
    assert!(code == Some(2) && said.contains("open to others"), "{said}");
    // A view that is all in order ends in order.
    let (view, _) = (stage.view(&[]), ());
    assert_eq!(Process::terminate(view), Some(0));
}
