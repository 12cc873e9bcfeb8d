//! How a drain ended, in words and as an exit code: one rule for every role that drains.

use std::time::Duration;

use tidegate_activator::Drained;
use tidegate_words::counted;
use tidegate_words::time::compact;

use tidegate_flags::ending::EXIT_FAILED;

/// A sentence about what was cut off after `longest`, if anything was.
pub fn unfinished(drained: Drained, longest: Duration) -> Option<String> {
    let Drained::CutShort { connections, abandoned } = drained else { return None };
    let open = counted(connections as u64, "connection");
    let left = match abandoned {
        1 => "1 request whose client left".to_owned(),
        count => format!("{count} requests whose clients left"),
    };
    let (what, are) = match (connections, abandoned) {
        (1, 0) => (open, "is"),
        (_, 0) => (open, "are"),
        (0, 1) => (left, "is"),
        (0, _) => (left, "are"),
        _ => (format!("{open} and {left}"), "are"),
    };
    Some(format!("{what} {are} unfinished after {} and cut off", compact(longest)))
}

/// 1 if a client lost its response. A request whose client had left is nobody's loss.
pub fn exit_code(drained: Drained) -> u8 {
    match drained {
        Drained::Whole | Drained::CutShort { connections: 0, .. } => 0,
        Drained::CutShort { .. } => EXIT_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_named() {
        let said = |connections, abandoned| {
            let drained = Drained::CutShort { connections, abandoned };
            unfinished(drained, Duration::from_secs(2)).expect("something is")
        };
        assert_eq!(said(1, 0), "1 connection is unfinished after 2s and cut off");
        assert_eq!(said(0, 1), "1 request whose client left is unfinished after 2s and cut off");
        assert_eq!(
            said(3, 2),
            "3 connections and 2 requests whose clients left are unfinished after 2s and cut off"
        );
        assert_eq!(unfinished(Drained::Whole, Duration::ZERO), None);
    }
}
