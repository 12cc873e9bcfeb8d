//! What a person sees of what runs, and can do to it, while it drains.

use std::time::Duration;

use tidegate_controller::Notice;
use tidegate_controller::process::OutputLine;
use tidegate_shutdown_signals::{ShutdownSignal, ShutdownSignals};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, interval};

use super::lines;
use super::waiting::Waiting;

/// How often the terminal is drawn anew.
pub(crate) const REDRAW: Duration = Duration::from_millis(200);

/// A screen of something that runs.
pub(crate) trait LiveScreen {
    /// What it is drawn from.
    type View;

    /// Prints a line: above the block, or with the time where there is none.
    fn say(&mut self, line: &str);

    /// Tells of something that has happened.
    fn notice(&mut self, notice: &Notice);

    /// Shows lines of the instances' output. Await [`Self::room`] first.
    fn output(&mut self, lines: &mut Vec<OutputLine>);

    /// Resolves when there is room for further lines. Cancel safe.
    async fn room(&self);

    /// Draws what there is now; gives a sentence about what is waited for, if one is due so long
    /// after the signal to stop.
    async fn redraw_waiting(
        &mut self,
        view: &Self::View,
        waiting: &mut Waiting,
        elapsed: Duration,
    ) -> anyhow::Result<()>;
}

/// A drain, from its beginning on.
pub(crate) struct Draining<'a, S: LiveScreen> {
    view: S::View,
    notices: broadcast::Receiver<Notice>,
    began: Instant,
    waiting: Waiting,
    signals: &'a mut ShutdownSignals,
    screen: &'a mut S,
    output: &'a mut mpsc::Receiver<OutputLine>,
}

impl<'a, S: LiveScreen> Draining<'a, S> {
    /// Requests may take as long as `drain` from now on.
    pub(crate) fn new(
        (view, notices): (S::View, broadcast::Receiver<Notice>),
        drain: Duration,
        signals: &'a mut ShutdownSignals,
        screen: &'a mut S,
        output: &'a mut mpsc::Receiver<OutputLine>,
    ) -> Self {
        let (began, waiting) = (Instant::now(), Waiting::new(drain));
        Self { view, notices, began, waiting, signals, screen, output }
    }

    pub(crate) fn say(&mut self, sentence: &str) {
        self.screen.say(sentence);
    }

    /// Waits for `step` and shows what happens meanwhile; or the signal that came before it was
    /// done.
    pub(crate) async fn attend<T>(
        &mut self,
        step: impl Future<Output = T>,
    ) -> anyhow::Result<Result<T, ShutdownSignal>> {
        let Self { view, notices, began, waiting, signals, screen, output } = self;
        let mut step = std::pin::pin!(step);
        let mut lines = Vec::with_capacity(lines::BATCH);
        let mut redraw = interval(REDRAW);
        loop {
            tokio::select! {
                done = &mut step => {
                    // What it ended with has been sent, and is not to depend on who was first.
                    while let Ok(notice) = notices.try_recv() {
                        screen.notice(&notice);
                    }
                    return Ok(Ok(done));
                }
                signal = signals.next() => {
                    screen.say("stopping at once");
                    return Ok(Err(signal));
                }
                Ok(notice) = notices.recv() => screen.notice(&notice),
                () = lines::batch(screen.room(), output, &mut lines) => screen.output(&mut lines),
                _ = redraw.tick() => {
                    screen.redraw_waiting(view, waiting, began.elapsed()).await?;
                }
            }
        }
    }
}
