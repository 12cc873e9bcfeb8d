//! Connections to the app's ports that carry no HTTP: counted, since no proxy sees what is in them.
//!
//! The sidecar shares the app's network, so the kernel's table of sockets is the app's too. Once a
//! report the connections to the configured ports are counted; one that comes and goes between two
//! looks is not seen.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Ports that can be configured.
pub const PORTS_MAX: usize = 16;

/// Where the kernel tells of sockets of both families, one a line.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Longest table that is read: 65,535 connections of some 150 bytes each, as many as one port can
/// have with one peer.
const TABLE_BYTES_MAX: u64 = 10 << 20;

/// States of a connection that the app still has: established, and ended by its client alone.
const OPEN_STATES: [&str; 2] = ["01", "08"];

/// The ports, and what was last seen of them.
#[derive(Debug)]
pub struct TcpConnections {
    ports: Vec<u16>,
    tables: Vec<PathBuf>,
    before: u32,
    /// What went wrong, once it was logged.
    failed: bool,
}

/// The connections of one period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Connections {
    /// Those that are open at its end.
    pub open: u32,
    /// Their average: half way between its begin and its end.
    pub average: f64,
    /// By how many there are more than at its begin.
    pub more: u32,
}

impl TcpConnections {
    /// Counts those of `ports`.
    pub fn new(ports: Vec<u16>) -> Self {
        Self { ports, tables: TABLES.map(PathBuf::from).to_vec(), before: 0, failed: false }
    }

    /// Whether there is anything to count.
    pub fn is_off(&self) -> bool {
        self.ports.is_empty()
    }

    /// Counts, and begins the next period. What cannot be read counts as before: silence is not
    /// zero.
    pub fn take_period(&mut self) -> Connections {
        if self.is_off() {
            return Connections::default();
        }
        let open = self.read().unwrap_or(self.before);
        let before = std::mem::replace(&mut self.before, open);
        let average = (f64::from(before) + f64::from(open)) / 2.0;
        Connections { open, average, more: open.saturating_sub(before) }
    }

    fn read(&mut self) -> Option<u32> {
        let mut open = 0;
        let mut read_any = false;
        for table in &self.tables {
            let mut text = String::new();
            let read = File::open(table)
                .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_string(&mut text));
            match read {
                Ok(_) => {
                    read_any = true;
                    open += count(&text, &self.ports);
                }
                // Where a family is switched off its table is missing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.failed, true) {
                        let table = table.display();
                        tracing::warn!(%table, %error, "connections cannot be counted");
                    }
                    return None;
                }
            }
        }
        read_any.then_some(open)
    }
}

/// The open connections to one of `ports` in a table of sockets.
fn count(table: &str, ports: &[u16]) -> u32 {
    let is_counted = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        let port = local.and_then(|local| local.rsplit_once(':')).and_then(|(ip, port)| {
            let is_address = ip.bytes().all(|byte| byte.is_ascii_hexdigit());
            u16::from_str_radix(port, 16).ok().filter(|_| is_address)
        });
        state.is_some_and(|state| OPEN_STATES.contains(&state))
            && port.is_some_and(|port| ports.contains(&port))
    };
    u32::try_from(table.lines().filter(is_counted).count()).unwrap_or(u32::MAX)
}

/// Ports as they are configured: numbers with commas between them.
///
/// # Errors
/// What was expected.
pub fn parse_ports(text: &str) -> Result<Vec<u16>, String> {
    let expected = || format!("expected up to {PORTS_MAX} ports, such as 5432,6379");
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let ports: Option<Vec<u16>> = text.split(',').map(port).collect();
    ports.filter(|ports| ports.len() <= PORTS_MAX).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernels_table_is_read_as_it_is() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3251
   1: 0101580A:1538 0201580A:D431 01 00000000:00000000 02:000000F1 00000000     0        0 3252
   2: 0101580A:1538 0201580A:D432 08 00000000:00000000 02:000000F1 00000000     0        0 3253
   3: 0101580A:1538 0201580A:D433 06 00000000:00000000 02:000000F1 00000000     0        0 0
   4: 0101580A:D434 0201580A:1538 01 00000000:00000000 02:000000F1 00000000     0        0 3254
   5: 0000000000000000FFFF00000101580A:18EB 0000000000000000FFFF00000201580A:D4 01 0:0 0:0 0 0
";
        assert_eq!(count(table, &[5432]), 2);
        assert_eq!(count(table, &[5432, 6379]), 3);
        assert_eq!(count(table, &[]), 0);
        for garbage in ["", "\n\n", "0: :", "0: x:1538 y 01", "0: 1:1538"] {
            assert_eq!(count(garbage, &[5432]), 0, "{garbage:?}");
        }
    }

    #[test]
    fn connections_count_from_their_begin_to_the_apps_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = TcpConnections::new(vec![address.port()]);
        assert_eq!(connections.take_period(), Connections::default());
        let clients: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted: Vec<TcpStream> = (0..3).map(|_| listener.accept().unwrap().0).collect();
        assert_eq!(connections.take_period(), Connections { open: 3, average: 1.5, more: 3 });
        // The app still works for a client that has nothing more to say.
        clients[0].shutdown(Shutdown::Write).unwrap();
        assert_eq!(connections.take_period(), Connections { open: 3, average: 3.0, more: 0 });
        drop(accepted);
        assert_eq!(connections.take_period(), Connections { open: 0, average: 1.5, more: 0 });
    }

    #[test]
    fn what_cannot_be_read_counts_as_before() {
        let mut connections = TcpConnections::new(vec![1]);
        connections.before = 7;
        connections.tables = vec![PathBuf::from("/proc/self")];
        assert_eq!(connections.take_period(), Connections { open: 7, average: 7.0, more: 0 });
        connections.tables = vec![PathBuf::from("/proc/self/no-such-table")];
        assert_eq!(connections.take_period().open, 7);
    }

    #[test]
    fn ports_are_numbers_with_commas() {
        assert_eq!(parse_ports("5432, 6379"), Ok(vec![5432, 6379]));
        for wrong in ["", "0", "x", "1,,2", "65536", &"1,".repeat(20)] {
            assert!(parse_ports(wrong).is_err(), "{wrong:?}");
        }
    }
}
