//! What those ask who look at a running controller each second.

use tokio::sync::oneshot;

use crate::identity::RevisionId;
use crate::overview::{Detail, DetailQuery, Overview};
use crate::state::State;

/// What is looked at.
pub(crate) enum Look {
    All(oneshot::Sender<Vec<Overview>>),
    One(RevisionId, DetailQuery, oneshot::Sender<Option<Detail>>),
}

impl Look {
    /// Shows it. Whoever looks may have gone.
    pub(crate) fn answer(self, state: &State) {
        match self {
            Self::All(answer) => drop(answer.send(state.overviews())),
            Self::One(id, query, answer) => drop(answer.send(state.detail(&id, query))),
        }
    }
}
