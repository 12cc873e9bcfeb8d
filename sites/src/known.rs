//! What is known of one revision, and how what a site says becomes that: nothing that a site says
//! is believed beyond a name, a finite number and a line of text.

use tidegate_controller::RevisionId;
use tidegate_controller::cold_start::COLD_STARTS_MAX;
use tidegate_controller::overview::{Overview, Windows};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::stats::v1::ColdStart;

/// Letters of a reason that are kept; the longest that the library makes have some four hundred.
pub const REASON_CHARS_MAX: usize = 500;

/// Letters of another text: a name of an instance, why a site cannot be asked.
pub const LINE_CHARS_MAX: usize = 200;

/// Longest explanation of one decision as JSON; they have some two thousand bytes.
const EXPLANATION_BYTES_MAX: usize = 16 * 1024;

/// Punctuation beyond ASCII that sentences have.
const PUNCTUATION: &str = "…–—‘’“”·×≤≥≈→µ°";

/// A revision of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its numbers.
    pub overview: Overview,
    /// Why the last decision was what it was.
    pub reason: String,
}

impl Known {
    /// What a site says of a revision; `None` where its name cannot be one.
    #[must_use]
    pub fn of_wire(status: &wire::RevisionStatus) -> Option<Self> {
        let weighs = status.target.is_some() || status.stable_concurrency > 0.0;
        let windows = weighs.then(|| Windows {
            stable: finite(status.stable_concurrency),
            panic: finite(status.panic_concurrency),
            target: finite(status.target.unwrap_or(0.0)),
        });
        let overview = Overview {
            revision: RevisionId::new(&status.namespace, &status.name).ok()?,
            desired: status.desired.max(-1),
            ready: status.ready,
            starting: status.starting,
            draining: status.draining,
            frozen: status.frozen,
            waiting: status.waiting,
            in_flight: status.in_flight,
            windows,
            in_panic: status.in_panic,
            is_hindered: status.is_hindered,
            bounds: (status.min.max(0), status.max.max(0)),
            is_pinned: status.is_pinned,
            container_concurrency: status.container_concurrency,
            finished: status.finished,
            failed: status.failed,
            decisions: status.decisions,
        };
        Some(Self { overview, reason: line(&status.last_reason, REASON_CHARS_MAX) })
    }

    /// The same as a view tells it, of `site`.
    #[must_use]
    pub fn to_wire(&self, site: &str) -> wire::RevisionStatus {
        let Self { overview: of, reason } = self;
        wire::RevisionStatus {
            namespace: of.revision.namespace().to_owned(),
            name: of.revision.name().to_owned(),
            desired: of.desired,
            ready: of.ready,
            starting: of.starting,
            draining: of.draining,
            in_panic: of.in_panic,
            stable_concurrency: of.windows.map_or(0.0, |windows| windows.stable),
            panic_concurrency: of.windows.map_or(0.0, |windows| windows.panic),
            waiting: of.waiting,
            in_flight: of.in_flight,
            last_reason: reason.clone(),
            site: site.to_owned(),
            frozen: of.frozen,
            finished: of.finished,
            failed: of.failed,
            is_hindered: of.is_hindered,
            min: of.bounds.0,
            max: of.bounds.1,
            is_pinned: of.is_pinned,
            target: of.windows.map(|windows| windows.target),
            container_concurrency: of.container_concurrency,
            decisions: of.decisions,
        }
    }
}

/// A number that can be drawn.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// One line of foreign text: nothing in it moves a cursor, turns the direction of what is read or
/// cannot be seen, and it has at most so many letters.
#[must_use]
pub fn line(text: &str, chars_max: usize) -> String {
    let shown = |letter: char| match letter {
        ' '..='~' => letter,
        '\n' | '\t' => ' ',
        _ if letter.is_alphanumeric() || PUNCTUATION.contains(letter) => letter,
        _ => '?',
    };
    text.chars().take(chars_max).map(shown).collect()
}

/// A decision as a site tells it, of a revision that was asked about.
#[must_use]
pub fn decision(site: &str, of: &RevisionId, told: wire::Decision) -> wire::Decision {
    let is_json = told.explanation_json.len() <= EXPLANATION_BYTES_MAX
        && serde_json::from_str::<&serde_json::value::RawValue>(&told.explanation_json).is_ok();
    wire::Decision {
        namespace: of.namespace().to_owned(),
        name: of.name().to_owned(),
        reason: line(&told.reason, REASON_CHARS_MAX),
        explanation_json: if is_json { told.explanation_json } else { String::new() },
        site: site.to_owned(),
        desired: told.desired.max(-1),
        before: told.before.max(-1),
        ..told
    }
}

