//! One route: which requests it takes, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use http::header::HeaderName;
use tidegate_rollout::{Settings, Weight};

use crate::answer::{Answer, Redirect};
use crate::host::HostPattern;
use crate::path::PathRule;
use crate::share::{Place, Share, Split};
use crate::visitor::{self, Salt, Stickiness, Visitor, mix};

/// Namespace and name of a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A route. Revisions are known by their numbers in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The hosts that it is for; empty for all.
    pub hosts: Vec<HostPattern>,
    /// The paths that it is for.
    pub path: PathRule,
    /// What becomes of its requests.
    pub kind: RouteKind,
}

/// What becomes of the requests of a route.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteKind {
    /// They go to revisions.
    Forward(Box<Choice>),
    /// They get this answer.
    Answer(Box<Answer>),
    /// They are sent elsewhere.
    Redirect(Box<Redirect>),
}

/// How the revision of a request is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The shares of the revisions.
    pub split: Split,
    /// Revisions that can be asked for by a tag.
    pub tags: BTreeMap<String, usize>,
    /// Requests that go to one revision whatever the shares; the first that fits decides.
    pub conditions: Vec<Condition>,
    /// By what visitors are known again.
    pub stickiness: Stickiness,
    /// What tells the order of its visitors from that of other routes.
    pub salt: Salt,
    /// What is sent to another revision as well.
    pub mirror: Option<Mirror>,
    /// How the requests are to go from one of the revisions to another.
    pub rollout: Option<RolloutPlan>,
}

/// A request that shows this goes to this revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Where it shows it.
    pub field: Field,
    /// What it shows; `None` for anything but nothing.
    pub value: Option<String>,
    /// The revision.
    pub to: usize,
}

/// Where a request shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// In a header.
    Header(HeaderName),
    /// In a cookie.
    Cookie(String),
}

/// Requests that are sent to another revision as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirror {
    /// The revision.
    pub to: usize,
    /// How many of the requests.
    pub share: Share,
}

/// How requests go from one revision to another.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutPlan {
    /// From which.
    pub stable: usize,
    /// To which.
    pub new: usize,
    /// How fast, and what the new one must be like.
    pub settings: Settings,
}

/// What was chosen for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// The revision.
    pub revision: usize,
    /// The number that the client is to keep, where it has none yet.
    pub visitor: Option<Visitor>,
    /// Whether a tag that it shows decided.
    pub by_tag: ByTag,
}

/// Whether a tag decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByTag {
    /// It did.
    Yes,
    /// Something else did.
    No,
}

impl Condition {
    fn holds(&self, headers: &HeaderMap) -> bool {
        let shown = match &self.field {
            Field::Header(name) => visitor::header(headers, name),
            Field::Cookie(name) => visitor::cookie(headers, name),
        };
        match (shown, &self.value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(shown), Some(value)) => shown == value.as_bytes(),
        }
    }
}

/// Makes of the one draw of a request another, for its second question.
const SECOND_DRAW: u64 = 0x9e37_79b9_7f4a_7c15;

impl Choice {
    /// The revision of a request that names none by its host: by its tag, what it shows, who it is
    /// from, or its draw.
    #[must_use]
    pub fn choose(&self, headers: &HeaderMap, draw: u64) -> Chosen {
        let tag = visitor::header(headers, &tidegate_knative::headers::SERVING_TAG);
        let tagged = tag.and_then(|tag| self.tags.get(str::from_utf8(tag).ok()?));
        if let Some(revision) = tagged {
            return Chosen { revision: *revision, visitor: None, by_tag: ByTag::Yes };
        }
        let holds = |condition: &&Condition| condition.holds(headers);
        if let Some(Condition { to, .. }) = self.conditions.iter().find(holds) {
            return Chosen { revision: *to, visitor: None, by_tag: ByTag::No };
        }
        let drawn = || Place::of_draw(draw);
        let (place, visitor) = match &self.stickiness {
            Stickiness::None => (drawn(), None),
            Stickiness::Visitor => match Visitor::of_request(headers) {
                Some(known) => (known.place(self.salt), None),
                None => {
                    let new = Visitor::of_draw(draw);
                    (new.place(self.salt), Some(new))
                }
            },
            Stickiness::Header(name) => {
                (self.place_of(visitor::header(headers, name), drawn), None)
            }
            Stickiness::Cookie(name) => {
                (self.place_of(visitor::cookie(headers, name), drawn), None)
            }
        };
        Chosen { revision: self.split.at(place), visitor, by_tag: ByTag::No }
    }

    fn place_of(&self, key: Option<&[u8]>, drawn: impl Fn() -> Place) -> Place {
        key.map_or_else(drawn, |key| visitor::place_of_key(key, self.salt))
    }

    /// The revision that a request is sent to as well, if it is one of those.
    #[must_use]
    pub fn mirrored(&self, draw: u64) -> Option<usize> {
        let mirror = self.mirror.as_ref()?;
        let place = Place::of_draw(mix(draw ^ SECOND_DRAW));
        place.is_within(mirror.share).then_some(mirror.to)
    }

    /// The shares when so much of what the two revisions of the rollout have together goes to the
    /// new one. Nothing else changes. `None` where there is no rollout.
    #[must_use]
    pub fn led(&self, weight: Weight) -> Option<Vec<(usize, Share)>> {
        let plan = self.rollout.as_ref()?;
        let is_part = |revision: usize| [plan.stable, plan.new].contains(&revision);
        let parts = self.split.shares().iter().filter(|(revision, _)| is_part(*revision));
        let span = parts.fold(Share::NONE, |sum, (_, share)| sum.plus(*share));
        let (new, stable) = span.divide(weight);
        let led = |(revision, share): &(usize, Share)| match *revision {
            revision if revision == plan.new => (revision, new),
            revision if revision == plan.stable => (revision, stable),
            revision => (revision, *share),
        };
        Some(self.split.shares().iter().map(led).collect())
    }
}
