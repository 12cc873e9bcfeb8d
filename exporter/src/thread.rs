//! The exporter on a thread of its own, so that nothing it does can delay a request.

use std::io;
use std::time::Duration;

use tidegate_telemetry::Family;
use tokio::sync::oneshot;

use crate::exporter::{Exporter, FLUSH_TIMEOUT};

/// How much longer than its own bound an exporter is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// An exporter that runs. Dropping it has it end without waiting for that.
#[derive(Debug)]
pub struct Running {
    end: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// Runs an exporter of what `gather` finds.
///
/// # Errors
///
/// When the system gives no thread.
pub fn spawn<F: Future<Output = Vec<Family>>>(
    exporter: Exporter,
    gather: impl Fn() -> F + Send + 'static,
) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (end, told) = oneshot::channel::<()>();
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("metrics-push".to_owned()).spawn(move || {
        let end = async {
            // Told, or whoever could tell has gone.
            let _ = told.await;
        };
        runtime.block_on(exporter.run(gather, end));
        // A lookup that hangs holds nobody up.
        runtime.shutdown_background();
        let _ = done.send(());
    })?;
    Ok(Running { end, ended })
}

impl Running {
    /// Has what is left sent, within [`FLUSH_TIMEOUT`] and a second.
    pub async fn finish(self) {
        let _ = self.end.send(());
        let _ = tokio::time::timeout(FLUSH_TIMEOUT + GRACE, self.ended).await;
    }
}