/// An answer to a question about one revision, as a site gives it: at most `decisions_max` and
/// `instances_max` are taken.
#[must_use]
pub fn explained(
    (site, of): (&str, &RevisionId),
    (decisions_max, instances_max): (usize, usize),
    told: wire::ExplainResponse,
) -> wire::ExplainResponse {
    let wire::ExplainResponse { decisions, cold_starts, instances, settings } = told;
    let decisions = decisions.into_iter().take(decisions_max);
    let cold_start =
        |start: ColdStart| ColdStart { instance: line(&start.instance, LINE_CHARS_MAX), ..start };
    let instance = |instance: wire::InstanceStatus| wire::InstanceStatus {
        name: line(&instance.name, LINE_CHARS_MAX),
        ..instance
    };
    wire::ExplainResponse {
        decisions: decisions.map(|made| decision(site, of, made)).collect(),
        cold_starts: cold_starts.into_iter().take(COLD_STARTS_MAX).map(cold_start).collect(),
        instances: instances.into_iter().take(instances_max).map(instance).collect(),
        settings: settings.map(|told| wire::Settings {
            target: finite(told.target),
            total: finite(told.total),
            panic_threshold: finite(told.panic_threshold),
            max_scale_up_rate: finite(told.max_scale_up_rate),
            max_scale_down_rate: finite(told.max_scale_down_rate),
            target_burst_capacity: match told.target_burst_capacity.is_finite() {
                true => told.target_burst_capacity,
                false => 0.0,
            },
            ..told
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(namespace: &str, name: &str) -> wire::RevisionStatus {
        wire::RevisionStatus {
            namespace: namespace.into(),
            name: name.into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_told_again_is_what_was_told() {
        let told = wire::RevisionStatus {
            desired: 3,
            ready: 2,
            in_flight: 7,
            stable_concurrency: 2.5,
            target: Some(0.7),
            last_reason: "3 instances: because.".into(),
            finished: 9,
            ..status("prod", "web")
        };
        let known = Known::of_wire(&told).expect("a good name");
        assert_eq!(known.to_wire("paris"), wire::RevisionStatus { site: "paris".into(), ..told });
    }

    #[test]
    fn no_name_is_more_than_a_name_and_no_number_is_none() {
        for (namespace, name) in
            [("", "web"), ("a", ""), ("a/b", "c"), ("a", "b/c"), ("<b>", "x"), ("a", "b\n")]
        {
            assert_eq!(Known::of_wire(&status(namespace, name)), None, "{namespace:?} {name:?}");
        }
        let odd = wire::RevisionStatus {
            stable_concurrency: f64::NAN,
            panic_concurrency: f64::NEG_INFINITY,
            target: Some(f64::INFINITY),
            desired: i32::MIN,
            min: -1,
            ..status("a", "b")
        };
        let known = Known::of_wire(&odd).expect("a good name").overview;
        let windows = known.windows.expect("it has a target");
        assert_eq!((windows.stable, windows.panic, windows.target), (0.0, 0.0, 0.0));
        assert_eq!((known.desired, known.bounds), (-1, (0, 0)));
    }

    #[test]
    fn a_line_moves_nothing_and_hides_nothing() {
        assert_eq!(line("3 instances: ≥ 2 … übrig", 100), "3 instances: ≥ 2 … übrig");
        assert_eq!(line("a\u{1b}[2Jb\nc\u{202e}d\u{0}", 100), "a?[2Jb c?d?");
        assert_eq!(line(&"x".repeat(1_000), 7).len(), 7);
    }

    #[test]
    fn an_answer_is_about_what_was_asked_and_bounded() {
        let id = RevisionId::new("prod", "web").expect("valid");
        let decision = wire::Decision {
            namespace: "other".into(),
            name: "<script>".into(),
            reason: "\u{1b}[31m".into(),
            explanation_json: "{]".into(),
            ..Default::default()
        };
        let told = wire::ExplainResponse {
            decisions: vec![decision; 50],
            cold_starts: vec![ColdStart { instance: "\u{7}".into(), ..Default::default() }; 50],
            instances: vec![wire::InstanceStatus::default(); 50],
            settings: Some(wire::Settings { total: f64::NAN, ..Default::default() }),
        };
        let got = explained(("paris", &id), (3, 2), told);
        assert_eq!((got.decisions.len(), got.cold_starts.len(), got.instances.len()), (3, 8, 2));
        let first = &got.decisions[0];
        assert_eq!((first.namespace.as_str(), first.name.as_str()), ("prod", "web"));
        assert_eq!((first.reason.as_str(), first.explanation_json.as_str()), ("?[31m", ""));
        assert_eq!(got.cold_starts[0].instance, "?");
        assert_eq!(got.settings.map(|settings| settings.total), Some(0.0));
    }
}
