//! In which order requests of a revision leave the queues of activators.

use std::num::NonZeroU16;

use tidegate_proto::stats::v1 as wire;

use crate::identity::RevisionId;

/// In which order requests of a revision leave the queue of each activator. What is not said is as
/// the activator is configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueRules {
    /// Who leaves first.
    pub order: Option<QueueOrder>,
    /// The classes of requests, the last of which has those that name none; empty where nothing is
    /// said of them. An activator follows 8 at most.
    pub classes: Vec<QueueClass>,
    /// The header that names a request's class, if it is not `X-Request-Class`.
    pub class_header: Option<String>,
}

/// Who leaves a queue first.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub struct QueueClass {
    /// What its requests call it.
    pub name: String,
    /// Its share beside those of the others.
    pub weight: NonZeroU16,
}

impl QueueRules {
    /// As activators are told.
    pub(crate) fn to_wire(&self, revision: &RevisionId) -> wire::QueueRules {
        let (order, fair_by) = match &self.order {
            None => (wire::QueueOrder::Unspecified, String::new()),
            Some(QueueOrder::Arrival) => (wire::QueueOrder::Arrival, String::new()),
            Some(QueueOrder::Deadline) => (wire::QueueOrder::Deadline, String::new()),
            Some(QueueOrder::FairBy(by)) => (wire::QueueOrder::Fair, by.clone()),
        };
        let class = |class: &QueueClass| wire::QueueClass {
            name: class.name.clone(),
            weight: class.weight.get().into(),
        };
        wire::QueueRules {
            revision: Some(revision.into()),
            order: order.into(),
            fair_by,
            classes: self.classes.iter().map(class).collect(),
            class_header: self.class_header.clone().unwrap_or_default(),
        }
    }
}
