//! `tidegate up`: the services of a file, which is followed when it changes.
//!
//! [`tidegate_local::platform`] runs the services; here are the flags, the file, the screen and the
//! shutdown.
//!
//! Modules in reading order: [`args`] are the flags, [`inherited`] is what a service manager gives
//! and is told, [`mod@screen`] shows what happens and how the services stand.

mod args;
mod inherited;
mod screen;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tidegate_controller::process::OutputLine;
use tidegate_local::Platform;
use tidegate_local::operate::{StopOrder, StopOrders, Stopped};
use tidegate_local::platform::{Again, FollowError, PlatformEvent};
use tidegate_page::Serving;
use tidegate_services::{Difference, Services};
use tidegate_shutdown_signals::{ShutdownSignal, ShutdownSignals};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

pub(crate) use self::args::Args;
use self::args::config;
use self::inherited::{Inherited, State, monotonic_us, notify};
use self::screen::Screen;
use crate::run::draining::{Draining, LiveScreen, REDRAW};
use crate::run::{DEFAULT_LISTEN, lines};
use crate::services_file::{ServicesFile, Unusable, ignored_in, in_file};
use crate::{log, page, run};
use tidegate_activator_program::drained;
use tidegate_flags::ending::mistyped;
use tidegate_flags::followed::LOOK_PERIOD;
use tidegate_words::with_causes;

/// How long requests in flight may take at the end, where the file does not say it.
const DRAIN: Duration = Duration::from_secs(30);

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(up(args));
    // Blocking reads, such as one from a terminal, must not delay the exit.
    runtime.shutdown_background();
    outcome
}

