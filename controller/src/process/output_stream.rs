//! Where a line of an instance comes from.

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// The app's standard output.
    Stdout,
    /// The app's standard error.
    Stderr,
    /// What the queue-proxy logged.
    Sidecar,
}
