//! In which order requests of a revision leave an activator's queue, as its controller says.

use std::num::NonZeroU16;

use tidegate_admission::{QueueClass, QueueOrder, QueueRules};
use tidegate_proto::stats::v1 as wire;

/// Most classes that are read: more than an activator's queue may have, so that it sees that there
/// are too many.
const CLASSES_READ_MAX: usize = 64;

/// Longest name of a class, a header or a cookie that is read: no client would send a longer one.
const NAME_BYTES_MAX: usize = 256;

/// Reads the rules of a revision. Of what cannot be meant nothing is taken.
pub(crate) fn read(received: wire::QueueRules) -> QueueRules {
    let order = match received.order() {
        wire::QueueOrder::Arrival => Some(QueueOrder::Arrival),
        wire::QueueOrder::Deadline => Some(QueueOrder::Deadline),
        wire::QueueOrder::Fair => named(received.fair_by).map(QueueOrder::FairBy),
        wire::QueueOrder::Unspecified => None,
    };
    let class = |class: wire::QueueClass| {
        let weight = u16::try_from(class.weight).ok().and_then(NonZeroU16::new)?;
        Some(QueueClass { name: named(class.name)?, weight })
    };
    let classes = received.classes.into_iter().take(CLASSES_READ_MAX).map(class);
    QueueRules {
        order,
        // With one of them missing the shares of the others would be other ones.
        classes: classes.collect::<Option<_>>().unwrap_or_default(),
        class_header: named(received.class_header),
    }
}

fn named(name: String) -> Option<String> {
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_not_taken() {
        let class = |name: &str, weight| wire::QueueClass { name: name.to_owned(), weight };
        let rules = |classes| wire::QueueRules { classes, ..wire::QueueRules::default() };
        assert_eq!(read(rules(vec![class("gold", 10), class("rest", 1)])).classes.len(), 2);
        for bad in [class("gold", 0), class("gold", 70_000), class("", 1)] {
            assert_eq!(read(rules(vec![class("rest", 1), bad])), QueueRules::default());
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let fair = wire::QueueRules {
            order: wire::QueueOrder::Fair.into(),
            fair_by: long,
            ..wire::QueueRules::default()
        };
        assert_eq!(read(fair), QueueRules::default());
    }
}
