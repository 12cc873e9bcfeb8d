//! How what is followed learns that the socket closes.

use tokio::sync::watch;

/// Resolves when the socket closes.
pub(super) async fn closed(mut closing: watch::Receiver<()>) {
    // Nothing is ever sent: the sender is dropped.
    let _ = closing.changed().await;
}
