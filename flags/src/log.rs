//! What is logged on standard error: text on a terminal, JSON elsewhere.

use tidegate_knative::environment;
use tidegate_logging::{Filter, Output, Shape};
use tokio::sync::mpsc;

/// Default filter of a role that runs by itself: what its operator should know.
pub const ROLE_DEFAULT: &str = "warn,tidegate=info";

/// What is to be logged.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogArgs {
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
    /// Installs the log on standard error; `default` is what is logged unless something was asked
    /// for.
    pub fn install(&self, default: &str) {
        tidegate_logging::install(self.filter(default), Shape::for_stderr(), Output::stderr());
    }

    /// Installs the log so that its lines come out of `lines`, as text: for a program that shows
    /// something on the terminal which a line of another would break.
    pub fn install_into(&self, lines: mpsc::Sender<String>, default: &str) {
        tidegate_logging::install(self.filter(default), Shape::Text, Output::channel(lines));
    }

    /// What was asked for, for a role that installs the log by itself.
    #[must_use]
    pub fn into_filter(self) -> Option<Filter> {
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
    fn the_default_is_a_filter() {
        assert!(ROLE_DEFAULT.parse::<Filter>().is_ok());
    }
}
