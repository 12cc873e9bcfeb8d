//! Whose revisions are shown: those of a controller, or those of several sites, of which a view
//! knows what they tell. Everything else of the page is the same for both.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use tidegate_controller::overview::{Detail, DetailQuery, Overview};
use tidegate_controller::{ColdStart, Ended, Handle, RevisionId};

use crate::answer::{Decision, Instances, Settings};

/// Name of the site of a controller, which is alone and has none.
const NO_SITE: &str = "";

/// A revision of a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The name of the site; empty where a controller shows its own.
    pub site: Arc<str>,
    /// The revision.
    pub revision: RevisionId,
}

impl Id {
    /// A revision of the only site that there is.
    #[must_use]
    pub fn of_controller(revision: RevisionId) -> Self {
        Self { site: NO_SITE.into(), revision }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.site {
            NO_SITE => write!(formatter, "{}", self.revision),
            site => write!(formatter, "{site}:{}", self.revision),
        }
    }
}

/// A revision as it is seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The name of its site.
    pub site: Arc<str>,
    /// Whether this was so and is not known to be so now.
    pub is_old: bool,
    /// Its numbers.
    pub overview: Overview,
}

/// A site as it is seen. Its name and texts are data and never become markup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteSeen {
    /// Its name.
    pub name: String,
    /// `up`, `cut`, or `awaited` before it was heard of.
    pub link: &'static str,
    /// Since when, in Unix milliseconds.
    pub since: i64,
    /// When it last told of its revisions.
    pub told: Option<i64>,
    /// Why it does not answer.
    pub why: String,
    /// Revisions of it that are not shown because there are too many.
    pub left_out: usize,
}

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// Every revision, in the order of sites and names.
    pub revisions: Vec<Seen>,
    /// Every site, in the order of their names; none of a controller.
    pub sites: Vec<SiteSeen>,
}

/// What there is to read of one revision.
#[derive(Debug)]
pub struct Shown {
    /// Its numbers.
    pub overview: Overview,
    /// What its decisions are computed from, where Knative's algorithm is what decides.
    pub settings: Option<Settings>,
    /// Decisions, newest first.
    pub decisions: Vec<Decision>,
    /// Instances.
    pub instances: Instances,
    /// The last cold starts, newest first.
    pub cold_starts: Vec<ColdStart>,
}

/// What a source returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Ended>> + Send + 'a>>;

/// Whose revisions are shown.
pub trait Source: Send + Sync + 'static {
    /// Everything at this moment. It must wait for nobody who may be silent.
    ///
    /// # Errors
    ///
    /// When there is nothing to look at any more.
    fn look(&self) -> Answer<'_, Look>;

    /// What there is to read of a revision; `None` where there is no such one, or it cannot be
    /// asked about. It must bound its time.
    ///
    /// # Errors
    ///
    /// When there is nothing to look at any more.
    fn show<'a>(&'a self, of: &'a Id, query: DetailQuery) -> Answer<'a, Option<Shown>>;

    /// The one controller whose these are: it has routes, and may take orders. A view has none.
    fn controller(&self) -> Option<&Handle>;
}

impl Source for Handle {
    fn look(&self) -> Answer<'_, Look> {
        Box::pin(async {
            let overviews = self.overviews().await?;
            let site: Arc<str> = NO_SITE.into();
            let seen = |overview| Seen { site: Arc::clone(&site), is_old: false, overview };
            let revisions = overviews.into_iter().map(seen).collect();
            Ok(Look { at_ms: self.now().as_millis(), revisions, sites: Vec::new() })
        })
    }

    fn show<'a>(&'a self, of: &'a Id, query: DetailQuery) -> Answer<'a, Option<Shown>> {
        Box::pin(async move {
            if *of.site != *NO_SITE {
                return Ok(None);
            }
            let detail = self.detail(of.revision.clone(), query).await?;
            Ok(detail.map(|detail| {
                let Detail { overview, declaration, decisions, instances, cold_starts } = detail;
                Shown {
                    settings: Settings::of(&declaration),
                    decisions: decisions.iter().map(|(n, of)| Decision::of(*n, of)).collect(),
                    instances: Instances::of(&instances, &overview),
                    overview,
                    cold_starts,
                }
            }))
        })
    }

    fn controller(&self) -> Option<&Handle> {
        Some(self)
    }
}
