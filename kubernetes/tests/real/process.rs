//! The processes of pods, where the cluster runs them on this machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command};

use crate::Findings;
use crate::cluster::Cluster;

/// A process of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// The process of program `program` in the pod `pod`, as its environment names it; `None`
    /// where it runs elsewhere, or may not be looked at.
    pub(crate) fn of_pod(pod: &str, program: &str) -> Option<Self> {
        let wanted = format!("POD_NAME={pod}");
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .find(|pid| {
                let path = format!("/proc/{pid}");
                let program_of = std::fs::read_link(Path::new(&path).join("exe")).ok();
                let is_program = program_of
                    .is_some_and(|exe| exe.file_name().and_then(OsStr::to_str) == Some(program));
                let environment = std::fs::read(format!("{path}/environ")).unwrap_or_default();
                is_program && environment.split(|byte| *byte == 0).any(|v| v == wanted.as_bytes())
            })
            .map(Self)
    }

    /// A process that was started here.
    pub(crate) fn of_child(child: &Child) -> Self {
        Self(child.id())
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.0.to_string()]).status();
        assert!(status.unwrap().success(), "cannot send {name} to {}", self.0);
    }

    /// Its resident memory and its private memory, in MiB.
    pub(crate) fn memory_mib(self) -> Option<(f64, f64)> {
        let pages = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).ok()?;
        let kib = |name: &str| {
            let lines = pages.lines().filter(|line| line.starts_with(name));
            lines
                .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
                .sum::<f64>()
        };
        Some((kib("Rss:") / 1024.0, (kib("Private_Clean:") + kib("Private_Dirty:")) / 1024.0))
    }

    /// The time of processors that it has used, in seconds.
    pub(crate) fn cpu_seconds(self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let (_, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        // User and system time, in hundredths of a second on every Linux.
        Some((ticks(11)? + ticks(12)?) / 100.0)
    }
}

/// Says what controllers and activators hold, where they run on this machine.
pub(crate) async fn report_memory(cluster: &Cluster, findings: &mut Findings) {
    for (pods, program) in
        [("tidegate-controller", "tidegate-kubernetes"), ("tidegate-activator", "activator")]
    {
        for pod in cluster.pods_of(pods).await {
            let process = Process::of_pod(&pod, program);
            let Some((resident, private)) = process.and_then(Process::memory_mib) else { continue };
            let cpu = process.and_then(Process::cpu_seconds).unwrap_or_default();
            findings.say(format!(
                "{pod}: {resident:.1} MiB resident, {private:.1} MiB private, {cpu:.2} s of CPU so \
                 far"
            ));
        }
    }
}
