//! What one revision's throttler is configured with.

use std::num::NonZeroU32;
use std::sync::Arc;

use tidegate_admission::{DispatcherSettings, HedgeSettings, OutlierSettings};

use super::credit::CreditSettings;
use crate::request_keys::RequestKeys;
use crate::waiting_totals::WaitingTotals;

/// What a throttler is configured with, and shares with those of other revisions.
#[derive(Debug, Clone)]
pub struct ThrottlerSettings {
    /// The queue, and how instances are chosen.
    pub dispatch: DispatcherSettings,
    /// What requests are ordered and placed by.
    pub keys: Arc<RequestKeys>,
    /// What a new instance without a limit may have at first; `None` gives it all there is.
    pub slow_start: Option<NonZeroU32>,
    /// How many requests may be sent again, in thousandths of all.
    pub retry_permille: u16,
    /// Whether and when a second instance is asked beside the first.
    pub hedges: HedgeSettings,
    /// Which instances are left alone because they are worse than the others.
    pub outliers: OutlierSettings,
    /// How instances are asked for credits; `None` where they grant none.
    pub credits: Option<CreditSettings>,
    /// What waits in all queues together.
    pub totals: Arc<WaitingTotals>,
}

impl From<DispatcherSettings> for ThrottlerSettings {
    /// Without anything to share, slow start, retries, hedges, outliers and credits.
    fn from(dispatch: DispatcherSettings) -> Self {
        Self {
            dispatch,
            keys: Arc::default(),
            slow_start: None,
            retry_permille: 0,
            hedges: HedgeSettings::default(),
            outliers: OutlierSettings::default(),
            credits: None,
            totals: Arc::default(),
        }
    }
}
