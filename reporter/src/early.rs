//! When a reporter speaks out of turn: the rule of [`EarlyReports`] with a clock.

use std::time::Duration;

use tidegate_admission::{EarlyReports, Moment};
use tokio::time::{Instant, sleep_until};

/// Requests in line, as whoever reports them sees them.
pub trait WaitingQueue {
    /// Resolves when a line has formed where there was none, also if that was before the call.
    /// Cancel safe.
    fn formed(&self) -> impl Future<Output = ()> + Send;

    /// How many wait now.
    fn waiting(&self) -> u32;
}

/// Watches one line for news that cannot wait for the end of a period.
#[derive(Debug)]
pub struct QueueWatch {
    early: EarlyReports,
    began: Instant,
}

impl Default for QueueWatch {
    fn default() -> Self {
        Self { early: EarlyReports::new(Moment::ZERO), began: Instant::now() }
    }
}

impl QueueWatch {
    /// Resolves when `line` is worth a report of its own, which is then expected. Cancel safe.
    pub async fn news(&mut self, line: &impl WaitingQueue) {
        loop {
            match self.early.next_look() {
                Some(at) => tokio::select! {
                    biased;
                    () = sleep_until(self.began + at.since(Moment::ZERO)) => {}
                    () = line.formed() => self.early.queue_formed(),
                },
                None => {
                    line.formed().await;
                    self.early.queue_formed();
                }
            }
            if self.early.look(self.now(), line.waiting()) {
                return;
            }
        }
    }

    /// The news was reported, with so many in line.
    pub fn reported_early(&mut self, waiting: u32) {
        let now = self.now();
        self.early.reported_early(now, waiting);
    }

    /// A report was made for another reason, with so many in line.
    pub fn reported_in_turn(&mut self, waiting: u32) {
        let now = self.now();
        self.early.reported_in_turn(now, waiting);
    }

    fn now(&self) -> Moment {
        let since: Duration = self.began.elapsed();
        Moment::from(since)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[derive(Default)]
    struct TestLine {
        formed: Notify,
        waiting: AtomicU32,
    }

    impl TestLine {
        fn grow(&self, to: u32) {
            if self.waiting.swap(to, Ordering::Relaxed) == 0 {
                self.formed.notify_one();
            }
        }
    }

    impl WaitingQueue for TestLine {
        async fn formed(&self) {
            self.formed.notified().await;
        }

        fn waiting(&self) -> u32 {
            self.waiting.load(Ordering::Relaxed)
        }
    }

    /// How long until there is news, of the next minute.
    async fn after(watch: &mut QueueWatch, line: &TestLine) -> Option<Duration> {
        let from = Instant::now();
        let news = timeout(Duration::from_secs(60), watch.news(line)).await;
        news.ok().map(|()| from.elapsed())
    }

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_told_of_when_it_forms_and_again_when_it_has_doubled() {
        let (mut watch, line) = (QueueWatch::default(), TestLine::default());
        assert_eq!(after(&mut watch, &line).await, None);
        line.grow(3);
        assert_eq!(after(&mut watch, &line).await, ms(0));
        watch.reported_early(3);
        line.grow(5);
        assert_eq!(after(&mut watch, &line).await, None, "5 is not twice 3");
        line.grow(6);
        let doubled = after(&mut watch, &line).await.expect("6 is");
        assert!(doubled <= tidegate_admission::early::LEAST_GAP, "{doubled:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_form_all_the_time_are_told_of_now_and_then() {
        let (mut watch, line) = (QueueWatch::default(), TestLine::default());
        line.grow(1);
        assert_eq!(after(&mut watch, &line).await, ms(0));
        watch.reported_early(1);
        line.grow(0);
        line.grow(1);
        assert_eq!(after(&mut watch, &line).await, ms(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_formed_before_a_report_in_turn_is_still_news() {
        let (mut watch, line) = (QueueWatch::default(), TestLine::default());
        line.grow(1);
        watch.reported_in_turn(1);
        assert_eq!(after(&mut watch, &line).await, ms(0));
    }
}
