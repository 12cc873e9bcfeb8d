//! One browser that watches: what it is told next. Nothing waits for it: whenever it has taken
//! what it was told, it is told what is so then.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_controller::Ended;
use tidegate_controller::cold_start::COLD_STARTS_MAX;
use tidegate_controller::overview::DetailQuery;

use crate::answer::Instances;
use crate::fleet::{RowQuery, Snapshot};
use crate::query::View;
use crate::sampler::Trails;
use crate::source::{Id, Shown, Source};
use crate::told::Waterfall;
use crate::told::{Figures, Fleet, Gone, News, Revision, Routes};

/// Decisions that are told at first: some minutes of them.
const DECISIONS_AT_FIRST: usize = 200;

/// Decisions that are told at a time later: one is made ten times a second at most.
const DECISIONS_LATER: usize = 20;

/// Instances that are told; more are counted.
const INSTANCES_MAX_TOLD: usize = 200;

/// A browser that watches.
pub(crate) struct Viewer {
    source: Arc<dyn Source>,
    trails: Arc<Mutex<Trails>>,
    view: View,
    is_first: bool,
    /// The number of the last decision that it was told.
    decided: u64,
    /// What it was told of settings, instances and cold starts, or of routes.
    known: [String; 3],
}

/// One event: its kind, and its data.
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) json: String,
}

impl Viewer {
    pub(crate) fn new(source: Arc<dyn Source>, trails: Arc<Mutex<Trails>>, view: View) -> Self {
        Self { source, trails, view, is_first: true, decided: 0, known: Default::default() }
    }

    /// What it is to be told now; `None` if nothing has changed.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub(crate) async fn next(&mut self, snapshot: &Snapshot) -> Result<Option<Told>, Ended> {
        let told = match self.view.clone() {
            View::Fleet(query) => Some(("fleet", self.fleet(snapshot, &query))),
            View::Revision(id) => Some(("revision", self.revision(snapshot, &id).await?)),
            View::Routes => self.routes(snapshot).await?.map(|json| ("routes", json)),
        };
        Ok(told.map(|(kind, json)| Told { kind, json }))
    }

    fn fleet(&mut self, snapshot: &Snapshot, query: &RowQuery) -> String {
        let selected = snapshot.select(query);
        let trails = self.trails.lock();
        let news = match self.is_first {
            true => News::past(&trails.sum),
            false => News::point(snapshot.at_ms, snapshot.sum),
        };
        self.is_first = false;
        json(&Fleet::new(snapshot, &selected, &trails, news))
    }

    async fn revision(&mut self, snapshot: &Snapshot, id: &Id) -> Result<String, Ended> {
        let query = DetailQuery {
            after: self.decided,
            decisions_max: if self.is_first { DECISIONS_AT_FIRST } else { DECISIONS_LATER },
            instances_max: INSTANCES_MAX_TOLD,
        };
        let shown = self.source.show(id, query).await?;
        let row = snapshot.rows.binary_search_by(|row| row.order(id));
        let Some(row) = row.ok().and_then(|place| snapshot.rows.get(place)) else {
            return Ok(json(&Gone { now: snapshot.at_ms, gone: true }));
        };
        let state = snapshot.sites.iter().find(|site| *site.name == *id.site).cloned();
        // Of a site that does not answer there are the numbers that it last told.
        let shown = match shown {
            Some(shown) => shown,
            None if !snapshot.sites.is_empty() => Shown {
                overview: row.overview.clone(),
                settings: None,
                decisions: Vec::new(),
                instances: Instances::new(Vec::new(), &row.overview),
                cold_starts: Vec::new(),
            },
            None => return Ok(json(&Gone { now: snapshot.at_ms, gone: true })),
        };
        let Shown { overview, settings, decisions, instances, cold_starts } = shown;
        self.decided = decisions.iter().map(|made| made.number).fold(self.decided, u64::max);
        let trail = match std::mem::take(&mut self.is_first) {
            true => self.trails.lock().of(id).map(News::past),
            false => None,
        };
        let cold_starts: Vec<Waterfall> =
            cold_starts.iter().take(COLD_STARTS_MAX).map(Into::into).collect();
        let told = Revision {
            now: snapshot.at_ms,
            site: id.site.to_string(),
            state,
            namespace: id.revision.namespace().to_owned(),
            name: id.revision.name().to_owned(),
            figures: Figures::new(&overview, row.rate, row.failed),
            trail: trail.unwrap_or_else(|| News::point(snapshot.at_ms, row.load())),
            decisions,
            settings: self.changed(0, &settings),
            instances: self.changed(1, &instances),
            cold_starts: self.changed(2, &cold_starts),
        };
        Ok(json(&told))
    }

    async fn routes(&mut self, snapshot: &Snapshot) -> Result<Option<String>, Ended> {
        let statuses = match self.source.controller() {
            Some(controller) => controller.routes().await?,
            None => Vec::new(),
        };
        // The time of the first is told alone: routes change far less often than it passes.
        let news = self.changed(0, &Routes::new(0, &statuses));
        Ok(news.map(|_| json(&Routes::new(snapshot.at_ms, &statuses))))
    }

    /// A part as JSON, if it is not what was told last.
    fn changed(&mut self, place: usize, part: &impl Serialize) -> Option<Box<RawValue>> {
        let text = json(part);
        if self.known[place] == text {
            return None;
        }
        self.known[place].clone_from(&text);
        RawValue::from_string(text).ok()
    }
}

/// Plain numbers and texts always can be written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
