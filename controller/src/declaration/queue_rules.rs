//! The rules of a revision's queues, as activators are told.

use tidegate_admission::{QueueClass, QueueOrder, QueueRules};
use tidegate_proto::stats::v1 as wire;

use crate::identity::RevisionId;

pub(crate) fn to_wire(rules: &QueueRules, revision: &RevisionId) -> wire::QueueRules {
    let (order, fair_by) = match &rules.order {
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
        classes: rules.classes.iter().map(class).collect(),
        class_header: rules.class_header.clone().unwrap_or_default(),
    }
}
