//! What the processes of ours cost, and what they ask of the API server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::Findings;
use crate::process::Process;

use super::parts::Parts;

/// The file that the API server writes its audit log to, of requests of the controller alone and
/// at level Metadata.
const AUDIT: &str = "TIDEGATE_TEST_AUDIT";

/// Measures from one report to the next.
pub(super) struct Meter {
    controller: Process,
    activator: Process,
    audit: Option<PathBuf>,
    /// How far the audit log was read.
    read: u64,
    controller_cpu_s: f64,
    activator_cpu_s: f64,
}

impl Meter {
    /// One that begins now.
    pub(super) fn of(parts: &Parts) -> Self {
        let audit = std::env::var_os(AUDIT).map(PathBuf::from);
        let (controller, activator) = parts.processes();
        let mut meter = Self {
            controller,
            activator,
            audit,
            read: 0,
            controller_cpu_s: 0.0,
            activator_cpu_s: 0.0,
        };
        meter.begin();
        meter
    }

    /// Measures this controller from now on.
    fn follow(&mut self, parts: &Parts) {
        let (controller, activator) = parts.processes();
        if self.controller != controller {
            self.controller_cpu_s = 0.0;
        }
        (self.controller, self.activator) = (controller, activator);
    }

    /// Begins anew.
    pub(super) fn begin(&mut self) -> Instant {
        self.requests();
        self.controller_cpu_s = self.controller.cpu_seconds().unwrap_or_default();
        self.activator_cpu_s = self.activator.cpu_seconds().unwrap_or_default();
        Instant::now()
    }

    /// Says what it cost since it began, for so many targets.
    pub(super) fn report(
        &mut self,
        (parts, findings): (&Parts, &mut Findings),
        what: &str,
        begin: Instant,
        targets: usize,
    ) {
        // One that was started anew has used all of its time since.
        self.follow(parts);
        let seconds = begin.elapsed().as_secs_f64();
        let controller_s = self.controller.cpu_seconds().unwrap_or_default();
        let activator_s = self.activator.cpu_seconds().unwrap_or_default();
        let (resident, private) = self.controller.memory_mib().unwrap_or_default();
        let (activator, _) = self.activator.memory_mib().unwrap_or_default();
        findings.say(format!(
            "{what}: {seconds:.1} s; controller {:.2} s of CPU ({:.3} cores), {resident:.0} MiB \
             resident ({private:.0} private); activator {:.2} s, {activator:.0} MiB",
            controller_s - self.controller_cpu_s,
            (controller_s - self.controller_cpu_s) / seconds,
            activator_s - self.activator_cpu_s,
        ));
        if self.audit.is_some() {
            let requests = self.requests();
            let all: u64 = requests.values().sum();
            let mut each: Vec<(String, u64)> = requests.into_iter().collect();
            each.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let each: Vec<String> =
                each.iter().map(|(name, count)| format!("{count} {name}")).collect();
            findings.say(format!(
                "  {all} requests, {:.2} a second, {:.2} a target: {}",
                all as f64 / seconds,
                all as f64 / targets.max(1) as f64,
                each.join(", "),
            ));
        }
        self.begin();
    }

    /// The controller's requests since the last call, by verb and resource.
    fn requests(&mut self) -> BTreeMap<String, u64> {
        let mut requests = BTreeMap::new();
        let Some(path) = &self.audit else { return requests };
        let mut file = std::fs::File::open(path).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        // A line that is not whole yet is read the next time.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            self.read += u64::try_from(line.len()).unwrap();
            if let Some(name) = serde_json::from_str(&line).ok().and_then(|event| named(&event)) {
                *requests.entry(name).or_default() += 1;
            }
            line.clear();
        }
        requests
    }
}

/// The verb and resource of a request; `None` for a stage of it that would count it twice.
fn named(event: &Value) -> Option<String> {
    let text = |path: &str| event.pointer(path).and_then(Value::as_str);
    let verb = text("/verb")?;
    let counted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if text("/stage") != Some(counted) {
        return None;
    }
    let resource = text("/objectRef/resource").or(text("/requestURI")).unwrap_or_default();
    let part = text("/objectRef/subresource").map(|part| format!("/{part}")).unwrap_or_default();
    let code = event.pointer("/responseStatus/code").and_then(Value::as_i64).unwrap_or_default();
    let failed = if code >= 300 { format!(" ({code})") } else { String::new() };
    Some(format!("{verb} {resource}{part}{failed}"))
}
