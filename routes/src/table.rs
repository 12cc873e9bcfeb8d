//! All routes, and which of them a request takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};

use crate::answer::Answer;
use crate::host::{self, HostPattern};
use crate::path::{Ambiguous, Path, PathIndex};
use crate::plan::{ByTag, Revision, RolloutPlan, Route, RouteKind};
use crate::share::{Share, ShareError, Split};
use crate::visitor::Visitor;

/// Most rules of a table: a rule is a host and a path, or a tag's host and a path.
pub const RULES_MAX: usize = 20_000;

/// All routes. Cheap to clone, and to change in its shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    revisions: Arc<[Revision]>,
    routes: Vec<Arc<Route>>,
    index: Arc<Index>,
}

/// Which route is for which host and path.
#[derive(Debug, PartialEq, Default)]
struct Index {
    exact: BTreeMap<String, PathIndex>,
    below: BTreeMap<String, PathIndex>,
    any: PathIndex,
    rules: Vec<Rule>,
    /// The tags that have hosts of their own: name and revision.
    tags: Vec<(HeaderValue, usize)>,
}

/// Where a host and a path lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    route: usize,
    /// The number of the tag whose host it is.
    tagged: Option<usize>,
}

/// What of a request decides.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its host, valid, with or without a port.
    pub host: Option<&'a str>,
    /// Its target, byte for byte.
    pub target: &'a [u8],
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// A number that is as likely to be any as any other.
    pub draw: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a> {
    /// No route is for it.
    Unrouted,
    /// It depends on who reads its path which route is for it: it is to be refused.
    Ambiguous,
    /// It goes to a revision.
    Forward(Forward<'a>),
    /// It gets an answer.
    Answer {
        /// The route.
        route: &'a str,
        /// The answer.
        answer: &'a Answer,
    },
    /// It is sent elsewhere.
    Redirect {
        /// The route.
        route: &'a str,
        /// The status.
        status: StatusCode,
        /// Where to.
        location: HeaderValue,
    },
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forward<'a> {
    /// The route.
    pub route: &'a str,
    /// The number of its revision.
    pub revision: usize,
    /// The number that its client is to keep.
    pub visitor: Option<Visitor>,
    /// The number of the revision that it is sent to as well.
    pub mirror: Option<usize>,
    /// What its tag has to do with that.
    pub tag: Tag<'a>,
}

/// What a tag has to do with where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag<'a> {
    /// The route has none.
    None,
    /// It decided, by the host.
    OfHost(&'a HeaderValue),
    /// It decided, by the header that says it.
    OfHeader,
    /// None decided, of those that there are.
    Undecided,
}

/// Why routes make no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two of them are for the same requests.
    #[error("it is for the same host and path as the route \"{0}\": expected one route for each")]
    Same(String),
    /// A tag's host is that of a route.
    #[error("a tag has a host that the route \"{0}\" has as well")]
    TagHost(String),
    /// There are too many.
    #[error("the routes make more than {RULES_MAX} pairs of a host and a path, tags included")]
    TooMany,
}

impl Table {
    /// The table of these routes, which know revisions by their numbers in `revisions`.
    ///
    /// # Errors
    ///
    /// The number of the route that cannot be added, and why.
    pub fn new(revisions: Vec<Revision>, routes: Vec<Route>) -> Result<Self, (usize, TableError)> {
        let mut index = Index::default();
        // Hosts that people name come before those that tags make.
        for (number, route) in routes.iter().enumerate() {
            let added = match route.hosts.as_slice() {
                [] => index.add(None, route, Rule { route: number, tagged: None }),
                hosts => hosts.iter().try_for_each(|host| {
                    index.add(Some(host), route, Rule { route: number, tagged: None })
                }),
            };
            let name = |of: usize| routes[of].name.clone();
            added.map_err(|why| {
                (number, why.map_or(TableError::TooMany, |of| TableError::Same(name(of))))
            })?;
        }
        for (number, route) in routes.iter().enumerate() {
            let RouteKind::Forward(choice) = &route.kind else { continue };
            for (tag, revision) in &choice.tags {
                // A tag is a part of a host, which every header can hold.
                let Ok(name) = HeaderValue::from_str(tag) else { continue };
                index.tags.push((name, *revision));
                let tagged = Some(index.tags.len() - 1);
                for host in route.hosts.iter().filter_map(|host| host.of_tag(tag)) {
                    let rule = Rule { route: number, tagged };
                    let added = index.add(Some(&HostPattern::Exact(host)), route, rule);
                    let name = |of: usize| routes[of].name.clone();
                    added.map_err(|why| {
                        (
                            number,
                            why.map_or(TableError::TooMany, |of| TableError::TagHost(name(of))),
                        )
                    })?;
                }
            }
        }
        Ok(Self {
            revisions: revisions.into(),
            routes: routes.into_iter().map(Arc::new).collect(),
            index: Arc::new(index),
        })
    }

