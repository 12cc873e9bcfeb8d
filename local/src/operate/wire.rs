//! What is known, as messages.

use std::sync::Arc;
use std::time::Duration;

use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_controller::instance::Phase;
use tidegate_controller::process::OutputStream;
use tidegate_controller::process::line_memory::ReadLine;
use tidegate_controller::status::InstanceStatus;
use tidegate_controller::{Pinned, status::RevisionStatus};
use tidegate_proto::operate::v1 as wire;

use super::events::Event;
use super::history::Sample;
use super::roster::Listed;

/// A service and its instances.
pub(super) fn service(listed: &Listed) -> wire::ServiceStatus {
    let Listed { name, address, status, counted_alone } = listed;
    let (revision, activator, outcomes) = (&status.revision, &status.activator, &status.outcomes);
    // Of several services behind one front door only the totals are counted apart.
    let (failed, p50, p99) = match counted_alone {
        true => (outcomes.failures(), outcomes.p50, outcomes.p99),
        false => (activator.refused + activator.failed, Duration::ZERO, Duration::ZERO),
    };
    wire::ServiceStatus {
        name: name.clone(),
        address: address.to_string(),
        namespace: revision.revision.namespace().to_owned(),
        revision: revision.revision.name().to_owned(),
        desired: revision.desired,
        starting: revision.starting,
        ready: revision.ready,
        draining: revision.draining,
        frozen: revision.frozen,
        in_flight: activator.in_flight,
        queued: activator.waiting,
        target: revision.target,
        limit: revision.limit,
        declared: Some(bounds(revision.bounds)),
        pinned: revision.pinned.map(pin),
        outdated: revision.outdated,
        in_panic: revision.in_panic,
        load: revision.stable_concurrency,
        last_reason: revision.last_reason.clone(),
        requests: activator.requests,
        failed,
        cold_starts: activator.cold_starts,
        p50_us: micros(p50),
        p99_us: micros(p99),
        instances: instances(revision),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn bounds(bounds: ScaleBounds) -> wire::Bounds {
    let count = |count| u32::try_from(count).unwrap_or(0);
    wire::Bounds { min: count(bounds.min), max: count(bounds.max) }
}

fn pin(pinned: Pinned) -> wire::Pin {
    let until_unix_ms = pinned.until.map(|until| until.as_millis());
    wire::Pin { bounds: Some(bounds(pinned.bounds)), until_unix_ms }
}

fn instances(revision: &RevisionStatus) -> Vec<wire::InstanceStatus> {
    let instance = |instance: &InstanceStatus| wire::InstanceStatus {
        name: instance.name.to_string(),
        phase: phase(instance.phase).into(),
        in_flight: instance.in_flight,
        started_unix_ms: instance.started.as_millis(),
        outdated: instance.outdated,
    };
    revision.instances.iter().map(instance).collect()
}

fn phase(phase: Phase) -> wire::InstancePhase {
    match phase {
        Phase::Starting => wire::InstancePhase::Starting,
        Phase::Ready => wire::InstancePhase::Ready,
        Phase::Unready => wire::InstancePhase::Unready,
        Phase::Draining => wire::InstancePhase::Draining,
        Phase::Freezing | Phase::Frozen => wire::InstancePhase::Frozen,
    }
}

/// A second of a service's past.
pub(super) fn sample(sample: &Sample) -> wire::Sample {
    let Sample { unix_ms, requests_per_second, in_flight, queued, desired, ready } = *sample;
    wire::Sample { unix_ms, requests_per_second, in_flight, queued, desired, ready }
}

/// A line of an instance, or that some were missed.
pub(super) fn line(read: ReadLine) -> wire::Line {
    let ReadLine { instance, missed, line } = read;
    let source = line.as_ref().map_or(wire::LineSource::Unspecified, |line| source(line.stream));
    wire::Line {
        instance: instance.to_string(),
        missed,
        unix_ms: line.as_ref().map_or(0, |line| line.unix_ms),
        text: line.map(|line| line.text.to_string()),
        source: source.into(),
    }
}

fn source(stream: OutputStream) -> wire::LineSource {
    match stream {
        OutputStream::Stdout => wire::LineSource::Stdout,
        OutputStream::Stderr => wire::LineSource::Stderr,
        OutputStream::Sidecar => wire::LineSource::Sidecar,
    }
}

/// Something that happened.
pub(super) fn event(event: &Arc<Event>) -> wire::Event {
    wire::Event {
        unix_ms: event.unix_ms,
        service: event.service.clone(),
        kind: event.kind.to_owned(),
        instance: event.instance.clone().unwrap_or_default(),
        text: event.text.clone(),
        before: event.change.map(|(before, _)| before),
        after: event.change.map(|(_, after)| after),
        reason: event.reason.clone(),
    }
}
