//! The place of a site: one process at a time has it.

use std::sync::Arc;

use parking_lot::Mutex;

/// Which process calls as a site, if any. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The process that has it.
    holder: Option<String>,
    /// How often it was given, so that a connection that was replaced gives back nothing.
    given: u64,
}

/// The place, held. Dropping it gives the place back, unless the same process has taken it again by
/// another connection.
#[derive(Debug)]
pub(crate) struct Held {
    place: Place,
    number: u64,
}

impl Place {
    /// Takes the place for a process: where nobody has it, or this very process.
    pub(crate) fn take(&self, process: &str) -> Option<Held> {
        let mut state = self.state.lock();
        if state.holder.as_deref().is_some_and(|holder| holder != process) {
            return None;
        }
        state.holder = Some(process.to_owned());
        state.given += 1;
        Some(Held { place: self.clone(), number: state.given })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.place.state.lock();
        if state.given == self.number {
            state.holder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_use_is_not_given_to_another_process() {
        let place = Place::default();
        let first = place.take("one").expect("free");
        assert!(place.take("two").is_none());
        drop(first);
        let _second = place.take("two").expect("given back");
        assert!(place.take("one").is_none());
    }

    #[test]
    fn a_process_replaces_its_own_connection_and_the_old_one_gives_back_nothing() {
        let place = Place::default();
        let old = place.take("one").expect("free");
        let new = place.take("one").expect("its own");
        drop(old);
        assert!(place.take("two").is_none(), "the new one still has it");
        drop(new);
        assert!(place.take("two").is_some());
    }
}
