//! The pods of a pipeline scenario at one time, and what a scrape of them returns.

use serde::Deserialize;
use tidegate_autoscaler::scrape::{Method, ScrapeResponse, ScrapeRound};

use crate::collector::Stat;
use crate::context::TimeMs;

/// The pods from a time on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub(super) t_ms: TimeMs,
    pods: Vec<PodGroup>,
    /// What the first, second and further calls of a direct scrape get, whichever pod is called.
    calls: Option<Vec<Call>>,
}

/// Equal pods.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodGroup {
    count: u32,
    start_ms: TimeMs,
    phase: Phase,
    not_ready: bool,
    terminating: bool,
    stat: Stat,
    fail: Failure,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    stat: Stat,
    fail: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    #[serde(alias = "")]
    Running,
    Pending,
    Failed,
    Succeeded,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    #[default]
    #[serde(rename = "")]
    None,
    Mesh,
    Other,
}

impl PodGroup {
    fn is_ready(&self) -> bool {
        self.phase == Phase::Running && !self.not_ready && !self.terminating
    }

    fn is_old(&self, t_ms: i64, window_ms: u64) -> bool {
        let age_ms = t_ms.saturating_sub(self.start_ms.get());
        u64::try_from(age_ms).is_ok_and(|age_ms| age_ms >= window_ms)
    }
}

impl Frame {
    /// Pods that take requests.
    pub(super) fn ready(&self) -> u32 {
        let counts = self.ready_groups().map(|group| group.count);
        counts.fold(0, u32::saturating_add)
    }

    fn ready_groups(&self) -> impl Iterator<Item = &PodGroup> {
        self.pods.iter().filter(|group| group.is_ready())
    }

    /// Asks pods until enough have answered or all were asked.
    pub(super) fn ask(&self, gathering: &mut ScrapeRound, t_ms: i64, window_ms: u64) {
        match (gathering.method(), &self.calls) {
            (Method::Service, _) => self.ask_service(gathering),
            (Method::Direct, Some(calls)) => self.ask_scripted(gathering, calls),
            (Method::Direct, None) => self.ask_directly(gathering, t_ms, window_ms),
        }
    }

    /// The service balances its calls in turn and reaches every pod.
    fn ask_service(&self, gathering: &mut ScrapeRound) {
        for group in self.ready_groups() {
            take_all(gathering, group.count, ScrapeResponse::Sample(group.stat.sample()));
        }
    }

    /// One answer for each call, at most one call for each pod.
    fn ask_scripted(&self, gathering: &mut ScrapeRound, calls: &[Call]) {
        let pods = usize::try_from(self.ready()).unwrap_or(usize::MAX);
        for call in calls.iter().take(pods) {
            if gathering.wants_more() {
                gathering.take(answer(call.fail, call.stat));
            }
        }
        if pods > calls.len() && gathering.wants_more() {
            gathering.take(ScrapeResponse::Failure);
        }
    }

    /// Pods as old as the stable window first, younger ones where those do not suffice.
    fn ask_directly(&self, gathering: &mut ScrapeRound, t_ms: i64, window_ms: u64) {
        for old in [true, false] {
            for group in self.ready_groups().filter(|group| group.is_old(t_ms, window_ms) == old) {
                take_all(gathering, group.count, answer(group.fail, group.stat));
            }
        }
    }
}

fn answer(fail: Failure, stat: Stat) -> ScrapeResponse {
    match fail {
        Failure::None => ScrapeResponse::Sample(stat.sample()),
        Failure::Mesh => ScrapeResponse::MeshRefusal,
        Failure::Other => ScrapeResponse::Failure,
    }
}

/// The same answer from `count` pods. Failures are only told apart from their absence, so one
/// stands for all of a group, however large.
fn take_all(gathering: &mut ScrapeRound, count: u32, answer: ScrapeResponse) {
    let times = if matches!(answer, ScrapeResponse::Sample(_)) { count } else { count.min(1) };
    for _ in 0..times {
        if !gathering.wants_more() {
            return;
        }
        gathering.take(answer);
    }
}
