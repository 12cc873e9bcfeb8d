//! The display: what happens, as lines, and on a terminal a row for each service below them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{OutputLine, OutputStream};
use tidegate_local::names::{service_of, service_of_instance};
use tidegate_local::platform::{PlatformView, ServiceStatus, Stage};
use tidegate_services::{Difference, Protocol, Service, Services};
use tokio::sync::mpsc;

use super::args::Args;
use crate::run::draining::LiveScreen;
use crate::run::events::{Tails, Voice};
use crate::run::lines;
use crate::run::retries::{Retries, Shown};
use crate::run::summary;
use crate::run::waiting::Waiting;
use crate::terminal::{BlockEnd, Terminal, VERMILION, counted};

/// Widest column of names; longer ones are cut.
const NAME_WIDTH_MAX: usize = 24;

/// Shows events and how the services stand.
pub(super) struct Screen {
    terminal: Terminal,
    verbosity: Verbosity,
    tails: Tails,
    /// What failing starts wrote, by service.
    retries: BTreeMap<String, Retries>,
    address: Option<SocketAddr>,
    started: Instant,
    /// Requests of each service when its rate was last computed, and that rate.
    rates: Rates,
}

/// Which decisions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verbosity {
    /// Those that change the number of instances.
    Changes,
    /// Every one, and what the sidecars log.
    All,
}

/// Requests a second, over the last whole second.
#[derive(Default)]
struct Rates {
    at: Duration,
    requests: BTreeMap<String, u64>,
    rates: BTreeMap<String, u64>,
}

impl Rates {
    fn look(&mut self, elapsed: Duration, statuses: &[ServiceStatus]) {
        let passed = elapsed.saturating_sub(self.at);
        if passed < Duration::from_secs(1) && !self.rates.is_empty() {
            return;
        }
        self.at = elapsed;
        for ServiceStatus { name, activator, .. } in statuses {
            let before = self.requests.insert(name.clone(), activator.requests).unwrap_or(0);
            // Revisions that are gone take their count along.
            let more = activator.requests.saturating_sub(before) as f64;
            let rate = more / passed.as_secs_f64().max(1.0);
            self.rates.insert(name.clone(), rate.round() as u64);
        }
    }
}

/// What all services have in flight and in queues, and how many instances there are.
pub(super) fn totals(statuses: &[ServiceStatus]) -> (tidegate_activator::Status, u32) {
    let mut total = tidegate_activator::Status::default();
    for ServiceStatus { activator, .. } in statuses {
        total.in_flight += activator.in_flight;
        total.abandoned += activator.abandoned;
        total.waiting += activator.waiting;
        total.requests += activator.requests;
        total.cold_starts += activator.cold_starts;
    }
    let instances =
        |status: &ServiceStatus| status.sum(|it| it.ready + it.starting + it.draining + it.frozen);
    (total, statuses.iter().map(instances).sum())
}

impl LiveScreen for Screen {
    type View = PlatformView;

    async fn room(&self) {
        self.terminal.room().await;
    }

    fn say(&mut self, line: &str) {
        for line in line.lines() {
            lines::line(&mut self.terminal, line);
        }
        self.terminal.flush();
    }

    fn notice(&mut self, notice: &Notice) {
        if let Some(service) = of_notice(notice) {
            let shown = self.retries.entry(service).or_default().notice(notice);
            self.show(shown);
        }
        // On a terminal the rows show starting and stopped instances already.
        let is_news = match notice {
            Notice::Starting { .. } | Notice::Stopped { .. } => {
                !self.terminal.surface().is_terminal()
            }
            Notice::ColdStarted(_) => self.verbosity == Verbosity::All,
            _ => true,
        };
        if is_news {
            for line in Voice::notice(notice, self.tails) {
                lines::line(&mut self.terminal, &line);
            }
        }
        self.terminal.flush();
    }

