//! What a shutdown still waits for, in words.

use std::time::Duration;

use tidegate_local::Status;

use crate::terminal::counted;

/// Most ends take less; a sentence about them would be gone before it is read.
const FIRST_AFTER: Duration = Duration::from_secs(1);

/// The same kind of wait is reported again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Reports what a shutdown waits for, now and then.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// How long requests may take.
    drain: Duration,
    told: Option<(Kind, Duration)>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Requests with a client that waits, maybe besides abandoned ones.
    Requests,
    /// Only requests whose clients have disconnected.
    Abandoned,
    /// The processes.
    Instances,
}

impl Waiting {
    pub(crate) fn new(drain: Duration) -> Self {
        Self { drain, told: None }
    }

    /// A sentence about the wait, `elapsed` after the signal to stop, if one is due.
    pub(super) fn tell(&mut self, status: &Status, elapsed: Duration) -> Option<String> {
        let Status { activator, revision, .. } = status;
        let there = revision.ready + revision.starting + revision.draining;
        let instances = there + revision.frozen;
        self.tell_of(activator, instances, elapsed)
    }

    /// The same about requests and instances of whatever they are.
    pub(crate) fn tell_of(
        &mut self,
        activator: &tidegate_activator::Status,
        instances: u32,
        elapsed: Duration,
    ) -> Option<String> {
        let (kind, what) = waited_for(activator, instances)?;
        let due = match self.told {
            None => elapsed >= FIRST_AFTER,
            Some((before, at)) => before != kind || elapsed >= at + AGAIN_AFTER,
        };
        if !due {
            return None;
        }
        self.told = Some((kind, elapsed));
        let left = self.drain.saturating_sub(elapsed);
        let bound = match kind {
            Kind::Requests | Kind::Abandoned if !left.is_zero() => {
                format!(", at most {} s more", left.as_secs_f64().ceil())
            }
            _ => String::new(),
        };
        Some(format!("waiting for {what}{bound}"))
    }
}

fn waited_for(activator: &tidegate_activator::Status, instances: u32) -> Option<(Kind, String)> {
    let abandoned = activator.abandoned;
    let expected = activator.in_flight.saturating_sub(abandoned) + u64::from(activator.waiting);
    let left = match abandoned {
        0 => String::new(),
        1 => "1 whose client left".to_owned(),
        count => format!("{count} whose clients left"),
    };
    Some(match (expected, abandoned) {
        (0, 0) if instances == 0 => return None,
        (0, 0) => (Kind::Instances, format!("{} to end", counted(instances.into(), "instance"))),
        (0, 1) => (Kind::Abandoned, "1 request whose client left".to_owned()),
        (0, count) => (Kind::Abandoned, format!("{count} requests whose clients left")),
        (expected, 0) => (Kind::Requests, counted(expected, "request")),
        (expected, _) => (Kind::Requests, format!("{} and {left}", counted(expected, "request"))),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use tidegate_activator::Outcomes;
    use tidegate_autoscaler::settings::ScaleBounds;
    use tidegate_controller::RevisionId;
    use tidegate_controller::status::RevisionStatus;

    use super::*;

    /// A service with so many requests and instances.
    pub(in crate::run) fn status(in_flight: u64, abandoned: u64, ready: u32) -> Status {
        Status {
            revision: RevisionStatus {
                revision: RevisionId::new("local", "web").expect("valid"),
                desired: 1,
                ready,
                starting: 0,
                draining: 0,
                frozen: 0,
                in_panic: false,
                stable_concurrency: 0.0,
                panic_concurrency: 0.0,
                waiting: 0,
                in_flight: 0,
                last_reason: String::new(),
                target: None,
                limit: 0.0,
                bounds: ScaleBounds::default(),
                pinned: None,
                outdated: 0,
                instances: Vec::new(),
            },
            activator: tidegate_activator::Status { in_flight, abandoned, ..Default::default() },
            outcomes: Outcomes::default(),
            waiting_max: 10_000,
        }
    }

    #[test]
    fn what_is_waited_for_is_printed_once_a_while() {
        let mut waiting = Waiting::new(Duration::from_secs(30));
        let mut tell = |status, ms| waiting.tell(&status, Duration::from_millis(ms));
        assert_eq!(tell(status(3, 0, 1), 900), None);
        let told = tell(status(3, 1, 1), 1_000).expect("told");
        assert_eq!(told, "waiting for 2 requests and 1 whose client left, at most 29 s more");
        assert_eq!(tell(status(2, 1, 1), 1_200), None);
        let told = tell(status(2, 2, 1), 1_400).expect("told");
        assert_eq!(told, "waiting for 2 requests whose clients left, at most 29 s more");
        assert_eq!(tell(status(1, 1, 1), 6_000), None);
        let told = tell(status(1, 1, 1), 6_400).expect("told");
        assert_eq!(told, "waiting for 1 request whose client left, at most 24 s more");
        assert_eq!(tell(status(0, 0, 2), 7_000).expect("told"), "waiting for 2 instances to end");
        assert_eq!(tell(status(0, 0, 0), 20_000), None);
    }
}
