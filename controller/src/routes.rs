//! The routes of a controller: what activators are told, and the rollouts that lead their shares.
//!
//! Pure: time is an argument, and so is what became of requests. [`RouteBook::observe`] is due each
//! second while a rollout is on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_autoscaler::Timestamp;
use tidegate_rollout::{Change, Checkpoint, Order, Outcomes, Phase, Progress, Rollout, Settings};
use tidegate_routes::host::HostPattern;
use tidegate_routes::path::PathRule;
use tidegate_routes::{Revision, RolloutPlan, Route, RouteKind, Share, ShareError, Table};
use tidegate_shards::Shard;

use crate::identity::RevisionId;

mod leading;

pub use self::leading::{DividedRollout, divided_rollouts};

/// Time between two looks at what became of requests, in milliseconds: reporters tell it each
/// second.
const OBSERVE_PERIOD_MS: u64 = 1_000;

/// What activators are told of routes.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutesNews {
    /// The table, as its file has it.
    pub text: Arc<str>,
    /// Routes whose shares are not those of the table.
    pub led: Vec<(String, Vec<(Revision, Share)>)>,
}

/// The shares of one route that change, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteChange {
    /// The route.
    pub route: String,
    /// What happened, in a sentence.
    pub what: String,
}

/// What a person wants of the rollout of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteOrder {
    /// Stay where it is.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Everything to the new revision.
    Promote,
    /// Everything back to the stable revision.
    Abort,
    /// Begin anew, whatever it has ended with.
    Restart,
}

/// Why an order is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such route.
    #[error("there is no route \"{asked}\" here: the routes are {known}")]
    UnknownRoute {
        /// What was asked for.
        asked: String,
        /// Those that there are.
        known: String,
    },
    /// The route has no rollout.
    #[error("the route \"{0}\" has no rollout: its file gives it one as [route.{0}.rollout]")]
    NoRollout(String),
    /// The rollout waits for one of its revisions to be known.
    #[error("the rollout of \"{route}\" has not begun: the revision {missing} is not known here")]
    NotBegun {
        /// The route.
        route: String,
        /// The revision.
        missing: RevisionId,
    },
    /// A rollout that has ended does not go on by itself.
    #[error("the rollout of \"{0}\" has ended: it can be begun anew by `restart`")]
    Ended(String),
    /// A rollout leads the shares.
    #[error("the rollout of \"{0}\" leads its shares: abort or promote it first")]
    Led(String),
    /// Another shard of the controller leads the route.
    #[error("the route \"{route}\" is led by shard {leader}: order it there")]
    OtherShard {
        /// The route.
        route: String,
        /// Who leads it.
        leader: Shard,
    },
    /// The shares cannot be followed.
    #[error(transparent)]
    Shares(#[from] ShareError),
}

/// A route and how it does, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteStatus {
    /// The route, as its file has it.
    pub route: Route,
    /// Its shares now; none where its requests go to no revision.
    pub shares: Vec<(Revision, Share)>,
    /// Its rollout.
    pub rollout: Option<RolloutStatus>,
    /// Who leads it, where that is another shard of the controller.
    pub led_by: Option<Shard>,
}

impl RouteStatus {
    /// The hosts that it is for, as its file has them; none for all.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let host = |host: &HostPattern| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Below(name) => format!("*{name}"),
        };
        self.route.hosts.iter().map(host).collect()
    }

    /// The path that it is for; one that ends with `/*` is a prefix.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.route.path {
            PathRule::Exact(path) => path.clone(),
            PathRule::Prefix(path) => format!("{path}/*"),
        }
    }

    /// What answers its requests without an app; empty where an app does.
    #[must_use]
    pub fn answer(&self) -> String {
        match &self.route.kind {
            RouteKind::Forward(_) => String::new(),
            RouteKind::Answer(answer) => format!("answered with {}", answer.status.as_u16()),
            RouteKind::Redirect(redirect) => {
                format!("sent elsewhere with {}", redirect.status.as_u16())
            }
        }
    }
}

