//! Whose turn it is in the queues of a revision, as its owner says it: parts that carry it from a
//! file or an object to an activator read and write these.

use std::num::NonZeroU16;

/// In which order requests of a revision leave the queue of each activator. What is not said is as
/// the activator is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueRules {
    /// Who leaves first.
    pub order: Option<QueueOrder>,
    /// The classes of requests, the last of which has those that name none; empty where nothing is
    /// said of them. An activator follows [`CLASSES_MAX`](crate::attributes::CLASSES_MAX) at most.
    pub classes: Vec<QueueClass>,
    /// The header that names a request's class, if it is not `X-Request-Class`.
    pub class_header: Option<String>,
}

/// Who leaves a queue first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum QueueOrder {
    /// Who came first.
    Arrival,
    /// Whose response is due first.
    Deadline,
    /// Users take turns, who are told apart by this: `header:NAME`, `cookie:NAME`, `path` or
    /// `client-address`.
    FairBy(String),
}

/// A class of requests. While several have some that wait, instances are given to them by their
/// weights.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueClass {
    /// What its requests call it.
    pub name: String,
    /// How many instances it gets for each one of a class of weight 1.
    pub weight: NonZeroU16,
}
