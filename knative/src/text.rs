//! Error texts for clients: Knative's, because clients and their tests match them.

/// The queue of requests is full (503).
pub const QUEUE_IS_FULL: &str = "pending request queue full";
/// A time limit of the revision ran out in the sidecar (504).
pub const REQUEST_TIMEOUT: &str = "request timeout";
/// A time limit ran out while the activator held the request (504).
pub const ACTIVATOR_TIMEOUT: &str = "activator request timeout";
/// The component is shutting down, and so not ready (503).
pub const SHUTTING_DOWN: &str = "shutting down";