/// How a rollout does, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutStatus {
    /// Where it is; `None` while it waits for one of its revisions to be known.
    pub phase: Option<Phase>,
    /// Thousandths that go to the new revision.
    pub new_permille: u16,
    /// Where it is and what it waits for.
    pub progress: String,
    /// What changed last, and when.
    pub last_change: Option<(Timestamp, String)>,
}

/// Where a rollout was, to be taken up after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRecord {
    /// The route.
    pub route: String,
    /// The revision that it comes from.
    pub stable: RevisionId,
    /// The revision that it goes to.
    pub new: RevisionId,
    /// Where it was.
    pub checkpoint: Checkpoint,
}

/// The routes, and where their rollouts are.
#[derive(Debug, Default)]
pub struct RouteBook {
    /// Whose routes it leads.
    shard: Shard,
    source: Option<Source>,
    rollouts: BTreeMap<String, Led>,
    /// Shares that a person has set.
    set: BTreeMap<String, Vec<(Revision, Share)>>,
    next_due: Option<Timestamp>,
}

#[derive(Debug)]
struct Source {
    text: Arc<str>,
    table: Table,
}

/// A route that a rollout leads.
#[derive(Debug)]
struct Led {
    stable: RevisionId,
    new: RevisionId,
    settings: Settings,
    /// `None` while one of the revisions is not known.
    rollout: Option<Rollout>,
    last_change: Option<(Timestamp, String)>,
}

impl RouteBook {
    /// Leads the routes of this shard alone, whatever others there are.
    #[must_use]
    pub fn of(shard: Shard) -> Self {
        Self { shard, ..Self::default() }
    }

    /// Follows another table. A rollout between the same two revisions goes on where it is; of
    /// others only those go on that `records` knows. Rollouts are led whose two revisions are both
    /// of its shard.
    pub fn follow(
        &mut self,
        now: Timestamp,
        (text, table): (Arc<str>, Table),
        records: &[RolloutRecord],
    ) {
        let mut before = std::mem::take(&mut self.rollouts);
        for (route, plan) in table.rollouts() {
            let (Some(stable), Some(new)) = (id(&table, plan.stable), id(&table, plan.new)) else {
                continue;
            };
            let is_own = |of: &RevisionId| self.shard.owns(of.namespace(), of.name());
            if !is_own(&stable) || !is_own(&new) {
                continue;
            }
            let is_same = |led: &Led| led.stable == stable && led.new == new;
            let led = match before.remove(&route.name).filter(is_same) {
                Some(led) => led.with(plan),
                None => Led::new(now, route, (stable, new), plan, records),
            };
            self.rollouts.insert(route.name.clone(), led);
        }
        self.set.retain(|route, shares| table.with_shares(route, shares).is_ok());
        self.source = Some(Source { text, table });
        self.next_due = self.is_watching().then_some(now);
    }

    /// When [`RouteBook::observe`] is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// Compares the revisions of each rollout, and leads its shares. `outcomes` knows what became
    /// of the requests of a revision so far.
    pub fn observe(
        &mut self,
        now: Timestamp,
        outcomes: impl Fn(&RevisionId) -> Option<Outcomes>,
    ) -> Vec<RouteChange> {
        let mut changes = Vec::new();
        for (route, led) in &mut self.rollouts {
            let both = (outcomes(&led.stable), outcomes(&led.new));
            let what = match (&mut led.rollout, both) {
                (None, (Some(_), Some(_))) => {
                    let (rollout, began) = Rollout::begin(led.settings.clone(), now.as_millis());
                    led.rollout = Some(rollout);
                    Some(began.to_string())
                }
                (Some(rollout), (Some(stable), Some(new))) => {
                    let change = rollout.observe(now.as_millis(), &stable, &new);
                    change.map(|change| change.to_string())
                }
                (Some(rollout), _) => {
                    rollout.stand_still(now.as_millis());
                    None
                }
                (None, _) => None,
            };
            if let Some(what) = what {
                led.last_change = Some((now, what.clone()));
                changes.push(RouteChange { route: route.clone(), what });
            }
        }
        let next = now.plus_millis(OBSERVE_PERIOD_MS);
        self.next_due = self.is_watching().then_some(next);
        changes
    }

