//! Uploads of clients that send as much as they may, and of clients that leave.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::attacks::{self, DATA, HEADERS, Kept, SETTINGS, WINDOW_UPDATE, base, frame, open};

const WINDOW_FIRST: i64 = 65_535;
const PIECE: i64 = 16_000;

/// Sends DATA on every stream for as long as the peer opens windows, and takes nothing else of it.
pub(crate) fn as_far_as_windows_allow(port: u16, connections: usize, streams: u32) -> Kept {
    let mut kept = attacks::everywhere(port, connections, &open(&[]));
    thread::scope(|scope| {
        for stream in kept.streams_mut() {
            scope.spawn(move || {
                let mut sender = Sender::new(streams);
                // A peer that has had enough closes: so be it.
                let _ = sender.send_all(stream);
            });
        }
    });
    kept
}

/// What a client may still send.
struct Sender {
    connection: i64,
    streams: HashMap<u32, i64>,
}

impl Sender {
    fn new(streams: u32) -> Self {
        let streams = (0..streams).map(|number| (2 * number + 1, WINDOW_FIRST)).collect();
        Self { connection: WINDOW_FIRST, streams }
    }

    fn send_all(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(attacks::STALLED))?;
        for id in self.streams.keys() {
            stream.write_all(&frame(HEADERS, 4, *id, &base("POST")))?;
        }
        loop {
            while let Some((id, size)) = self.next() {
                let piece = vec![b'x'; usize::try_from(size).unwrap()];
                stream.write_all(&frame(DATA, 0, id, &piece))?;
            }
            self.hear(stream)?;
        }
    }

    /// A stream that may be sent something, and how much; it is taken off the windows.
    fn next(&mut self) -> Option<(u32, i64)> {
        let connection = &mut self.connection;
        let (id, window) = self.streams.iter_mut().find(|(_, window)| **window > 0)?;
        let size = PIECE.min(*window).min(*connection);
        (size > 0).then(|| {
            *window -= size;
            *connection -= size;
            (*id, size)
        })
    }

    /// Reads one frame. An error says that nothing more comes.
    fn hear(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [l2, l1, l0, kind, _, id @ ..] = head;
        let mut payload = vec![0; usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0)];
        stream.read_exact(&mut payload)?;
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match kind {
            WINDOW_UPDATE => {
                let more = i64::from(number(&payload));
                match number(&id) {
                    0 => self.connection += more,
                    id => *self.streams.entry(id).or_default() += more,
                }
            }
            SETTINGS => {
                for setting in payload.chunks(6).filter(|setting| setting[..2] == [0, 4]) {
                    let more = i64::from(number(&setting[2..])) - WINDOW_FIRST;
                    self.streams.values_mut().for_each(|window| *window += more);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Clients that ask with heads of so many bytes and hang up, once those that came are asked on.
pub(crate) fn requests_whose_clients_leave(port: u16, connections: usize, bytes: usize) -> Kept {
    let kept = attacks::http1_heads(port, connections, bytes, "\r\n\r\n");
    drop(kept);
    Kept::none()
}

/// Clients that begin to read a response, and hang up.
pub(crate) fn answers_whose_clients_leave(port: u16, connections: usize) -> Kept {
    for mut stream in attacks::http1_requests(port, connections).into_streams() {
        let _ = stream.read(&mut [0; 1024]);
    }
    Kept::none()
}

/// Clients that open streams, read some of the informational responses, and hang up.
pub(crate) fn hints_whose_clients_leave(port: u16, connections: usize, streams: u32) {
    const SOME: u64 = 256 << 10;
    for stream in attacks::readers_that_do_not(port, connections, streams, 65_535).into_streams() {
        let _ = std::io::copy(&mut stream.take(SOME), &mut std::io::sink());
    }
}
