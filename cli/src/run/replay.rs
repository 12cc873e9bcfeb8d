//! The command that simulates a recording, ready to be pasted into a shell.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use tidegate_controller::Notice;
use tidegate_words::time::compact;

use super::args::{Args, Concurrency};

/// Start-ups of which the middle one is taken, the newest ones.
const START_UPS_MAX: usize = 1_000;

/// A limitation of recordings: a row begins where a queue-proxy receives the request.
const REMARK: &str = "a recording begins at the queue-proxies: time spent waiting for an instance \
                      is not in it, so the simulator counts cold starts of its own";

/// What the simulator needs to know besides the recording.
#[derive(Debug, Default)]
pub(super) struct Replay {
    start_ups_ms: VecDeque<u64>,
}

impl Replay {
    /// Notes how long an instance took to become ready.
    pub(super) fn notice(&mut self, notice: &Notice) {
        if let Notice::Ready { after_ms, .. } = notice {
            self.start_ups_ms.truncate(START_UPS_MAX - 1);
            self.start_ups_ms.push_front(*after_ms);
        }
    }

    /// For the recording in `path`, made with `args`.
    pub(super) fn words(&self, path: &Path, args: &Args) -> [String; 2] {
        let mut sorted: Vec<u64> = self.start_ups_ms.iter().copied().collect();
        sorted.sort_unstable();
        let start_up = sorted.get(sorted.len() / 2).map(|ms| Duration::from_millis(*ms));
        [command(path, args, start_up), REMARK.to_owned()]
    }
}

/// The command that replays `path` with what this run began with.
fn command(path: &Path, args: &Args, start_up: Option<Duration>) -> String {
    let idle = args.idle.unwrap_or(args.window / 2);
    let mut words: Vec<String> = ["tidegate", "sim", "run", "--trace"].map(str::to_owned).into();
    words.push(path.display().to_string());
    words.extend(["--policy", "tidegate", "--initial"].map(str::to_owned));
    words.extend([args.initial.to_string(), "--local".to_owned(), compact(idle)]);
    let mut set = |key: &str, value: &str| {
        words.extend(["--set".to_owned(), format!("{key}={value}")]);
    };
    set("stable-window", &compact(args.window));
    set("min-scale", &args.min.to_string());
    set("max-scale", &args.max.to_string());
    for (key, value) in &args.settings {
        set(key, value);
    }
    if let Some(start_up) = start_up {
        words.extend(["--cold-start".to_owned(), format!("const:{}", compact(start_up))]);
    }
    if let Some(Concurrency::Fixed(limit)) = args.concurrency {
        words.extend(["--concurrency".to_owned(), limit.to_string()]);
    }
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("replay with: {}", quoted.join(" "))
}

/// An argument as a shell reads it back: as it is, or in single quotes.
fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,%+@".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("a/b-c_1.csv"), "a/b-c_1.csv");
        assert_eq!(quoted("my trace.csv"), "'my trace.csv'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
    }
}
