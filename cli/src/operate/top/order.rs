//! What rows are ordered by.

/// What a row is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// The name, from A to Z.
    #[default]
    Name,
    /// Requests at instances, most first.
    InFlight,
    /// Requests that wait, most first.
    Queued,
    /// Requests a second, most first.
    Rate,
    /// Instances, most first.
    Instances,
}
