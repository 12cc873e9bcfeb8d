//! Whose rules count where Knative and Tidegate differ.

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Strictness;

/// Whose rules count where Knative and Tidegate differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Knative's, decision for decision and setting for setting.
    Knative,
    /// Tidegate's own: every improvement, and strict settings.
    Tidegate,
}

impl Rules {
    pub(crate) fn improvements(self) -> Improvements {
        match self {
            Self::Knative => Improvements::none(),
            Self::Tidegate => Improvements::all(),
        }
    }

    pub(crate) fn strictness(self) -> Strictness {
        match self {
            Self::Knative => Strictness::Knative,
            Self::Tidegate => Strictness::Strict,
        }
    }
}
