//! A network that can be cut: connections are passed on until it is, and then broken and refused.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
}

/// A way to a controller, at a port of its own.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Network {
    pub(crate) fn to(controller: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Self { port, state: Arc::default() };
        let state = Arc::clone(&network.state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = state.lock().unwrap();
                let server = TcpStream::connect(("127.0.0.1", controller));
                let (false, Ok(server)) = (state.is_cut, server) else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    state.open.push(stream.try_clone().unwrap());
                }
                let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(client, server));
                thread::spawn(move || pass(forth, back));
            }
        });
        network
    }

    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
