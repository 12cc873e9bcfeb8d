//! What the page shows of several sites: what a view knows, and what a site answers about one of
//! its revisions.

use std::sync::Arc;

use tidegate_controller::overview::DetailQuery;
use tidegate_controller::{ColdStart, Handle, InstanceName};
use tidegate_page::answer::{
    Decision, IN_FLIGHT_METRIC, Instance, Instances, RATE_METRIC, Settings,
};
use tidegate_page::source::{Answer, Id, Look, Seen, Shown, SiteSeen, Source};
use tidegate_proto::scale::v1 as wire;
use tidegate_sites::follow::unix_ms;
use tidegate_sites::{Known, Link, Office, SiteName, SiteState, Sites};
use tidegate_timeline::Timeline;

/// The sites of a view, for its page.
pub(super) struct Shelf {
    pub(super) sites: Sites,
    pub(super) office: Office,
}

impl Shelf {
    /// What is known of a revision.
    fn known(&self, of: &Id) -> Option<Known> {
        let site = of.site.parse::<SiteName>().ok()?;
        let snapshot = self.sites.snapshot();
        let known = &snapshot.site(&site)?.revisions;
        let place = known.binary_search_by(|known| known.overview.revision.cmp(&of.revision));
        known.get(place.ok()?).cloned()
    }
}

impl Source for Shelf {
    fn look(&self) -> Answer<'_, Look> {
        let snapshot = self.sites.snapshot();
        let seen = |state: &SiteState| -> Vec<Seen> {
            let (site, is_old) = (Arc::<str>::from(state.name.as_str()), state.is_old());
            let of = |known: &Known| Seen {
                site: Arc::clone(&site),
                is_old,
                overview: known.overview.clone(),
            };
            state.revisions.iter().map(of).collect()
        };
        let revisions = snapshot.sites.iter().flat_map(seen).collect();
        let sites = snapshot.sites.iter().map(site_seen).collect();
        Box::pin(std::future::ready(Ok(Look { at_ms: unix_ms(), revisions, sites })))
    }

    fn show<'a>(&'a self, of: &'a Id, query: DetailQuery) -> Answer<'a, Option<Shown>> {
        Box::pin(async move {
            let Some(Known { overview, .. }) = self.known(of) else { return Ok(None) };
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            // No more are asked for than are new, so that a calm revision costs its link little.
            let new = usize::try_from(overview.decisions.saturating_sub(query.after));
            let last = new.unwrap_or(usize::MAX).min(query.decisions_max).max(1);
            let request = wire::ExplainRequest {
                namespace: of.revision.namespace().to_owned(),
                name: of.revision.name().to_owned(),
                last: count(last),
                site: of.site.to_string(),
                instances_max: count(query.instances_max),
            };
            // Why a site does not answer is said beside its name.
            let Ok(told) = self.office.explained(request).await else { return Ok(None) };
            let is_new = |made: &wire::Decision| made.number > query.after;
            Ok(Some(Shown {
                settings: told.settings.map(settings),
                decisions: told.decisions.into_iter().filter(is_new).map(decision).collect(),
                instances: Instances::new(
                    told.instances.into_iter().map(instance).collect(),
                    &overview,
                ),
                overview,
                cold_starts: told.cold_starts.into_iter().filter_map(cold_start).collect(),
            }))
        })
    }

    fn controller(&self) -> Option<&Handle> {
        None
    }
}

fn site_seen(state: &SiteState) -> SiteSeen {
    let (link, why) = match &state.link {
        Link::Awaited => ("awaited", ""),
        Link::Up => ("up", ""),
        Link::Cut(why) => ("cut", why.as_str()),
    };
    SiteSeen {
        name: state.name.to_string(),
        link,
        since: state.since_ms,
        told: state.told_ms,
        why: why.to_owned(),
        left_out: state.left_out,
    }
}

fn decision(made: wire::Decision) -> Decision {
    Decision {
        number: made.number,
        at: made.unix_ms,
        before: made.before,
        after: made.desired,
        in_panic: made.in_panic,
        reason: made.reason,
    }
}

fn instance(told: wire::InstanceStatus) -> Instance {
    let phase = match told.phase() {
        wire::InstancePhase::Starting => "starting",
        wire::InstancePhase::Ready => "ready",
        wire::InstancePhase::Unready => "not ready",
        wire::InstancePhase::Draining => "draining",
        wire::InstancePhase::Frozen => "frozen",
        wire::InstancePhase::Unspecified => "unknown",
    };
    Instance { name: told.name, phase, in_flight: told.in_flight }
}

fn settings(told: wire::Settings) -> Settings {
    Settings {
        metric: if told.by_request_rate { RATE_METRIC } else { IN_FLIGHT_METRIC },
        target: told.target,
        total: told.total,
        stable_window_ms: told.stable_window_ms,
        panic_threshold: told.panic_threshold,
        max_scale_up_rate: told.max_scale_up_rate,
        max_scale_down_rate: told.max_scale_down_rate,
        scale_down_delay_ms: told.scale_down_delay_ms,
        target_burst_capacity: told.target_burst_capacity,
        activation_scale: told.activation_scale,
    }
}

/// What cannot be one is left out, as a controller leaves it out.
fn cold_start(told: tidegate_proto::stats::v1::ColdStart) -> Option<ColdStart> {
    let timeline = Timeline::from_micros(told.timeline?.into())?;
    let instance = InstanceName::new(&told.instance).ok()?;
    Some(ColdStart { instance, seen_unix_ms: told.seen_unix_ms, timeline })
}
