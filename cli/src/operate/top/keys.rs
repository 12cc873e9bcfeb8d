//! The keyboard of a terminal, key by key.

use std::io::Read;
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::order::Order;

/// Keys that may wait: more are pressed by something that lies on the keyboard.
const DEPTH: usize = 32;

/// Bytes that are read at once: a key is at most a few.
const CHUNK_BYTES: usize = 64;

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The row above.
    Up,
    /// The row below.
    Down,
    /// Open.
    Enter,
    /// Back.
    Back,
    /// Order the rows by this.
    SortBy(Order),
    /// Only the next site, or all of them.
    NextSite,
    /// Leave.
    Quit,
}

/// The keyboard; the terminal's own ways come back when it is dropped.
pub(super) struct Keyboard {
    keys: mpsc::Receiver<Key>,
    before: Option<Termios>,
    /// Where standard input is no terminal its end means nothing: keys just never come.
    _kept: mpsc::Sender<Key>,
}

impl Keyboard {
    /// Has every key sent at once and not shown. Ctrl-C stays a signal.
    pub(super) fn open() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut at_once = before.clone();
            at_once.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A terminal that refuses sends keys line by line, which works as well.
            let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &at_once);
        }
        let (sender, keys) = mpsc::channel(DEPTH);
        let kept = sender.clone();
        // Detached: a read cannot be cut short, and ends with the process.
        std::thread::spawn(move || {
            let mut input = std::io::stdin();
            let mut chunk = [0; CHUNK_BYTES];
            while let Ok(length @ 1..) = input.read(&mut chunk) {
                for key in parse(&chunk[..length]) {
                    if sender.blocking_send(key).is_err() {
                        return;
                    }
                }
            }
        });
        Self { keys, before, _kept: kept }
    }

    /// The next key. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Key> {
        self.keys.recv().await
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, before);
        }
    }
}

/// The keys in what a terminal sent at once.
fn parse(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let key = match first {
            // An arrow is three bytes that come together; the Escape key is one alone.
            0x1b => match rest {
                [b'[' | b'O', code, after @ ..] => {
                    rest = after;
                    match code {
                        b'A' => Key::Up,
                        b'B' => Key::Down,
                        b'C' => Key::Enter,
                        b'D' => Key::Back,
                        _ => continue,
                    }
                }
                _ => Key::Back,
            },
            b'k' => Key::Up,
            b'j' => Key::Down,
            b'\r' | b'\n' => Key::Enter,
            0x7f | 0x08 => Key::Back,
            b'n' => Key::SortBy(Order::Name),
            b'f' => Key::SortBy(Order::InFlight),
            b'w' => Key::SortBy(Order::Queued),
            b'r' => Key::SortBy(Order::Rate),
            b'i' => Key::SortBy(Order::Instances),
            b's' => Key::NextSite,
            b'q' => Key::Quit,
            _ => continue,
        };
        keys.push(key);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_letters_and_escape_are_told_apart() {
        assert_eq!(parse(b"\x1b[A\x1b[B\x1bOAj"), [Key::Up, Key::Down, Key::Up, Key::Down]);
        assert_eq!(parse(b"\x1b"), [Key::Back]);
        assert_eq!(parse(b"\rq"), [Key::Enter, Key::Quit]);
        assert_eq!(parse(b"w?n"), [Key::SortBy(Order::Queued), Key::SortBy(Order::Name)]);
        assert!(parse(b"\x1b[5~x").len() <= 1);
    }
}