    fn output(&mut self, output: &mut Vec<OutputLine>) {
        for line in output.drain(..) {
            if line.stream == OutputStream::Sidecar && self.verbosity == Verbosity::Changes {
                continue;
            }
            let service = service_of_instance(&line.instance).unwrap_or_default().to_owned();
            let shown = self.retries.entry(service).or_default().output(line);
            self.show(shown);
        }
        self.terminal.flush();
    }

    async fn redraw_waiting(
        &mut self,
        view: &PlatformView,
        waiting: &mut Waiting,
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        let (activator, instances) = totals(&view.statuses().await?);
        if let Some(what) = waiting.tell_of(&activator, instances, elapsed) {
            self.say(&what);
        }
        self.redraw(view).await
    }
}

impl Screen {
    pub(super) fn new(args: &Args, log: Option<mpsc::Receiver<String>>) -> Self {
        let target = args.shown.target();
        Self {
            terminal: Terminal::new(args.shown.surface(), target).with_log(log),
            verbosity: if args.shown.verbose { Verbosity::All } else { Verbosity::Changes },
            tails: if args.shown.quiet { Tails::Always } else { Tails::AtTheEnd },
            retries: BTreeMap::new(),
            address: None,
            started: Instant::now(),
            rates: Rates::default(),
        }
    }

