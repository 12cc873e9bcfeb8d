//! A path to this machine that takes its time.
//!
//! What is sent to the far address comes back after a while as if somebody there had sent it: its
//! source and its destination change places, which leaves every checksum as it is. So who listens
//! on this machine is reached at the far address, and everything takes its time: the handshake of
//! TCP as well, which no proxy could hold up. It needs the right to make a network
//! interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tun_rs::{DeviceBuilder, SyncDevice};

/// The largest packet, as on most networks.
const PACKET_BYTES_MAX: usize = 1_500;

/// Packets on their way at most, as in the queue of a router; what comes then is dropped.
const ON_THEIR_WAY: usize = 10_000;

/// How long the first handshake over a path may take.
const PROOF_PATIENCE: Duration = Duration::from_secs(10);

/// Where an address of IPv4 is in a packet.
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
const ADDRESS_BYTES: usize = 4;
const HEADER_BYTES: usize = 20;

/// A path that is there until the process ends.
#[derive(Debug, Clone, Copy)]
pub struct FarPath {
    far: Ipv4Addr,
}

impl FarPath {
    /// Opens a path on which a packet and one back take `round_trip` together; one for a process.
    ///
    /// # Errors
    /// When this process may not make a network interface, there is none of that kind, or what is
    /// sent over it does not come back.
    pub fn open(round_trip: Duration) -> anyhow::Result<Self> {
        // A network that is set aside for benchmarks (RFC 2544), and one of it for each process.
        let own = u8::try_from(std::process::id() % 250).unwrap_or(0);
        let (near, far) = (Ipv4Addr::new(198, 18, own, 1), Ipv4Addr::new(198, 18, own, 2));
        let builder = DeviceBuilder::new().ipv4(near, 30, None);
        let device = Arc::new(builder.mtu(PACKET_BYTES_MAX as u16).build_sync()?);
        let (sent, comes_back) = sync_channel(ON_THEIR_WAY);
        let taker = Arc::clone(&device);
        thread::spawn(move || take(&taker, round_trip / 2, &sent));
        thread::spawn(move || bring_back(&device, &comes_back));
        let path = Self { far };
        path.prove()?;
        Ok(path)
    }

    /// Something is reached: rules of a firewall, or a sandbox, may see to it that nothing is.
    fn prove(&self) -> anyhow::Result<()> {
        let near = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let far = self.to(near.local_addr()?.port());
        TcpStream::connect_timeout(&far, PROOF_PATIENCE)
            .with_context(|| format!("what is sent to {far} does not come back"))?;
        Ok(())
    }

    /// Where `near`, which listens on every address of this machine, is reached from afar.
    #[must_use]
    pub fn to(&self, near_port: u16) -> SocketAddr {
        (self.far, near_port).into()
    }
}

type OnItsWay = (Instant, Vec<u8>);

fn take(device: &SyncDevice, delay: Duration, sent: &SyncSender<OnItsWay>) {
    let mut packet = [0; PACKET_BYTES_MAX];
    while let Ok(count) = device.recv(&mut packet) {
        let mut packet = packet[..count].to_vec();
        if packet.len() < HEADER_BYTES || packet[0] >> 4 != 4 {
            continue;
        }
        let (before, destination) = packet.split_at_mut(DESTINATION);
        before[SOURCE..].swap_with_slice(&mut destination[..ADDRESS_BYTES]);
        // A full path loses what comes, as a router does.
        let _ = sent.try_send((Instant::now() + delay, packet));
    }
}

fn bring_back(device: &SyncDevice, comes_back: &Receiver<OnItsWay>) {
    while let Ok((at, packet)) = comes_back.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if let Err(error) = device.send(&packet)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return;
        }
    }
}
