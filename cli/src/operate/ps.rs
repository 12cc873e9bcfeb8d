//! `tidegate ps`: the services that run, and how they do.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_proto::operate::v1 as wire;
use tidegate_words::time::compact;

use super::reach::{self, Found};
use super::table::{self, Side};
use crate::explain::print;

/// What was typed after `tidegate ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service whose instances are listed as well; NAME, or NAME@PID where several processes
    /// run one of that name.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Print JSON, one object per line for each service, with its instances.
    #[arg(long)]
    json: bool,
}

/// Lists them.
pub(super) async fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let services = match &args.service {
        Some(asked) => vec![reach::service(Some(asked)).await?],
        None => reach::services().await?,
    };
    let lines = match (args.json, &args.service) {
        (true, _) => services.iter().map(|found| json(found).to_string()).collect(),
        (false, None) => listed(&services),
        (false, Some(_)) => services.iter().flat_map(detailed).collect(),
    };
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

/// Every service, a row each.
fn listed(services: &[Found]) -> Vec<String> {
    let headings = [
        ("SERVICE", Side::Left),
        ("PID", Side::Right),
        ("ADDRESS", Side::Left),
        ("WANTED", Side::Right),
        ("READY", Side::Right),
        ("STARTING", Side::Right),
        ("DRAINING", Side::Right),
        ("FROZEN", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("QUEUED", Side::Right),
        ("WHY", Side::Left),
    ];
    let row = |found: &Found| {
        let service = &found.service;
        let wire::ServiceStatus { ready, starting, draining, frozen, .. } = service;
        vec![
            service.name.clone(),
            found.run.pid.to_string(),
            service.address.clone(),
            wanted(service.desired),
            ready.to_string(),
            starting.to_string(),
            draining.to_string(),
            frozen.to_string(),
            service.in_flight.to_string(),
            service.queued.to_string(),
            service.last_reason.clone(),
        ]
    };
    table::lines(&headings, &services.iter().map(row).collect::<Vec<_>>())
}

/// One service, a line for each thing that can be said of it, and its instances.
fn detailed(found: &Found) -> Vec<String> {
    let Found { run, service, unix_ms } = found;
    let wire::ServiceStatus { ready, starting, draining, frozen, outdated, .. } = service;
    let mut lines = vec![
        format!("{} on {}, process {}", service.name, service.address, run.pid),
        format!(
            "instances   wanted {}  ready {ready}  starting {starting}  draining {draining}  \
             frozen {frozen}{}",
            wanted(service.desired),
            to_replace(*outdated)
        ),
        format!(
            "requests    {} so far  failed {}  in flight {}  queued {}{}",
            service.requests,
            service.failed,
            service.in_flight,
            service.queued,
            latency(service)
        ),
        format!("scale       {}", scale(service, *unix_ms)),
    ];
    if !service.last_reason.is_empty() {
        lines.push(format!("why         {}", service.last_reason));
    }
    if !service.instances.is_empty() {
        let headings = [
            ("INSTANCE", Side::Left),
            ("STATE", Side::Left),
            ("IN FLIGHT", Side::Right),
            ("AGE", Side::Right),
        ];
        let row = |instance: &wire::InstanceStatus| {
            let age_ms = u64::try_from(unix_ms - instance.started_unix_ms).unwrap_or(0);
            vec![
                instance.name.clone(),
                state(instance),
                instance.in_flight.to_string(),
                compact(Duration::from_secs(age_ms / 1_000)),
            ]
        };
        let rows: Vec<_> = service.instances.iter().map(row).collect();
        lines.push(String::new());
        lines.extend(table::lines(&headings, &rows));
    }
    lines
}

fn to_replace(outdated: u32) -> String {
    if outdated == 0 { String::new() } else { format!("  to be replaced {outdated}") }
}

fn latency(service: &wire::ServiceStatus) -> String {
    let ms = |us: u64| us as f64 / 1e3;
    match service.p99_us {
        0 => String::new(),
        _ => format!("  p50 {:.1} ms  p99 {:.1} ms", ms(service.p50_us), ms(service.p99_us)),
    }
}

/// The bounds in force, for how long, and what one instance is to carry.
pub(super) fn scale(service: &wire::ServiceStatus, now_unix_ms: i64) -> String {
    let declared = service.declared.unwrap_or_default();
    let mut parts = match service.pinned {
        None => vec![range(declared)],
        Some(pin) => {
            let held = range(pin.bounds.unwrap_or_default());
            let left_ms = pin.until_unix_ms.map(|until| (until - now_unix_ms).max(0));
            let left = left_ms.map(|ms| Duration::from_secs(ms.unsigned_abs().div_ceil(1_000)));
            let until = left.map_or_else(
                || "until `tidegate scale auto`".to_owned(),
                |left| format!("for another {}", compact(left)),
            );
            vec![format!("{held} by hand {until}"), format!("declared {}", range(declared))]
        }
    };
    if let Some(target) = service.target {
        parts.push(format!("target {} an instance", number(target)));
    }
    if service.limit > 0.0 {
        parts.push(format!("limit {}", number(service.limit)));
    }
    parts.join("  ")
}

fn range(wire::Bounds { min, max }: wire::Bounds) -> String {
    match max {
        0 => format!("{min} or more"),
        _ if min == max => min.to_string(),
        _ => format!("{min} to {max}"),
    }
}

/// A number with a decimal only where it needs one.
fn number(value: f64) -> String {
    if value.fract().abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") }
}

pub(super) fn wanted(desired: i32) -> String {
    if desired < 0 { "?".to_owned() } else { desired.to_string() }
}

fn state(instance: &wire::InstanceStatus) -> String {
    let state = phase(instance.phase());
    if instance.outdated { format!("{state}, to be replaced") } else { state.to_owned() }
}

fn phase(phase: wire::InstancePhase) -> &'static str {
    match phase {
        wire::InstancePhase::Unspecified => "unknown",
        wire::InstancePhase::Starting => "starting",
        wire::InstancePhase::Ready => "ready",
        wire::InstancePhase::Unready => "not ready",
        wire::InstancePhase::Draining => "draining",
        wire::InstancePhase::Frozen => "frozen",
    }
}

