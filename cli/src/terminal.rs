//! Terminal output: lines that scroll by and, on a terminal, one block below them that is redrawn
//! in place.
//!
//! Writes go through a thread of their own: a reader that stops reading, such as a pager, must
//! delay neither the service nor Ctrl-C.

mod layout;
mod untrusted;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use self::layout::columns;
pub(crate) use self::layout::{REASON_LINES, cut, flow, scaled, wrap};
use crate::chart::Ink;
pub(crate) use tidegate_words::counted;

/// Okabe-Ito as terminals have it: blue for demand, green for instances, vermilion for trouble.
pub(crate) const BLUE: &str = "38;5;25";
pub(crate) const GREEN: &str = "38;5;36";
pub(crate) const VERMILION: &str = "38;5;166";

/// Colours of instances' names: dark and light enough for either background.
const NAME_COLOURS: [&str; 6] = ["36", "35", "34", "33", "32", "38;5;172"];

/// Most output that waits to be written; lines beyond it are dropped and counted.
const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// Pieces on their way to the thread that writes.
const DEPTH: usize = 2;

/// Longest wait for the last output to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The narrowest terminal that is drawn for.
const WIDTH_MIN: usize = 20;

/// The kind of output, which decides the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// A terminal that can move the cursor.
    Terminal(Colour),
    /// A file, a pipe, a log.
    Lines,
    /// Nowhere: only the summary is wanted.
    Silent,
}

/// Whether colour may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As the terminal likes.
    On,
    /// `NO_COLOR` is set.
    Off,
}

/// Which of our streams is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    Stderr,
}

impl Surface {
    /// What standard output is.
    pub(crate) fn of_stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !std::io::stdout().is_terminal() || dumb {
            return Self::Lines;
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Terminal(if no_color { Colour::Off } else { Colour::On })
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The text in a colour, where there are any.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Terminal(Colour::On) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// The colour of an instance's name, the same wherever it is shown.
pub(crate) fn name_colour(name: &str) -> &'static str {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    NAME_COLOURS[(hasher.finish() % NAME_COLOURS.len() as u64) as usize]
}

/// The characters that the locale can show.
pub(crate) fn ink() -> Ink {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Ink::Blocks } else { Ink::Ascii }
}

/// Columns of the terminal on standard output.
pub(crate) fn width() -> usize {
    size().0
}

/// Columns and rows. Some terminals do not know theirs and say zero.
pub(crate) fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let known = |cells: u16| Some(usize::from(cells)).filter(|cells| *cells > 0);
    let columns = size.and_then(|size| known(size.ws_col)).unwrap_or(80).max(WIDTH_MIN);
    (columns, size.and_then(|size| known(size.ws_row)).unwrap_or(24))
}

/// Lines, and a block below them.
#[derive(Debug)]
pub(crate) struct Terminal {
    surface: Surface,
    /// Output not yet handed to the thread.
    backlog: String,
    left_out: u64,
    pieces: mpsc::Sender<String>,
    writing: Option<JoinHandle<()>>,
    /// The log of the process, where it would break the block.
    log: Option<mpsc::Receiver<String>>,
    block: Vec<String>,
    /// Columns of each line of the block that stands on the terminal now.
    drawn: Vec<usize>,
}

impl Terminal {
    pub(crate) fn new(surface: Surface, target: Target) -> Self {
        let (pieces, mut received) = mpsc::channel::<String>(DEPTH);
        let writing = std::thread::spawn(move || {
            while let Some(piece) = received.blocking_recv() {
                // A reader that closed the output must not end the service.
                let _ = match target {
                    Target::Stdout => write(std::io::stdout().lock(), &piece),
                    Target::Stderr => write(std::io::stderr().lock(), &piece),
                };
            }
        });
        Self {
            surface,
            backlog: String::new(),
            left_out: 0,
            pieces,
            writing: Some(writing),
            log: None,
            block: Vec::new(),
            drawn: Vec::new(),
        }
    }

    /// Shows the log as well, above the block.
    pub(crate) fn with_log(self, log: Option<mpsc::Receiver<String>>) -> Self {
        Self { log, ..self }
    }

