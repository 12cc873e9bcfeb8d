//! The log of what runs here, beside a screen: where both are on a terminal, its lines are printed
//! by the screen.

use std::io::IsTerminal;

use tidegate_flags::LogArgs;
use tokio::sync::mpsc;

use crate::terminal::Surface;

/// Default filter where a screen shows events already: trouble only.
pub(crate) const SCREEN_DEFAULT: &str = "warn";

/// Lines that may wait for a screen; more are counted and left out.
const SCREEN_DEPTH: usize = 256;

/// Logs beside what `surface` shows. Where both are terminals a line would break the block, so
/// lines come out of the returned end, for the screen to print.
pub(crate) fn install_beside(args: &LogArgs, surface: Surface) -> Option<mpsc::Receiver<String>> {
    if !surface.is_terminal() || !std::io::stderr().is_terminal() {
        args.install(SCREEN_DEFAULT);
        return None;
    }
    let (lines, receiver) = mpsc::channel(SCREEN_DEPTH);
    args.install_into(lines, SCREEN_DEFAULT);
    Some(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_filter() {
        assert!(SCREEN_DEFAULT.parse::<tidegate_logging::Filter>().is_ok());
    }
}