async fn up(args: Args) -> anyhow::Result<ExitCode> {
    // Signals first: one that comes while we start must not leave anything behind.
    let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
    let mut file = ServicesFile::new(args.file.clone());
    let contents = file.read().map_err(mistyped)?;
    let mut inherited = Inherited::take().context("a listener that was handed over")?;
    let (sender, output) = mpsc::channel(lines::DEPTH);
    let log = log::install_beside(&args.log, args.shown.surface());
    let called = format!("up {}", file.place().display());
    let told_on = args.shown.target();
    let estate = args.keep.estate(&called, told_on);
    let estate = tokio::select! {
        estate = estate => estate?,
        // Nothing has begun.
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let output_to = (!args.shown.quiet).then_some(sender);
    let config = config(&args, (&file, contents.services), estate, &mut inherited, output_to)?;
    let is_usual = args.listen.or(config.services.listen).is_none();
    let mut screen = Screen::new(&args, log);
    for ignored in &contents.ignored {
        screen.say(&ignored_in(file.path(), ignored));
    }
    let platform = Platform::start(config).await.map_err(|error| told(error, file.path()))?;
    for left in inherited.left() {
        screen.say(&format!("the listener on {left} was handed over, and nothing is for it"));
    }
    if is_usual && platform.address() != DEFAULT_LISTEN {
        let (wanted, used) = (DEFAULT_LISTEN.port(), platform.address().port());
        screen.say(&format!("{wanted} is taken, using {used}"));
    }
    introduce(&platform, &mut screen);
    let title = file.path().display().to_string();
    let page = page::of_run(args.shown.page, args.shown.surface(), platform.handle(), &title)?;
    if let Some((_, link)) = &page {
        screen.say(&format!("in a browser, by a link that is good once: {link}"));
    }
    let page = page.map(|(serving, _)| serving);
    let had_terminal = has_terminal();
    let orders = platform.roster().stop_orders();
    let mut attendant =
        Attendant { platform, file, signals, orders, screen, output, had_terminal, page };
    let order = attendant.follow().await?;
    let code = attendant.end().await?;
    let summary_json = attendant.farewell(order, code).await;
    if args.shown.json {
        println!("{summary_json}");
    }
    Ok(ExitCode::from(code))
}

/// Says where the services are.
fn introduce(platform: &Platform, screen: &mut Screen) {
    screen.set_address(platform.address());
    screen.say_where(platform.services());
    if let Some(address) = platform.tls_address() {
        screen.say(&format!("and over TLS on {address}"));
    }
    let controller = platform.controller();
    screen.say(&format!("explain with: tidegate explain --controller {controller}"));
    if let Some(error) = platform.unannounced() {
        screen.say(&format!("`tidegate explain` cannot ask these services: {error}"));
    }
    if let Some(error) = platform.unreachable() {
        screen.say(&format!("`tidegate ps` and the like cannot ask these services: {error}"));
    }
    notify(State::Ready);
}

/// What is wrong with a file is a matter of typing; what the machine refuses is not.
fn told(error: FollowError, path: &Path) -> anyhow::Error {
    match error {
        FollowError::File(errors) => mistyped(Unusable::Wrong(path.to_owned(), errors)),
        other => other.into(),
    }
}

/// Whether a person may be at a terminal of this process. One that was closed is none any more.
fn has_terminal() -> bool {
    std::io::stdin().is_terminal()
        || std::io::stdout().is_terminal()
        || std::io::stderr().is_terminal()
}

/// Who attends to the services until they have ended.
struct Attendant {
    platform: Platform,
    file: ServicesFile,
    signals: ShutdownSignals,
    orders: StopOrders,
    screen: Screen,
    output: mpsc::Receiver<OutputLine>,
    had_terminal: bool,
    page: Option<Serving>,
}

impl Attendant {
    /// Shows what happens, and follows the file, until the services are to end; returns the order
    /// that ended them, if it was one.
    async fn follow(&mut self) -> anyhow::Result<Option<StopOrder>> {
        let mut decisions = self.platform.handle().watch_decisions();
        let view = self.platform.view();
        let (mut redraw, mut looks) = (interval(REDRAW), interval(LOOK_PERIOD));
        let mut lines = Vec::with_capacity(lines::BATCH);
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let is_closed = self.had_terminal && !has_terminal();
                    if signal != ShutdownSignal::Hangup || is_closed {
                        return Ok(None);
                    }
                    self.read_again(Again::Failed).await?;
                }
                Some(order) = self.orders.recv() => if let Some(order) = self.obey(order).await? {
                    return Ok(Some(order));
                },
                event = self.platform.next() => {
                    while let Ok(decision) = decisions.try_recv() {
                        self.screen.decision(&decision);
                    }
                    // Output first: a line about an instance's end belongs below what it wrote.
                    self.show_output();
                    match event? {
                        PlatformEvent::Notice(notice) => self.screen.notice(&notice),
                        PlatformEvent::Told(what) => self.screen.say(&what),
                    }
                }
                decision = decisions.recv() => if let Ok(decision) = decision {
                    self.screen.decision(&decision);
                },
                () = lines::batch(self.screen.room(), &mut self.output, &mut lines) => {
                    self.screen.output(&mut lines);
                }
                _ = redraw.tick() => self.screen.redraw(&view).await?,
                _ = looks.tick() => if self.file.has_changed() {
                    self.read_again(Again::Changed).await?;
                },
            }
        }
    }

    /// Ends the service that an order names; returns an order that is about all of them.
    async fn obey(&mut self, order: StopOrder) -> anyhow::Result<Option<StopOrder>> {
        let several = self.platform.services().services.len() > 1;
        let Some(name) = order.service.clone().filter(|_| several) else {
            self.screen.say("`tidegate stop` ends all of it");
            return Ok(Some(order));
        };
        if self.platform.stop_service(&name).await? {
            let what = format!("{name} ends; it comes back when the file is read again");
            self.screen.say(&format!("`tidegate stop`: {what}"));
            let stopped = Stopped { summary: vec![what], ..Stopped::default() };
            // Whoever ordered it may have stopped waiting.
            let _ = order.done.send(stopped);
        }
        Ok(None)
    }

    /// Reads the file again and follows it. What cannot be followed changes nothing.
    async fn read_again(&mut self, again: Again) -> anyhow::Result<()> {
        notify(State::Reloading(monotonic_us()));
        let shown = self.file.path().display().to_string();
        match self.file.read() {
            Err(error) => self.refuse(&error.to_string()),
            Ok(contents) => {
                for ignored in &contents.ignored {
                    self.screen.say(&ignored_in(self.file.path(), ignored));
                }
                self.follow_services(contents.services, again, &shown).await?;
            }
        }
        notify(State::Ready);
        Ok(())
    }

    async fn follow_services(
        &mut self,
        services: Services,
        again: Again,
        shown: &str,
    ) -> anyhow::Result<()> {
        match self.platform.follow(services, again).await {
            Ok(difference) if difference.is_nothing() => {
                if again == Again::Failed {
                    self.screen.say(&format!("{shown} says what it said before"));
                }
            }
            Ok(difference) => {
                for line in in_words(&difference) {
                    self.screen.say(&format!("{shown}: {line}"));
                }
                self.screen.say_where_new(self.platform.services(), &difference);
            }
            Err(FollowError::File(errors)) => {
                let path = self.file.path();
                let lines: Vec<String> = errors.iter().map(|error| in_file(path, error)).collect();
                self.refuse(&lines.join("\n"));
            }
            Err(FollowError::Ended(ended)) => return Err(ended.into()),
            Err(other) => self.refuse(&with_causes(&other)),
        }
        Ok(())
    }

    fn refuse(&mut self, why: &str) {
        for line in why.lines() {
            self.screen.say(line);
        }
        self.screen.say("everything stays as it was");
    }

    /// Shows the lines that are there.
    fn show_output(&mut self) {
        self.screen.output(&mut lines::pending(&mut self.output));
    }

    /// Ends the services: they drain, and a second signal kills them.
    async fn end(&mut self) -> anyhow::Result<u8> {
        notify(State::Stopping);
        let drain = self.platform.services().drain.unwrap_or(DRAIN);
        self.screen.say("draining; press Ctrl-C again to stop at once");
        let by = Instant::now() + drain;
        let view = self.platform.view();
        let notices = view.controller().watch_notices();
        let Self { platform, signals, screen, output, .. } = self;
        let mut draining = Draining::new((view, notices), drain, signals, screen, output);
        let drained = match draining.attend(platform.finish_requests(by)).await? {
            Ok(drained) => drained,
            Err(signal) => return Self::stop_at_once(platform, signal).await,
        };
        if let Some(sentence) = drained::unfinished(drained, drain) {
            draining.say(&sentence);
        }
        match draining.attend(platform.stop_instances(by)).await? {
            Ok(stopped) => stopped?,
            Err(signal) => return Self::stop_at_once(platform, signal).await,
        }
        Ok(drained::exit_code(drained))
    }

    async fn stop_at_once(platform: &mut Platform, signal: ShutdownSignal) -> anyhow::Result<u8> {
        platform.kill().await?;
        Ok(signal.code())
    }

    /// Ends what is left, and sums up, also for who ordered the end. Returns the summary as JSON.
    async fn farewell(mut self, order: Option<StopOrder>, exit_code: u8) -> String {
        let view = self.platform.view();
        let socket = self.platform.take_socket();
        drop(self.page.take());
        let swept = self.platform.finish().await;
        self.screen.output(&mut lines::pending(&mut self.output));
        let mut last_words = Vec::new();
        if swept > 0 {
            last_words.push(format!("{} had to be swept away", run::counted_processes(swept)));
        }
        let (summary, figures) = self.screen.farewell(&view, &last_words).await;
        let summary_json = figures.to_string();
        for order in order.into_iter().chain(std::iter::from_fn(|| self.orders.try_recv().ok())) {
            let (summary, summary_json) = (summary.clone(), summary_json.clone());
            // Whoever ordered it may have stopped waiting.
            let _ = order.done.send(Stopped { summary, summary_json, exit_code });
        }
        if let Some(socket) = socket {
            socket.close().await;
        }
        summary_json
    }
}

/// What has changed, a line for each service.
fn in_words(difference: &Difference) -> Vec<String> {
    let Difference { added, removed, changed, common } = difference;
    let mut lines: Vec<String> = added.iter().map(|name| format!("{name} is new")).collect();
    lines.extend(removed.iter().map(|name| format!("{name} is gone and ends")));
    lines.extend(changed.iter().map(|(name, parts)| {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        format!("{name}: {}", parts.join(", "))
    }));
    lines.extend(common.iter().map(ToString::to_string));
    lines
}