/// One service with everything that is known of it.
pub(super) fn json(found: &Found) -> Value {
    let Found { run, service, unix_ms } = found;
    let bounds = |bounds: &wire::Bounds| json!({ "min": bounds.min, "max": bounds.max });
    let pinned = service.pinned.as_ref().map(|pin| {
        let held = pin.bounds.unwrap_or_default();
        json!({ "min": held.min, "max": held.max, "until_unix_ms": pin.until_unix_ms })
    });
    let instance = |instance: &wire::InstanceStatus| {
        json!({
            "name": instance.name,
            "state": phase(instance.phase()).replace(' ', "_"),
            "in_flight": instance.in_flight,
            "started_unix_ms": instance.started_unix_ms,
            "outdated": instance.outdated,
        })
    };
    json!({
        "service": service.name,
        "pid": run.pid,
        "unix_ms": unix_ms,
        "address": service.address,
        "revision": format!("{}/{}", service.namespace, service.revision),
        "desired": service.desired,
        "ready": service.ready,
        "starting": service.starting,
        "draining": service.draining,
        "frozen": service.frozen,
        "outdated": service.outdated,
        "in_flight": service.in_flight,
        "queued": service.queued,
        "target": service.target,
        "limit": service.limit,
        "declared": service.declared.as_ref().map(bounds),
        "pinned": pinned,
        "in_panic": service.in_panic,
        "load": service.load,
        "last_reason": service.last_reason,
        "requests": service.requests,
        "failed": service.failed,
        "cold_starts": service.cold_starts,
        "p50_us": service.p50_us,
        "p99_us": service.p99_us,
        "instances": service.instances.iter().map(instance).collect::<Vec<_>>(),
    })
}
