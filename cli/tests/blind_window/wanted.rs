//! What a controller decides, followed through all its lives.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate_explain::query::Query;
use tidegate_trust::Credentials;

/// Time between two attempts to reach a controller that is not there.
const PAUSE: Duration = Duration::from_millis(20);

/// One decision.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) unix_ms: i64,
    pub(crate) instances: i32,
    pub(crate) reason: String,
}

/// Follows the decisions in a thread of its own, until it is dropped.
pub(crate) struct Follower {
    /// By the time of each, so that the last one, which comes first again, counts once.
    seen: Arc<Mutex<BTreeMap<i64, Wanted>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(crate) fn start(controller: String) -> Self {
        let (seen, over) = (Arc::<Mutex<BTreeMap<i64, Wanted>>>::default(), Arc::default());
        let (into, until) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = thread::spawn(move || follow(&controller, &into, &until));
        Self { seen, over, thread: Some(thread) }
    }

    pub(crate) fn all(&self) -> Vec<Wanted> {
        self.seen.lock().unwrap().values().cloned().collect()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(controller: &str, into: &Mutex<BTreeMap<i64, Wanted>>, over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        while !over.load(Ordering::Relaxed) {
            if let Ok(mut query) = Query::connect(controller, &Credentials::default()).await
                && let Ok(mut decisions) = query.watch(None).await
            {
                while !over.load(Ordering::Relaxed) {
                    // One that is stopped says nothing, and its connection stays.
                    match tokio::time::timeout(PAUSE * 10, decisions.next()).await {
                        Ok(Ok(Some(decision))) => {
                            let (unix_ms, instances) = (decision.unix_ms, decision.desired);
                            let wanted = Wanted { unix_ms, instances, reason: decision.reason };
                            into.lock().unwrap().insert(unix_ms, wanted);
                        }
                        Ok(_) => break,
                        Err(_) => {}
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}