    /// Shows log lines that have arrived since.
    fn say_log(&mut self) {
        while let Some(line) = self.log.as_mut().and_then(|log| log.try_recv().ok()) {
            let line = self.surface.tame(&line);
            self.say(&line);
        }
    }

    pub(crate) fn surface(&self) -> Surface {
        self.surface
    }

    /// Resolves when there is room for further output. Cancel safe.
    pub(crate) async fn room(&self) {
        // An error means that the thread has ended, which it does only after this value.
        let _ = self.pieces.reserve().await;
    }

    /// Shows a line, above the block. Call [`Self::flush`] after the last of several.
    pub(crate) fn say(&mut self, line: &str) {
        if self.surface == Surface::Silent {
            return;
        }
        if self.backlog.len() > BACKLOG_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.erase();
        if let count @ 1.. = std::mem::take(&mut self.left_out) {
            self.backlog.push_str(&format!("… {} left out\n", counted(count, "line")));
        }
        self.backlog.push_str(line);
        self.backlog.push('\n');
    }

    /// Replaces the block.
    pub(crate) fn show(&mut self, block: Vec<String>) {
        self.block = block;
        self.say_log();
        self.erase();
        self.flush();
    }

    /// Erases the block, or leaves it in place.
    pub(crate) fn end_block(&mut self, end: BlockEnd) {
        if end == BlockEnd::Erased {
            self.erase();
        }
        self.drawn.clear();
        self.block.clear();
    }

    /// Draws the block if it is not there, and hands all output to the thread.
    pub(crate) fn flush(&mut self) {
        if self.drawn.is_empty() && self.backlog.len() <= BACKLOG_BYTES_MAX {
            self.draw();
        }
        if !self.backlog.is_empty()
            && let Ok(permit) = self.pieces.try_reserve()
        {
            permit.send(std::mem::take(&mut self.backlog));
        }
    }

    /// Writes what is left, unless the reader has stopped reading.
    pub(crate) async fn close(mut self) {
        self.say_log();
        let last = std::mem::take(&mut self.backlog);
        let Self { pieces, writing, .. } = self;
        let closing = async {
            let _ = pieces.send(last).await;
            drop(pieces);
            if let Some(writing) = writing {
                let _ = tokio::task::spawn_blocking(move || writing.join()).await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }

    /// Moves to where the block begins, and clears from there on.
    fn erase(&mut self) {
        if self.drawn.is_empty() {
            return;
        }
        // A terminal that has become narrower has wrapped what stood there.
        let width = width();
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
        self.drawn.clear();
        // Keys typed meanwhile, such as ^C, have moved the cursor.
        self.backlog.push_str(&format!("\r\x1b[{rows}A\x1b[J"));
    }

    fn draw(&mut self) {
        if !self.surface.is_terminal() {
            return;
        }
        let (width, height) = size();
        // More than the terminal has rows would scroll away before it is erased. The first row
        // stays free: tmux keeps a screen that is erased from its first row on in its history.
        for line in self.block.iter().take(height.saturating_sub(2)) {
            let line = cut(line, width);
            self.drawn.push(columns(&line));
            self.backlog.push_str(&line);
            self.backlog.push('\n');
        }
    }
}

/// What happens to the block that is on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockEnd {
    Erased,
    Left,
}

fn write(mut out: impl Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_is_erased_before_it_is_drawn_again() {
        let (pieces, mut received) = mpsc::channel(DEPTH);
        let surface = Surface::Terminal(Colour::Off);
        let mut terminal = Terminal { pieces, ..Terminal::new(surface, Target::Stderr) };
        terminal.show(vec!["x".repeat(15), "y".into()]);
        assert!(received.recv().await.expect("drawn").ends_with("y\n"));
        // As if it had become so narrow that the first line took two rows.
        terminal.drawn[0] = width() + 1;
        terminal.say("a line");
        terminal.flush();
        let piece = received.recv().await.expect("drawn");
        assert!(piece.starts_with("\r\x1b[3A\x1b[Ja line\nxxx"), "{piece:?}");
    }
}
