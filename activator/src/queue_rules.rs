//! Whose turn it is in a revision's queue: as the controller says of the revision, and else as the
//! activator is configured.

use std::sync::Arc;

use tidegate_admission::attributes::CLASSES_MAX;
use tidegate_admission::{Classes, Order};
use tidegate_relay::http::HeaderName;
use tidegate_reporter::{QueueOrder, QueueRules};

use crate::request_keys::{CLASS_HEADER, ClassNames, KeySource, NoKeySource, RequestKeys};
use crate::revision_throttler::ThrottlerSettings;

/// The rules of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) order: Order,
    pub(crate) classes: Classes,
    pub(crate) keys: Arc<RequestKeys>,
}

/// Why the rules of a revision cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// Nobody can be told apart by it.
    #[error("users cannot take turns by {by:?}: {source}")]
    Fairness {
        /// What was said.
        by: String,
        /// What is expected.
        source: NoKeySource,
    },
    /// There are too many.
    #[error("{count} classes are too many: expected at most {CLASSES_MAX}")]
    Classes {
        /// How many there are.
        count: usize,
    },
    /// No request can have it.
    #[error("{name:?} cannot name the class of a request: expected the name of a header")]
    ClassHeader {
        /// What was said.
        name: String,
    },
}

impl Rules {
    /// Those of the activator itself.
    pub(crate) fn configured(settings: &ThrottlerSettings) -> Self {
        let (order, classes) = (settings.dispatch.order, settings.dispatch.classes);
        Self { order, classes, keys: Arc::clone(&settings.keys) }
    }

    /// Those of a revision, which stand in place of the activator's own as far as it says them.
    pub(crate) fn over(settings: &ThrottlerSettings, own: &QueueRules) -> Result<Self, Unusable> {
        let configured = Self::configured(settings);
        let mut keys = (*configured.keys).clone();
        let order = match &own.order {
            None => configured.order,
            Some(QueueOrder::Arrival) => Order::Arrival,
            Some(QueueOrder::Deadline) => Order::EarliestDeadline,
            Some(QueueOrder::FairBy(by)) => {
                keys.fairness = Some(source(by)?);
                Order::Fair
            }
        };
        let mut classes = configured.classes;
        if !own.classes.is_empty() {
            let too_many = || Unusable::Classes { count: own.classes.len() };
            let weights: Vec<_> = own.classes.iter().map(|class| class.weight).collect();
            classes = Classes::new(&weights).ok_or_else(too_many)?;
            let header = own.class_header.as_deref().map_or(Ok(CLASS_HEADER), header)?;
            let names = own.classes.iter().map(|class| class.name.clone()).collect();
            keys.classes = Some(ClassNames::new(header, names).ok_or_else(too_many)?);
        }
        Ok(Self { order, classes, keys: Arc::new(keys) })
    }
}

fn source(by: &str) -> Result<KeySource, Unusable> {
    by.parse().map_err(|source| Unusable::Fairness { by: by.to_owned(), source })
}

fn header(name: &str) -> Result<HeaderName, Unusable> {
    name.parse().map_err(|_| Unusable::ClassHeader { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use tidegate_admission::DispatcherSettings;
    use tidegate_reporter::QueueClass;

    use super::*;

    fn configured() -> ThrottlerSettings {
        let dispatch =
            DispatcherSettings { order: Order::EarliestDeadline, ..DispatcherSettings::default() };
        let affinity = Some(KeySource::Path);
        let keys = Arc::new(RequestKeys { affinity, ..RequestKeys::default() });
        ThrottlerSettings { keys, ..dispatch.into() }
    }

    fn classes(count: usize) -> Vec<QueueClass> {
        let class = |nth| QueueClass { name: format!("c{nth}"), weight: NonZeroU16::MIN };
        (0..count).map(class).collect()
    }

    #[test]
    fn what_a_revision_does_not_say_is_as_configured() {
        let settings = configured();
        let said = Rules::over(&settings, &QueueRules::default()).unwrap();
        assert_eq!(said, Rules::configured(&settings));
        let order = Some(QueueOrder::FairBy("header:x-tenant".to_owned()));
        let fair = QueueRules { order, classes: classes(2), class_header: None };
        let fair = Rules::over(&settings, &fair).unwrap();
        assert_eq!((fair.order, fair.classes.count()), (Order::Fair, 2));
        assert_eq!(fair.keys.affinity, Some(KeySource::Path), "how instances are chosen stays");
    }

    #[test]
    fn what_cannot_be_followed_says_what_is_expected() {
        let order = |by: &str| Some(QueueOrder::FairBy(by.to_owned()));
        let header = Some("no header".to_owned());
        for (wrong, expected) in [
            (QueueRules { order: order("user"), ..QueueRules::default() }, "expected header:NAME"),
            (QueueRules { classes: classes(9), ..QueueRules::default() }, "expected at most 8"),
            (
                QueueRules { classes: classes(1), class_header: header, order: None },
                "expected the name of a header",
            ),
        ] {
            let unusable = Rules::over(&configured(), &wrong).unwrap_err().to_string();
            assert!(unusable.contains(expected), "{unusable}");
        }
    }
}