    /// What becomes of a request.
    #[must_use]
    pub fn find(&self, request: &Request<'_>) -> Outcome<'_> {
        let rule = match self.index.find(request.host, &Path::of_target(request.target)) {
            Ok(Some(rule)) => rule,
            Ok(None) => return Outcome::Unrouted,
            Err(Ambiguous) => return Outcome::Ambiguous,
        };
        self.outcome(rule, request)
    }

    /// What becomes of a request that takes a route, whatever its host and path.
    #[must_use]
    pub fn find_in(&self, route: &str, request: &Request<'_>) -> Outcome<'_> {
        match self.routes.iter().position(|known| known.name == route) {
            Some(route) => self.outcome(Rule { route, tagged: None }, request),
            None => Outcome::Unrouted,
        }
    }

    fn outcome(&self, rule: Rule, request: &Request<'_>) -> Outcome<'_> {
        let route = &self.routes[rule.route];
        let name = route.name.as_str();
        match &route.kind {
            RouteKind::Answer(answer) => Outcome::Answer { route: name, answer },
            RouteKind::Redirect(redirect) => Outcome::Redirect {
                route: name,
                status: redirect.status,
                location: redirect.location(request.target),
            },
            RouteKind::Forward(choice) => {
                let mirror = choice.mirrored(request.draw);
                let (revision, visitor, tag) = match rule.tagged.map(|tag| &self.index.tags[tag]) {
                    Some((name, revision)) => (*revision, None, Tag::OfHost(name)),
                    None => {
                        let chosen = choice.choose(request.headers, request.draw);
                        let tag = match chosen.by_tag {
                            _ if choice.tags.is_empty() => Tag::None,
                            ByTag::Yes => Tag::OfHeader,
                            ByTag::No => Tag::Undecided,
                        };
                        (chosen.revision, chosen.visitor, tag)
                    }
                };
                Outcome::Forward(Forward { route: name, revision, visitor, mirror, tag })
            }
        }
    }

    /// The revision with a number.
    ///
    /// # Panics
    ///
    /// When the number is of another table.
    #[must_use]
    pub fn revision(&self, number: usize) -> &Revision {
        &self.revisions[number]
    }

    /// Every revision that is named, in the order of their numbers.
    #[must_use]
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// Every route, in the order of their names.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(|route| &**route)
    }

    /// The routes whose requests are to go from one revision to another.
    pub fn rollouts(&self) -> impl Iterator<Item = (&Route, &RolloutPlan)> {
        self.routes().filter_map(|route| match &route.kind {
            RouteKind::Forward(choice) => Some((route, choice.rollout.as_ref()?)),
            _ => None,
        })
    }

    /// The shares of a route by revisions; `None` where it has none.
    #[must_use]
    pub fn shares(&self, route: &str) -> Option<Vec<(&Revision, Share)>> {
        let RouteKind::Forward(choice) = &self.route(route)?.kind else { return None };
        let named = |(number, share): &(usize, Share)| (&self.revisions[*number], *share);
        Some(choice.split.shares().iter().map(named).collect())
    }

    /// The route of a name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes().find(|route| route.name == name)
    }

    /// The same table with other shares of one route; a revision of it that is not given gets none.
    ///
    /// # Errors
    ///
    /// When there is no such route, it does not have such a revision, or the shares are not the
    /// whole.
    pub fn with_shares(
        &self,
        route: &str,
        shares: &[(Revision, Share)],
    ) -> Result<Self, ShareError> {
        let unknown = || ShareError::UnknownRoute(route.to_owned());
        let at = self.routes.iter().position(|known| known.name == route).ok_or_else(unknown)?;
        let mut changed = Route::clone(&self.routes[at]);
        let RouteKind::Forward(choice) = &mut changed.kind else { return Err(unknown()) };
        let known = choice.split.shares();
        let mut all: Vec<(usize, Share)> =
            known.iter().map(|(number, _)| (*number, Share::NONE)).collect();
        for (revision, share) in shares {
            let is_it = |(number, _): &&mut (usize, Share)| self.revisions[*number] == *revision;
            let found = all.iter_mut().find(is_it);
            let place = found.ok_or_else(|| ShareError::UnknownRevision(revision.to_string()))?;
            place.1 = place.1.plus(*share);
        }
        choice.split = Split::new(all)?;
        let mut table = self.clone();
        table.routes[at] = Arc::new(changed);
        Ok(table)
    }
}

impl Index {
    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// The route that is there already; `None` when there are too many rules.
    fn add(
        &mut self,
        host: Option<&HostPattern>,
        route: &Route,
        rule: Rule,
    ) -> Result<(), Option<usize>> {
        if self.rules.len() >= RULES_MAX {
            return Err(None);
        }
        let paths = match host {
            None => &mut self.any,
            Some(HostPattern::Exact(host)) => self.exact.entry(host.clone()).or_default(),
            Some(HostPattern::Below(host)) => self.below.entry(host.clone()).or_default(),
        };
        let number = self.rules.len();
        let before = paths.insert(&route.path, number);
        before.map_err(|before| Some(self.rules[before].route))?;
        self.rules.push(rule);
        Ok(())
    }

    /// The rule for a host and a path: of the host itself, else of all below the nearest of its
    /// parents, else of all hosts.
    fn find(&self, host: Option<&str>, path: &Path<'_>) -> Result<Option<Rule>, Ambiguous> {
        let mut buffer = String::new();
        let name = host.and_then(|host| host::name_of(host, &mut buffer));
        let exact = name.and_then(|name| self.exact.get(name));
        let below = name.into_iter().filter(|_| !self.below.is_empty()).flat_map(host::parents);
        let below = below.filter_map(|parent| self.below.get(parent));
        for paths in exact.into_iter().chain(below).chain([&self.any]) {
            if let Some(number) = paths.find(path)? {
                return Ok(Some(self.rules[number]));
            }
        }
        Ok(None)
    }
}
