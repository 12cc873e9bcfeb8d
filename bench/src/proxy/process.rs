//! Child processes and what they cost, read from `/proc`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a peer may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A peer that runs.
pub struct Peer {
    /// Its name in the tables.
    pub name: String,
    /// Where it takes traffic.
    pub address: SocketAddr,
    child: Child,
    /// From the start of the process to the first accepted connection.
    pub started_in: Duration,
}

/// Processor time used by a process, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// In its own code, sampled by the kernel's tick.
    pub user_us: f64,
    /// In the kernel on its behalf, sampled likewise.
    pub system_us: f64,
    /// Both together, as the scheduler accounts for them to the nanosecond.
    pub total_us: f64,
}

impl Cpu {
    /// What was used since `earlier`, per unit of work.
    #[must_use]
    pub fn since(self, earlier: Cpu, units: f64) -> Cpu {
        Cpu {
            user_us: (self.user_us - earlier.user_us) / units,
            system_us: (self.system_us - earlier.system_us) / units,
            total_us: (self.total_us - earlier.total_us) / units,
        }
    }
}

impl Peer {
    /// Starts `command` on the processor the proxies share and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub fn start(name: &str, address: SocketAddr, command: &mut Command) -> anyhow::Result<Peer> {
        let everything = sched_getaffinity(None)?;
        sched_setaffinity(None, &one_processor(0))?;
        let started = Self::spawn(name, command);
        sched_setaffinity(None, &everything)?;
        let (child, begun) = started?;
        Self::listening(name, address, child, begun)
    }

    /// The same on whatever processor is free, where many of them share the machine.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub fn start_anywhere(
        name: &str,
        address: SocketAddr,
        command: &mut Command,
    ) -> anyhow::Result<Peer> {
        let (child, begun) = Self::spawn(name, command)?;
        Self::listening(name, address, child, begun)
    }

    fn spawn(name: &str, command: &mut Command) -> anyhow::Result<(Child, Instant)> {
        let begun = Instant::now();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok((child.with_context(|| format!("{name} cannot be started"))?, begun))
    }

    fn listening(
        name: &str,
        address: SocketAddr,
        mut child: Child,
        begun: Instant,
    ) -> anyhow::Result<Peer> {
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended before it listened on {address}: {status}");
            }
            if begun.elapsed() > START_PATIENCE {
                bail!("{name} does not listen on {address}");
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        let started_in = begun.elapsed();
        Ok(Peer { name: name.to_owned(), address, child, started_in })
    }

    /// The id of the process that does the work: nginx's only worker, or the child itself.
    pub fn id(&self) -> u32 {
        children(self.child.id()).first().copied().unwrap_or(self.child.id())
    }

    /// Processor time used so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        cpu(self.id())
    }

    /// Resident memory in KiB, all of it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        status_field(self.id(), "VmRSS:")
    }

    /// The most memory that was resident at a time, in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_kib(&self) -> anyhow::Result<u64> {
        status_field(self.id(), "VmHWM:")
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(id) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // A process that is gone already is as good.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that nobody listens on, and nobody else is given.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> io::Result<SocketAddr> {
    tidegate_reserved_port::reserve()
}

/// Keeps the calling thread, and threads it starts, off the proxies' processor.
///
/// # Errors
/// When the kernel refuses.
pub fn move_aside() -> io::Result<()> {
    let everything = sched_getaffinity(None)?;
    if everything.count() > 1 {
        let mut others = CpuSet::new();
        (1..CpuSet::MAX_CPU).filter(|cpu| everything.is_set(*cpu)).for_each(|cpu| others.set(cpu));
        sched_setaffinity(None, &others)?;
    }
    Ok(())
}

fn one_processor(number: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(number);
    set
}

fn cpu(id: u32) -> anyhow::Result<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> anyhow::Result<f64> {
        Ok(fields.get(index).context("short /proc/PID/stat")?.parse::<f64>()?)
    };
    let per_tick = 1e6 / rustix::param::clock_ticks_per_second() as f64;
    let mut total_us = 0.0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let schedule = fs::read_to_string(task?.path().join("schedstat"))?;
        let running_ns: f64 = schedule.split_whitespace().next().unwrap_or("0").parse()?;
        total_us += running_ns / 1e3;
    }
    Ok(Cpu { user_us: ticks(11)? * per_tick, system_us: ticks(12)? * per_tick, total_us })
}

fn status_field(id: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn children(id: u32) -> Vec<u32> {
    let path = format!("/proc/{id}/task/{id}/children");
    let text = fs::read_to_string(Path::new(&path)).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
