//! Lines as they scroll by: what happens, and what apps write.

use std::time::SystemTime;

use tidegate_controller::process::{OutputLine, OutputStream, Written};
use tokio::sync::mpsc;

use crate::terminal::{Terminal, counted, name_colour};

/// Lines of app output that may wait to be printed; more are left out and counted.
pub(crate) const DEPTH: usize = 4_096;

/// Lines that are printed at once.
pub(crate) const BATCH: usize = 512;

/// Waits for lines once there is room for them. Cancel safe.
pub(crate) async fn batch(
    room: impl Future<Output = ()>,
    output: &mut mpsc::Receiver<OutputLine>,
    lines: &mut Vec<OutputLine>,
) {
    room.await;
    if output.recv_many(lines, BATCH).await == 0 {
        // The instances have closed their output, or it is not shown.
        std::future::pending::<()>().await;
    }
}

/// The lines that are there.
pub(crate) fn pending(output: &mut mpsc::Receiver<OutputLine>) -> Vec<OutputLine> {
    let mut lines = Vec::new();
    while let Ok(line) = output.try_recv() {
        lines.push(line);
        if lines.len() == DEPTH {
            break;
        }
    }
    lines
}

/// Prints a line: above the block, or with the time where there is none.
pub(crate) fn line(terminal: &mut Terminal, line: &str) {
    let surface = terminal.surface();
    let line = surface.tame(line);
    if surface.is_terminal() {
        terminal.say(&line);
    } else {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        terminal.say(&format!("{now} {line}"));
    }
}

/// Prints what an instance wrote, behind its name.
pub(crate) fn written(terminal: &mut Terminal, output: &OutputLine) {
    let OutputLine { instance, stream, written } = output;
    let source = match stream {
        OutputStream::Sidecar => " queue-proxy",
        OutputStream::Stdout | OutputStream::Stderr => "",
    };
    let colour = name_colour(instance.as_str());
    let name = terminal.surface().paint(colour, &format!("{instance}{source} |"));
    match written {
        Written::Line(text) => line(terminal, &format!("{name} {text}")),
        Written::LeftOut(count) => {
            line(terminal, &format!("{name} … {} left out", counted(*count, "line")));
        }
    }
}
