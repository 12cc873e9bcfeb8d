//! The log of what runs here: text on a terminal, JSON elsewhere, on standard error, by the one
//! set-up of all roles. The sidecar's lines have Knative's shape.

use std::io::IsTerminal;

use tidegate_knative::environment;
use tidegate_queue_proxy::logging::{self, Filter, Output, Shape};
use tokio::sync::mpsc;

use crate::terminal::Surface;

/// Default level of a role that runs by itself: what its operator should know.
pub(crate) const ROLE_DEFAULT: &str = "warn,tidegate=info";
/// Default level where a screen shows events already: trouble only.
pub(crate) const SCREEN_DEFAULT: &str = "warn";

/// Lines that may wait for a screen; more are counted and left out.
const SCREEN_DEPTH: usize = 256;

/// What is to be logged.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log on standard error: off, error, warn, info, debug or trace, for all or by part,
    /// such as `warn,tidegate_activator=debug`.
    #[arg(
        long = "log",
        value_name = "FILTER",
        env = environment::TIDEGATE_LOG,
        hide_short_help = true
    )]
    filter: Option<Filter>,
}

impl LogArgs {
    /// Installs the log on standard error.
    pub(crate) fn install(&self, default: &str) {
        logging::install(self.filter(default), Shape::for_stderr(), Output::stderr());
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
        logging::install(self.filter(default), Shape::Text, Output::channel(lines));
        Some(receiver)
    }

    /// What was asked for, for a role that installs the log by itself.
    pub(crate) fn into_filter(self) -> Option<Filter> {
        self.filter
    }

    fn filter(&self, default: &str) -> Filter {
        self.filter.clone().or_else(|| default.parse().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_filters() {
        for default in [ROLE_DEFAULT, SCREEN_DEFAULT] {
            assert!(default.parse::<Filter>().is_ok(), "{default}");
        }
    }
}
