//! Asks for the revisions again and again, in a task of its own: whoever draws waits for nobody.

use std::time::Duration;

use tidegate_explain::{Query, QueryError};
use tidegate_proto::scale::v1 as wire;
use tidegate_sites::follow::unix_ms;
use tidegate_words::{shorten, with_causes};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How long the first answer is waited for.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// What was told last, and whether that is old.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    pub(super) told: wire::ListRevisionsResponse,
    /// When that was told, in Unix milliseconds; 0 before the first answer.
    pub(super) told_ms: i64,
    /// Since when there is no answer, and why.
    pub(super) cut: Option<(i64, String)>,
}

/// Keeps asking until it is dropped.
pub(super) struct Follower {
    states: watch::Receiver<State>,
    asking: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Follower {
    /// Asks over `query`, and connects `again` when that fails.
    pub(super) fn start<F>(
        query: Query,
        again: impl Fn() -> F + Send + Sync + 'static,
        interval: Duration,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<Query>> + Send,
    {
        let (sender, states) = watch::channel(State::default());
        let asking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut query = Some(query);
            loop {
                ticks.tick().await;
                let asked = async {
                    let mut asked = match query.take() {
                        Some(query) => query,
                        None => again().await?,
                    };
                    let told =
                        asked.list().await.map_err(|error: QueryError| anyhow::anyhow!(error))?;
                    anyhow::Ok((asked, told))
                };
                match asked.await {
                    Ok((asked, told)) => {
                        query = Some(asked);
                        sender.send_replace(State { told, told_ms: unix_ms(), cut: None });
                    }
                    Err(error) => {
                        let why = shorten(&with_causes(error.as_ref())).replace('\n', " ");
                        sender.send_modify(|state| {
                            let since = state.cut.as_ref().map_or_else(unix_ms, |(at, _)| *at);
                            state.cut = Some((since, why));
                        });
                    }
                }
            }
        });
        Self { states, asking }
    }

    /// What was told last; only the first time an answer is waited for, half a second at most.
    pub(super) async fn state(&mut self) -> State {
        if *self.states.borrow() == State::default() {
            // Without one there is nothing to show yet.
            let _ = tokio::time::timeout(FIRST_ANSWER_TIMEOUT, self.states.changed()).await;
        }
        self.states.borrow_and_update().clone()
    }
}
