//! What may be sent a second time: retries after a failure, and hedges beside an instance that
//! takes long.

use tidegate_admission::{Hedging, RetryBudget};

use super::settings::ThrottlerSettings;

/// The budgets of one revision.
#[derive(Debug)]
pub(super) struct SecondAttempts {
    pub(super) retries: RetryBudget,
    /// Boxed, as it is seldom asked for and keeps a table of latencies.
    pub(super) hedges: Option<Box<Hedging>>,
}

impl SecondAttempts {
    pub(super) fn new(settings: &ThrottlerSettings) -> Self {
        let hedges = Hedging::new(settings.hedges).map(Box::new);
        Self { retries: RetryBudget::new(settings.retry_permille), hedges }
    }

    /// A request arrived for the first time.
    pub(super) fn arrived(&mut self) {
        self.retries.arrived();
        if let Some(hedges) = &mut self.hedges {
            hedges.arrived();
        }
    }
}

/// What becomes of a request that is to be sent to a second instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HedgeOutcome {
    /// The second answered first.
    Won,
    /// The first answered before the second did.
    Lost,
    /// The second failed.
    Failed,
    /// The budget was used up, and it was not sent.
    OverBudget,
    /// No other instance had room, and it was not sent.
    NoRoom,
}

impl HedgeOutcome {
    pub(crate) const ALL: [Self; 5] =
        [Self::Won, Self::Lost, Self::Failed, Self::OverBudget, Self::NoRoom];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::OverBudget => "over_budget",
            Self::NoRoom => "no_room",
        }
    }
}
