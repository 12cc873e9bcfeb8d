//! The log of every role but the sidecar's, which has Knative's shape: text on a terminal, JSON
//! elsewhere, on standard error.
//!
//! Lines are made by the sidecar's own rules: bounded, without the secrets of a URL that they
//! quote, and thinned out in a flood.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_queue_proxy::logging::{Fields, Sampler, Style, push_json, severity};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, span};

use crate::terminal::Surface;

/// Default level of a role that runs by itself: what its operator should know.
pub(crate) const ROLE_DEFAULT: &str = "warn,tidegate=info";
/// Default level where a screen shows events already: trouble only.
pub(crate) const SCREEN_DEFAULT: &str = "warn";

/// Lines that may wait for a screen; more are counted and left out.
const SCREEN_DEPTH: usize = 256;
/// Directives of one filter.
const DIRECTIVES_MAX: usize = 64;

/// What is to be logged.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log on standard error: off, error, warn, info, debug or trace, for all or by part,
    /// such as `warn,tidegate_activator=debug`.
    #[arg(long = "log", value_name = "FILTER", env = "TIDEGATE_LOG", hide_short_help = true)]
    filter: Option<Filter>,
}

impl LogArgs {
    /// Installs the log on standard error.
    pub(crate) fn install(&self, default: &str) {
        install(self.filter(default), Way::Stderr);
    }

    /// Logs beside what `surface` shows. Where both are terminals a line would break the block, so
    /// lines come out of the returned end, for the screen to print.
    pub(crate) fn install_beside(
        &self,
        surface: Surface,
        default: &str,
    ) -> Option<mpsc::Receiver<String>> {
        if !surface.is_terminal() || !std::io::stderr().is_terminal() {
            self.install(default);
            return None;
        }
        let (lines, receiver) = mpsc::channel(SCREEN_DEPTH);
        install(self.filter(default), Way::Screen { lines, left_out: Mutex::default() });
        Some(receiver)
    }

    fn filter(&self, default: &str) -> Filter {
        self.filter.clone().or_else(|| default.parse().ok()).unwrap_or_default()
    }
}

/// Levels by target; the longest target that a line's begins with decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter(Vec<(String, LevelFilter)>);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let directives = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let mut levels = Vec::new();
        for directive in directives {
            let (target, level) = directive.split_once('=').unwrap_or(("", directive));
            let level = level_named(level.trim()).ok_or_else(|| {
                format!(
                    "{:?} is no level, expected off, error, warn, info, debug or trace, or \
                     TARGET=LEVEL",
                    tidegate_words::excerpt(level)
                )
            })?;
            levels.push((target.trim().to_owned(), level));
        }
        if levels.len() > DIRECTIVES_MAX {
            return Err(format!("expected {DIRECTIVES_MAX} directives or fewer"));
        }
        // Longest first, and of equals the last that was typed.
        levels.reverse();
        levels.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(Self(levels))
    }
}

fn level_named(name: &str) -> Option<LevelFilter> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphabetic());
    name.parse().ok().filter(|_| is_word && !name.is_empty())
}

impl Filter {
    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let level = self.0.iter().find(|(prefix, _)| target.starts_with(prefix));
        level.is_some_and(|(_, level)| *metadata.level() <= *level)
    }

    fn highest(&self) -> LevelFilter {
        self.0.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::OFF)
    }
}

/// Where lines go.
enum Way {
    Stderr,
    Screen { lines: mpsc::Sender<String>, left_out: Mutex<u64> },
}

fn install(filter: Filter, way: Way) {
    let style = if std::io::stderr().is_terminal() { Style::Text } else { Style::Json };
    let log = Log { filter, style, way, sampler: Sampler::default() };
    // A process has one log; a second is not installed, and the first goes on.
    let _ = tracing::subscriber::set_global_default(log);
}

struct Log {
    filter: Filter,
    style: Style,
    way: Way,
    sampler: Sampler,
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.filter.admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.highest())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.sampler.admits(since_epoch.as_secs()) {
            self.way.send(line(event, self.style, since_epoch));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Way {
    fn send(&self, mut line: String) {
        match self {
            Way::Stderr => {
                line.push('\n');
                // A closed log must not end the process that logs.
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            }
            Way::Screen { lines, left_out } => {
                let mut left_out = left_out.lock().unwrap_or_else(|error| error.into_inner());
                if *left_out > 0 {
                    let _ = write!(line, " ({} log lines before it were left out)", *left_out);
                }
                match lines.try_send(line) {
                    Ok(()) => *left_out = 0,
                    Err(_) => *left_out += 1,
                }
            }
        }
    }
}

fn line(event: &Event<'_>, style: Style, since_epoch: Duration) -> String {
    let metadata = event.metadata();
    let mut fields = Fields::new(style);
    event.record(&mut fields);
    let (message, others) = fields.parts();
    let (level, target) = (severity(*metadata.level()), metadata.target());
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch);
    if style == Style::Text {
        // What an error quotes must not move the cursor or look like a line of its own.
        let message = message.replace(char::is_control, " ");
        return format!("{time} {level:<7} {target}: {message}{others}");
    }
    let mut line = format!(
        "{{\"severity\":\"{level}\",\"timestamp\":\"{time}\",\"logger\":\"{target}\",\"message\":"
    );
    push_json(&mut line, message);
    line.push_str(others);
    line.push('}');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_by_target() {
        let filter: Filter = "warn, tidegate_activator=debug ,tidegate=info".parse().unwrap();
        let targets: Vec<_> = filter.0.iter().map(|(target, _)| target.as_str()).collect();
        assert_eq!(targets, ["tidegate_activator", "tidegate", ""]);
        assert_eq!(filter.highest(), LevelFilter::DEBUG);
        for good in ["", "off", "INFO", "hyper=trace", ROLE_DEFAULT, SCREEN_DEFAULT] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["wran", "tidegate=", "tidegate", "=", "warn;info", "7", "a=b=c"] {
            let error = bad.parse::<Filter>().unwrap_err();
            assert!(error.contains("expected off"), "{error}");
        }
        assert!("warn,".repeat(65).parse::<Filter>().is_err());
    }

    #[test]
    fn what_a_screen_has_no_room_for_is_counted() {
        let (lines, mut receiver) = mpsc::channel(1);
        let way = Way::Screen { lines, left_out: Mutex::default() };
        for line in ["one", "two", "three"] {
            way.send(line.to_owned());
        }
        assert_eq!(receiver.try_recv().unwrap(), "one");
        way.send("four".to_owned());
        let next = receiver.try_recv().unwrap();
        assert_eq!(next, "four (2 log lines before it were left out)");
    }
}
