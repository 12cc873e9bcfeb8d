//! What breaks, and how people write it.

use std::fmt;

use tidegate_words::{excerpt, parse_seconds};

use crate::time::{SimSpan, SimTime};

/// Something that breaks at a given time.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// When, the first time.
    pub at: SimTime,
    /// What.
    pub kind: FailureKind,
    /// After how long it happens again, and again; `None` is once.
    pub every: Option<SimSpan>,
    /// How long before it something is told: what is to go takes nothing new, finishes what it can,
    /// and is replaced already. Zero is without a word.
    pub notice: SimSpan,
}

/// What breaks.
#[derive(Debug, Clone, PartialEq)]
pub enum FailureKind {
    /// So many ready instances of a revision (of the first one when it names none) die at once with
    /// all requests they hold.
    Instances {
        /// The revision's name.
        revision: Option<String>,
        /// How many.
        count: u32,
    },
    /// This share of all instances, of all revisions together, die at once; which, is chance.
    InstanceShare {
        /// From 0 to 1.
        share: f64,
    },
    /// The fullest node dies with all its instances.
    Node,
    /// This share of the spot nodes, or of all where no kind is spot, die at once; which, is
    /// chance.
    NodeShare {
        /// From 0 to 1.
        share: f64,
    },
    /// The controller is down for this long and restarts without its history.
    Controller {
        /// From its death to its return.
        down: SimSpan,
    },
}

/// How a failure is written.
const EXPECTED: &str = "expected AT:instances=N, AT:instances=SHARE%, AT:node, AT:nodes=SHARE% or \
                        AT:controller=TIME, perhaps with :every=TIME and :notice=TIME behind, as \
                        in 10m:node or 5m:nodes=30%:every=1h:notice=30s";

impl Failure {
    /// `kind` happens at `at`, once and without notice.
    pub const fn once(at: SimTime, kind: FailureKind) -> Self {
        Failure { at, kind, every: None, notice: SimSpan::ZERO }
    }

    /// Reads `AT:WHAT[:every=TIME][:notice=TIME]`, where WHAT is `instances=N`, `instances=30%`,
    /// `node`, `nodes=30%` or `controller=TIME`.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{EXPECTED}; found '{}'", excerpt(text));
        let span =
            |text: &str| parse_seconds(text).map(SimSpan::from_secs_f64).map_err(|_| expected());
        let mut parts = text.split(':').map(str::trim);
        let at = SimTime::ZERO + span(parts.next().unwrap_or_default())?;
        let what = parts.next().ok_or_else(expected)?;
        let share = |value: &str| {
            let percent = value.strip_suffix('%')?.trim_end().parse::<f64>().ok()?;
            (percent > 0.0 && percent <= 100.0).then_some(percent / 100.0)
        };
        let kind = match what.split_once('=') {
            None if what == "node" => FailureKind::Node,
            Some(("instances", value)) => match share(value) {
                Some(share) => FailureKind::InstanceShare { share },
                None => FailureKind::Instances {
                    revision: None,
                    count: value.parse().map_err(|_| expected())?,
                },
            },
            Some(("nodes", value)) => {
                FailureKind::NodeShare { share: share(value).ok_or_else(expected)? }
            }
            Some(("controller", down)) => FailureKind::Controller { down: span(down)? },
            _ => return Err(expected()),
        };
        let mut failure = Failure::once(at, kind);
        for part in parts {
            match part.split_once('=') {
                Some(("every", time)) => failure.every = Some(span(time)?),
                Some(("notice", time)) => failure.notice = span(time)?,
                _ => return Err(expected()),
            }
        }
        match failure.problem() {
            Some(problem) => Err(format!("'{}': {problem}", excerpt(text))),
            None => Ok(failure),
        }
    }

    /// What about it makes no sense, in words for the user.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.every == Some(SimSpan::ZERO) {
            return Some("expected a time above zero between repetitions");
        }
        if matches!(self.kind, FailureKind::Controller { .. }) && self.notice > SimSpan::ZERO {
            return Some("a controller gives no notice; expected instances or nodes");
        }
        match self.kind {
            FailureKind::InstanceShare { share } | FailureKind::NodeShare { share }
                if !(share > 0.0 && share <= 1.0) =>
            {
                Some("expected a share above 0 and up to 100 %")
            }
            _ => None,
        }
    }

    /// Whether it is about nodes.
    pub(crate) const fn is_of_nodes(&self) -> bool {
        matches!(self.kind, FailureKind::Node | FailureKind::NodeShare { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Instances { revision, count } => {
                let of = revision.as_deref().unwrap_or("the first revision");
                write!(f, "{count} instances of {of}")?;
            }
            FailureKind::InstanceShare { share } => {
                write!(f, "{} % of the instances", share * 100.0)?;
            }
            FailureKind::Node => f.write_str("a node")?,
            FailureKind::NodeShare { share } => write!(f, "{} % of the nodes", share * 100.0)?,
            FailureKind::Controller { down } => {
                write!(f, "the controller for {} s", down.as_secs_f64())?;
            }
        }
        if let Some(every) = self.every {
            write!(f, ", every {} s", every.as_secs_f64())?;
        }
        if self.notice > SimSpan::ZERO {
            write!(f, ", with {} s notice", self.notice.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read() {
        let read = |text: &str| Failure::parse(text).expect(text);
        let at = SimTime::from_secs(300);
        assert_eq!(read("5m:node"), Failure::once(at, FailureKind::Node));
        let eight = FailureKind::Instances { revision: None, count: 8 };
        assert_eq!(read("300s:instances=8"), Failure::once(at, eight));
        let down = FailureKind::Controller { down: SimSpan::from_secs(60) };
        assert_eq!(read("5m:controller=1m"), Failure::once(at, down));
        let spot = read("5m:nodes=30%:every=1h:notice=30s");
        assert_eq!(spot.kind, FailureKind::NodeShare { share: 0.3 });
        assert_eq!(spot.every, Some(SimSpan::from_secs(3_600)));
        assert_eq!(spot.to_string(), "30 % of the nodes, every 3600 s, with 30 s notice");
    }

    #[test]
    fn mistakes_say_what_would_do() {
        for text in [
            "",
            "5m",
            "5m:nodes",
            "5m:nodes=0%",
            "5m:instances=120%",
            "5m:node:every=0s",
            "5m:node:soon",
            "5m:controller=1m:notice=5s",
        ] {
            assert!(Failure::parse(text).expect_err(text).contains("expected"), "{text}");
        }
    }
}