    pub(super) fn set_address(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    /// Says where each service is.
    pub(super) fn say_where(&mut self, services: &Services) {
        let told: Vec<String> =
            services.services.iter().map(|(name, service)| self.place(name, service)).collect();
        for line in told {
            self.say(&line);
        }
    }

    /// Says where those are that are new, or somewhere else.
    pub(super) fn say_where_new(&mut self, services: &Services, difference: &Difference) {
        let moved = difference
            .changed
            .iter()
            .filter(|(_, parts)| parts.contains(&tidegate_services::Part::Entrance));
        let names: Vec<&String> =
            difference.added.iter().chain(moved.map(|(name, _)| name)).collect();
        for name in names {
            if let Some(service) = services.services.get(name) {
                let line = self.place(name, service);
                self.say(&line);
            }
        }
    }

    /// Where clients find a service.
    fn place(&self, name: &str, service: &Service) -> String {
        let mut places = Vec::new();
        if service.template.protocol == Protocol::Http {
            let path = service.entrance.path.clone().unwrap_or_default();
            let common = self.address;
            for host in service.entrance.of_all(name) {
                let at = match (host.as_str(), common) {
                    ("", Some(address)) => address.to_string(),
                    (host, Some(address)) => format!("{host}:{}", address.port()),
                    (host, None) => host.to_owned(),
                };
                places.push(format!("http://{at}{path}"));
            }
        }
        if let Some(own) = service.entrance.listen {
            let scheme = match service.template.protocol {
                Protocol::Http => "http",
                Protocol::Tcp => "tcp",
            };
            places.push(format!("{scheme}://{own}"));
        }
        format!("{name} on {}", places.join(" and "))
    }

    pub(super) fn decision(&mut self, decision: &DecisionRecord) {
        if decision.changes() || self.verbosity == Verbosity::All {
            let line = format!("{}: {}", decision.revision.name(), Voice::decision(decision));
            lines::line(&mut self.terminal, &line);
        }
        self.terminal.flush();
    }

    fn show(&mut self, shown: Shown) {
        for line in shown.lines {
            lines::written(&mut self.terminal, &line);
        }
        if let Some(remark) = shown.remark {
            lines::line(&mut self.terminal, &remark);
        }
    }

    /// Draws the rows, on a terminal.
    pub(super) async fn redraw(&mut self, view: &PlatformView) -> anyhow::Result<()> {
        if self.terminal.surface().is_terminal() {
            let statuses = view.statuses().await?;
            self.rates.look(self.started.elapsed(), &statuses);
            let block = self.block(&statuses);
            self.terminal.show(block);
        }
        self.terminal.flush();
        Ok(())
    }

    fn block(&self, statuses: &[ServiceStatus]) -> Vec<String> {
        let up = Duration::from_secs(self.started.elapsed().as_secs());
        let at = self.address.map(|address| format!(" on {address}")).unwrap_or_default();
        let count = counted(statuses.len() as u64, "service");
        let mut block = vec![format!("{count}{at}  up {}", humantime::format_duration(up))];
        let longest = statuses.iter().map(|status| status.name.chars().count()).max();
        let width = longest.unwrap_or(0).clamp("service".len(), NAME_WIDTH_MAX);
        block.push(format!(
            "{:<width$}  {:>8}  {:>5}  {:>6}  {:>8}  {:>9}  {:>7}  {:>6}  ",
            "service", "revision", "ready", "wanted", "starting", "in flight", "waiting", "req/s"
        ));
        let rate = |name: &String| self.rates.rates.get(name).copied().unwrap_or(0);
        block.extend(statuses.iter().map(|status| {
            let name: String = status.name.chars().take(NAME_WIDTH_MAX).collect();
            let wanted = status.wanted();
            let (ready, starting) = (status.sum(|it| it.ready), status.sum(|it| it.starting));
            let row = format!(
                "{name:<width$}  {:>8}  {ready:>5}  {wanted:>6}  {starting:>8}  {:>9}  {:>7}  \
                 {:>6}  {}",
                number(status.revision.as_deref()),
                status.activator.in_flight,
                status.activator.waiting,
                rate(&status.name),
                remark(status),
            );
            match status.failure {
                Some(_) => self.terminal.surface().paint(VERMILION, row.trim_end()),
                None => row.trim_end().to_owned(),
            }
        }));
        block
    }

    /// Prints the summary; returns its lines, and it as JSON.
    pub(super) async fn farewell(
        mut self,
        view: &PlatformView,
        last_words: &[String],
    ) -> (Vec<String>, Value) {
        let held: Vec<Shown> = self.retries.values_mut().map(Retries::release).collect();
        for shown in held {
            self.show(shown);
        }
        self.terminal.end_block(BlockEnd::Erased);
        let up = self.started.elapsed();
        // The controller may have ended with the last instance.
        let statuses = view.statuses().await.unwrap_or_default();
        let (mut all, _) = totals(&statuses);
        let gone = view.forgotten();
        all.requests += gone.requests;
        all.cold_starts += gone.cold_starts;
        let (counts, outcomes) = ((all.requests, all.cold_starts), view.outcomes());
        let mut told = vec![summary::sentence(counts, &outcomes, up)];
        told.extend(last_words.iter().cloned());
        for line in &told {
            lines::line(&mut self.terminal, line);
        }
        self.terminal.close().await;
        let mut figures = summary::figures(counts, &outcomes, up);
        if let Value::Object(fields) = &mut figures {
            let of = |status: &ServiceStatus| {
                json!({
                    "service": status.name,
                    "revision": status.revision,
                    "failure": status.failure,
                    "requests": status.activator.requests,
                })
            };
            let services: Vec<Value> = statuses.iter().map(of).collect();
            fields.insert("services".to_owned(), services.into());
        }
        (told, figures)
    }
}

/// The service that a notice is about.
fn of_notice(notice: &Notice) -> Option<String> {
    notice.revision_name().and_then(service_of).map(str::to_owned)
}

/// The number of a revision, as it is counted from 1.
fn number(revision: Option<&str>) -> String {
    let number = revision.and_then(|revision| revision.rsplit_once('-'));
    number.map_or_else(|| "-".to_owned(), |(_, number)| number.trim_start_matches('0').to_owned())
}

/// What else is to be known of a service.
fn remark(status: &ServiceStatus) -> String {
    match (&status.next, &status.failure) {
        (Some((next, stage)), _) => {
            let next = number(Some(next));
            match stage {
                Stage::Starting(needed) => format!("{next} starts, {needed} to be ready"),
                stage => format!("{next} {stage}"),
            }
        }
        (None, Some(why)) => why.lines().next().unwrap_or_default().to_owned(),
        (None, None) => String::new(),
    }
}
