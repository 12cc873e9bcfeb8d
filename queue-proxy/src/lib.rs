//! The sidecar: enforces container concurrency and reports request statistics.
