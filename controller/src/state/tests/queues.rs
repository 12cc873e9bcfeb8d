//! Whose turn it is in the queues of activators, as they are told of it.

use std::sync::Arc;

use tidegate_proto::stats::v1 as wire;

use super::fixture::{Fixture, declaration, instance, revision};
use crate::declaration::{Declaration, QueueClass, QueueOrder, QueueRules, queue_rules_to_wire};
use crate::event::{Effect, Event, ServerMessage};
use crate::identity::ReporterId;
use crate::report::Hello;

fn told(effects: &[Effect]) -> Vec<Arc<QueueRules>> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message: ServerMessage::QueueRules { rules, .. }, .. } => Some(rules),
        _ => None,
    });
    messages.cloned().collect()
}

fn with(queue: QueueRules) -> Declaration {
    Declaration { queue, ..declaration(1, "0") }
}

fn fair() -> QueueRules {
    let order = Some(QueueOrder::FairBy("header:x-user".to_owned()));
    let class = |name: &str, weight| QueueClass {
        name: name.to_owned(),
        weight: std::num::NonZeroU16::new(weight).expect("some"),
    };
    QueueRules { order, classes: vec![class("gold", 10), class("rest", 1)], class_header: None }
}

#[test]
fn activators_are_told_when_they_come_and_when_it_changes() {
    let mut world = Fixture::remote(with(fair()));
    let hello = Hello::Activator { name: instance("activator"), max_waiting: 0, token: None };
    let come = world.apply(Event::Connected { reporter: ReporterId(7), hello });
    assert_eq!(told(&come), [Arc::new(fair())]);
    let same = world.apply(Event::Declare(Box::new(with(fair()))));
    assert!(told(&same).is_empty());
    let changed = world.apply(Event::Declare(Box::new(with(QueueRules::default()))));
    assert_eq!(told(&changed), [Arc::default()], "as the activator is configured again");
    let decided = changed.iter().any(|effect| matches!(effect, Effect::Decided(_)));
    assert!(!decided, "how many instances there are to be has nothing to do with it");
}

#[test]
fn all_of_it_goes_over_the_wire() {
    let sent = queue_rules_to_wire(&fair(), &revision());
    assert_eq!((sent.order(), sent.fair_by.as_str()), (wire::QueueOrder::Fair, "header:x-user"));
    let classes: Vec<_> = sent.classes.iter().map(|c| (c.name.as_str(), c.weight)).collect();
    assert_eq!(classes, [("gold", 10), ("rest", 1)]);
    assert_eq!(sent.class_header, "");
    let none = queue_rules_to_wire(&QueueRules::default(), &revision());
    assert_eq!(none.order(), wire::QueueOrder::Unspecified);
}