    /// Whether a rollout waits for anything but a person.
    fn is_watching(&self) -> bool {
        let is_open = |led: &Led| led.rollout.as_ref().is_none_or(|it| it.phase().is_open());
        self.rollouts.values().any(is_open)
    }

    /// Follows what a person wants of a rollout. What changes is `None` where all is so already.
    ///
    /// # Errors
    ///
    /// Why it is not followed.
    pub fn order(
        &mut self,
        now: Timestamp,
        route: &str,
        order: RouteOrder,
    ) -> Result<Option<RouteChange>, OrderError> {
        self.own(route)?;
        let no_rollout = || OrderError::NoRollout(route.to_owned());
        let led = self.rollouts.get_mut(route).ok_or_else(no_rollout)?;
        let not_begun =
            || OrderError::NotBegun { route: route.to_owned(), missing: led.new.clone() };
        let rollout = led.rollout.as_mut().ok_or_else(not_begun)?;
        let change = match order {
            RouteOrder::Restart => {
                let (anew, began) = Rollout::begin(led.settings.clone(), now.as_millis());
                let began = Change { from: rollout.split(), ..began };
                *rollout = anew;
                Some(began)
            }
            RouteOrder::Pause | RouteOrder::Resume if !rollout.phase().is_open() => {
                return Err(OrderError::Ended(route.to_owned()));
            }
            RouteOrder::Pause => rollout.order(now.as_millis(), Order::Pause),
            RouteOrder::Resume => rollout.order(now.as_millis(), Order::Run),
            RouteOrder::Promote => rollout.order(now.as_millis(), Order::Promote),
            RouteOrder::Abort => rollout.order(now.as_millis(), Order::Abort),
        };
        // Whatever a person had set after its end: this is the newer word.
        let was_set = self.set.remove(route).is_some();
        let what = match (change, was_set) {
            (Some(change), _) => change.to_string(),
            (None, true) => "The rollout leads the shares again.".to_owned(),
            (None, false) => return Ok(None),
        };
        led.last_change = Some((now, what.clone()));
        self.next_due = self.is_watching().then_some(now.plus_millis(OBSERVE_PERIOD_MS));
        Ok(Some(RouteChange { route: route.to_owned(), what }))
    }

    /// Divides the requests of a route as a person wants it.
    ///
    /// # Errors
    ///
    /// When a rollout leads them, or the shares cannot be followed.
    pub fn set_shares(
        &mut self,
        route: &str,
        shares: Vec<(Revision, Share)>,
    ) -> Result<RouteChange, OrderError> {
        let table = self.own(route)?;
        let is_led = |led: &Led| led.rollout.as_ref().is_none_or(|it| it.phase().is_open());
        if self.rollouts.get(route).is_some_and(is_led) {
            return Err(OrderError::Led(route.to_owned()));
        }
        table.with_shares(route, &shares)?;
        let told: Vec<String> = shares.iter().map(|(of, share)| format!("{of} {share}")).collect();
        self.set.insert(route.to_owned(), shares);
        let what = format!("The shares were set: {}.", told.join(", "));
        Ok(RouteChange { route: route.to_owned(), what })
    }

    /// The table, if it has this route, and no other shard leads it.
    fn own(&self, route: &str) -> Result<&Table, OrderError> {
        let table = self.known(route)?;
        match table.route(route).and_then(|route| self.led_by(table, route)) {
            Some(leader) => Err(OrderError::OtherShard { route: route.to_owned(), leader }),
            None => Ok(table),
        }
    }

    /// Who leads a route, if that is another shard.
    fn led_by(&self, table: &Table, route: &Route) -> Option<Shard> {
        Some(leading::leader(table, route, self.shard)).filter(|leader| *leader != self.shard)
    }

