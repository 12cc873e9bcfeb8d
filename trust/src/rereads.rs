//! When files that are looked at again and again are looked at next: when it is time, or at once
//! when the process is told to.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Wakes whoever waits for its next look. One for the process, as a signal is.
static NOW: Notify = Notify::const_new();

/// From now on SIGHUP has files looked at at once, and no longer ends the process. For programs
/// that are roles: a library leaves signals alone. Must be called within a tokio runtime.
///
/// # Errors
///
/// When the system does not let the signal be caught.
pub fn follow_hangups() -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("told to look at files again");
            NOW.notify_waiters();
        }
    });
    Ok(())
}

/// Waits until files are to be looked at again: for `every`, or until the process is told to. Must
/// be called within a tokio runtime. Cancel safe.
pub async fn due(every: Duration) {
    tokio::select! {
        () = tokio::time::sleep(every) => {}
        () = NOW.notified() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_is_due_in_time_or_when_it_is_told() {
        let began = tokio::time::Instant::now();
        due(Duration::from_secs(5)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        let told = tokio::spawn(due(Duration::from_secs(3_600)));
        tokio::task::yield_now().await;
        NOW.notify_waiters();
        told.await.expect("it was told");
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    }
}
