//! When a reporter reports ahead of its turn: the rule of [`EarlyReports`] with a clock.

use std::time::Duration;

use tidegate_admission::{EarlyReports, Moment};
use tokio::time::{Instant, sleep_until};

/// The queue of waiting requests, as its reporter sees it.
pub trait WaitingQueue {
    /// Resolves when a queue has formed where there was none, also if that was before the call.
    /// Cancel safe.
    fn formed(&self) -> impl Future<Output = ()> + Send;

    /// Requests that wait now.
    fn waiting(&self) -> u32;
}

/// Watches one queue for growth that cannot wait for the end of a period.
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
    /// Resolves when `queue` is worth a report of its own, which is then expected. Cancel safe.
    pub async fn news(&mut self, queue: &impl WaitingQueue) {
        loop {
            match self.early.next_check() {
                Some(at) => tokio::select! {
                    biased;
                    () = sleep_until(self.began + at.since(Moment::ZERO)) => {}
                    () = queue.formed() => self.early.queue_formed(),
                },
                None => {
                    queue.formed().await;
                    self.early.queue_formed();
                }
            }
            if self.early.check(self.now(), queue.waiting()) {
                return;
            }
        }
    }

    /// The growth was reported, with `waiting` requests in the queue.
    pub fn reported_early(&mut self, waiting: u32) {
        let now = self.now();
        self.early.reported_early(now, waiting);
    }

    /// A report was made for another reason, with `waiting` requests in the queue.
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
    struct TestQueue {
        formed: Notify,
        waiting: AtomicU32,
    }

    impl TestQueue {
        fn grow(&self, to: u32) {
            if self.waiting.swap(to, Ordering::Relaxed) == 0 {
                self.formed.notify_one();
            }
        }
    }

    impl WaitingQueue for TestQueue {
        async fn formed(&self) {
            self.formed.notified().await;
        }

        fn waiting(&self) -> u32 {
            self.waiting.load(Ordering::Relaxed)
        }
    }

    /// How long until there is news, of the next minute.
    async fn after(watch: &mut QueueWatch, queue: &TestQueue) -> Option<Duration> {
        let from = Instant::now();
        let news = timeout(Duration::from_secs(60), watch.news(queue)).await;
        news.ok().map(|()| from.elapsed())
    }

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_reported_when_it_forms_and_again_when_it_has_doubled() {
        let (mut watch, queue) = (QueueWatch::default(), TestQueue::default());
        assert_eq!(after(&mut watch, &queue).await, None);
        queue.grow(3);
        assert_eq!(after(&mut watch, &queue).await, ms(0));
        watch.reported_early(3);
        queue.grow(5);
        assert_eq!(after(&mut watch, &queue).await, None, "5 is not twice 3");
        queue.grow(6);
        let doubled = after(&mut watch, &queue).await.expect("6 is");
        assert!(doubled <= tidegate_admission::early::LEAST_GAP, "{doubled:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn queues_that_form_all_the_time_are_reported_now_and_then() {
        let (mut watch, queue) = (QueueWatch::default(), TestQueue::default());
        queue.grow(1);
        assert_eq!(after(&mut watch, &queue).await, ms(0));
        watch.reported_early(1);
        queue.grow(0);
        queue.grow(1);
        assert_eq!(after(&mut watch, &queue).await, ms(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_formed_before_a_report_in_turn_is_still_reported() {
        let (mut watch, queue) = (QueueWatch::default(), TestQueue::default());
        queue.grow(1);
        watch.reported_in_turn(1);
        assert_eq!(after(&mut watch, &queue).await, ms(0));
    }
}
