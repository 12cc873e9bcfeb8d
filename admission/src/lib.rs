//! Admission control: which request is admitted now, which waits, which is refused; and the measure
//! of concurrency.
//!
//! Everything here is a pure state machine: events go in with the time at which they happened, and
//! the decision comes out. The crate reads no clock, does no I/O, owns no thread, draws no
//! randomness of its own and depends on nothing but `serde`, where that is asked for, so the same
//! inputs give the same outputs in production, in a test and in the simulator. There is no other
//! implementation of the admission rule in Tidegate.
//!
//! It must never know about HTTP, wakers, channels or wire formats: the async gate of the sidecar,
//! the activator and the simulator wrap these machines and carry out their decisions.
//!
//! Modules in reading order:
//!
//! * [`time`] and [`limit`]: moments and concurrency limits.
//! * [`queue`]: a strictly first-in-first-out queue in which any ticket can be cancelled.
//! * [`attributes`]: what orders a request in the queue, and the classes of requests.
//! * [`queue_rules`]: the same as the owner of a revision says it.
//! * [`breaker`]: one instance's limit with its bounded queue (the sidecar's rule).
//! * [`dispatcher`]: one revision's queue in front of many instances (the activator's rule).
//! * [`credits`]: one instance's limit behind many front doors (both ends of it).
//! * [`meter`]: time-weighted concurrency, the input of an autoscaler.
//! * [`early`]: when a queue is reported out of turn.
//! * [`slow_start`]: how quickly a new instance without a limit is given requests.
//! * [`retry_after`]: when a client that is refused may try again.
//! * [`retry_budget`]: how many requests may be sent a second time; [`outliers`]: which instances
//!   are left alone for a while; [`hedging`]: when a second instance is asked beside the first.
//! * [`abandoned`]: how long a slot is held whose client has gone.
//! * [`adaptive`]: a limit that follows latency instead of being configured.
//! * [`invariants`]: what holds in every state, checked by debug builds, tests and the simulator.

pub mod abandoned;
pub mod adaptive;
pub mod attributes;
pub mod breaker;
pub mod credits;
pub mod dispatcher;
pub mod early;
pub mod hedging;
pub mod invariants;
pub mod limit;
pub mod meter;
pub mod outliers;
pub mod queue;
pub mod queue_rules;
pub mod retry_after;
pub mod retry_budget;
pub mod slow_start;
pub mod time;

pub use abandoned::Abandoned;
pub use adaptive::{Adaptive, AdaptiveSettings};
pub use attributes::{Attributes, Classes, Coming, Order};
pub use breaker::{Arrival, Breaker};
pub use dispatcher::{
    Dispatch, Dispatcher, DispatcherSettings, Grant, InstanceId, NewInstance, Policy,
};
pub use early::EarlyReports;
pub use hedging::{HedgeAfter, HedgeSettings, Hedging};
pub use invariants::Violation;
pub use limit::Limit;
pub use meter::{Meter, PeriodAverages, Source};
pub use outliers::{OutlierSettings, Outliers};
pub use queue::{Depth, QueueSettings, Refusal, Ticket};
pub use queue_rules::{QueueClass, QueueOrder, QueueRules};
pub use retry_after::DrainRate;
pub use retry_budget::RetryBudget;
pub use slow_start::SlowStart;
pub use time::Moment;