    /// The table, if it has this route.
    fn known(&self, route: &str) -> Result<&Table, OrderError> {
        let table = self.source.as_ref().map(|source| &source.table);
        if let Some(table) = table.filter(|table| table.route(route).is_some()) {
            return Ok(table);
        }
        let names: Vec<&str> =
            table.into_iter().flat_map(Table::routes).map(|route| route.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Err(OrderError::UnknownRoute { asked: route.to_owned(), known })
    }

    /// The shares of a route that are not those of its file.
    fn led(&self, table: &Table, route: &Route) -> Option<Vec<(Revision, Share)>> {
        if let Some(set) = self.set.get(&route.name) {
            return Some(set.clone());
        }
        let RouteKind::Forward(choice) = &route.kind else { return None };
        let rollout = self.rollouts.get(&route.name)?.rollout.as_ref()?;
        let shares = choice.led(rollout.split().new_revision())?;
        let named = |(number, share): (usize, Share)| (table.revision(number).clone(), share);
        Some(shares.into_iter().map(named).collect())
    }

    /// What activators are to be told; `None` while there is no table.
    #[must_use]
    pub fn news(&self) -> Option<RoutesNews> {
        let Source { text, table } = self.source.as_ref()?;
        let led =
            table.routes().filter_map(|route| Some((route.name.clone(), self.led(table, route)?)));
        Some(RoutesNews { text: Arc::clone(text), led: led.collect() })
    }

    /// Every route and how it does.
    #[must_use]
    pub fn statuses(&self) -> Vec<RouteStatus> {
        let table = self.source.as_ref().map(|source| &source.table);
        let routes = table.into_iter().flat_map(|table| table.routes().map(move |it| (table, it)));
        let status = |(table, route): (&Table, &Route)| {
            let of_file = || {
                let shares = table.shares(&route.name).unwrap_or_default();
                shares.into_iter().map(|(of, share)| (of.clone(), share)).collect()
            };
            RouteStatus {
                route: route.clone(),
                shares: self.led(table, route).unwrap_or_else(of_file),
                rollout: self.rollouts.get(&route.name).map(Led::status),
                led_by: self.led_by(table, route),
            }
        };
        routes.map(status).collect()
    }

    /// Where each rollout is that has begun.
    #[must_use]
    pub fn records(&self) -> Vec<RolloutRecord> {
        let begun = self.rollouts.iter().filter_map(|(route, led)| {
            Some(RolloutRecord {
                route: route.clone(),
                stable: led.stable.clone(),
                new: led.new.clone(),
                checkpoint: led.rollout.as_ref()?.checkpoint(),
            })
        });
        begun.collect()
    }
}

/// A revision of a table as the controller knows it. Both bound names alike.
fn id(table: &Table, number: usize) -> Option<RevisionId> {
    let Revision { namespace, name } = table.revision(number);
    RevisionId::new(namespace, name).ok()
}

impl Led {
    fn new(
        now: Timestamp,
        route: &Route,
        (stable, new): (RevisionId, RevisionId),
        plan: &RolloutPlan,
        records: &[RolloutRecord],
    ) -> Self {
        let is_it = |record: &&RolloutRecord| {
            record.route == route.name && record.stable == stable && record.new == new
        };
        let settings = plan.settings.clone();
        let resume = |record: &RolloutRecord| {
            Rollout::resume(settings.clone(), record.checkpoint, now.as_millis())
        };
        let rollout = records.iter().find(is_it).map(resume);
        Self { stable, new, settings, rollout, last_change: None }
    }

    /// The same rollout with what its file says of it now.
    fn with(mut self, plan: &RolloutPlan) -> Self {
        self.settings = plan.settings.clone();
        if let Some(rollout) = &mut self.rollout {
            rollout.follow(plan.settings.clone());
        }
        self
    }

    fn status(&self) -> RolloutStatus {
        RolloutStatus {
            phase: self.rollout.as_ref().map(Rollout::phase),
            new_permille: self
                .rollout
                .as_ref()
                .map_or(0, |rollout| rollout.split().new_revision().permille()),
            progress: match &self.rollout {
                Some(rollout) => Progress(rollout).to_string(),
                None => format!("Waits until {} and {} are known.", self.stable, self.new),
            },
            last_change: self.last_change.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
