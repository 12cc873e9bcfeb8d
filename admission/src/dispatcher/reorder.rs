//! How the order of a queue is changed while requests wait in it.

use super::turns::Turns;
use super::{Dispatcher, DispatcherSettings};
use crate::attributes::{Attributes, Classes, Coming, Order};
use crate::queue::Ticket;

impl Dispatcher {
    /// Changes in which order requests leave the queue, for those that wait as well: none of them
    /// leaves because of it. `known` says of each what it came with, as a queue whose order needs
    /// none of that keeps none of it. Gives whether the order is another one.
    pub fn set_order(
        &mut self,
        (order, classes): (Order, Classes),
        mut known: impl FnMut(Ticket) -> (Attributes, Coming),
    ) -> bool {
        let settings = DispatcherSettings { order, classes, ..self.settings };
        if self.settings == settings {
            return false;
        }
        self.settings = settings;
        self.turns = settings.needs_turns().then(|| {
            let mut turns = Box::new(Turns::new(order, classes));
            for (ticket, _) in self.queue.iter() {
                match known(ticket) {
                    (attributes, Coming::First) => turns.insert(ticket, attributes),
                    (attributes, Coming::Again) => turns.insert_returned(ticket, attributes),
                }
            }
            turns
        });
        true
    }
}
