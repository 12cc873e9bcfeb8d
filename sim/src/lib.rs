//! Discrete-event simulator that replays traffic through the real autoscaler and admission code.
//!
//! It answers "what would other settings have done with my traffic?": arrivals stream in, a
//! world of instances, queues and nodes serves them, `tidegate-admission` admits
//! requests and measures load, `tidegate-autoscaler` decides how many instances there
//! should be, and a [`SimResult`] comes out, the same to the bit for the same seed.
//!
//! It must never: hold a copy of the decision or the admission rule, read a clock inside the engine
//! (time is simulated), draw a random number from anything but a seeded [`Stream`], or keep memory
//! that grows with the number of requests.
//!
//! Modules in reading order:
//!
//! * [`time`]: simulated instants and spans; [`random`]: named random streams from one seed;
//!   [`distribution`]: service times and start-up delays.
//! * [`arrival`]: what traffic is to the engine, and the seam where readers and generators plug in.
//! * [`result`]: what came out, with stable names; [`series`]: what happened over time, bounded;
//!   [`record`]: decisions and requests one by one.
//! * [`scenario`]: what is simulated, as plain data; [`engine`]: runs it, and [`measured`] says
//!   what that took; [`price`] and [`usage`]: what was used and what it cost (`billing`). The world
//!   itself is in `world`, its deciders in `scaler`, its event queue in `events`.
//! * [`compare`], [`sweep`], [`recommend`]: many scenarios against the same arrivals; [`fit`]:
//!   models from recordings.
//! * [`seeds`]: the same with several seeds; [`figure`] and [`mod@interval`]: what came out then.
//! * [`parallel`]: many runs at once.
//!
//! Three packages stand on this one and lie in its folder: `tidegate-sim-traffic` (readers of
//! recordings, generators), `tidegate-sim-report` (text, tables, charts, one page) and
//! `tidegate-sim-validate` (the simulator against what is known). An embedder with arrivals of its
//! own needs none of them, nor what they bring.

pub mod arrival;
mod billing;
pub mod compare;
pub mod distribution;
pub mod engine;
mod error;
mod events;
pub mod figure;
pub mod fit;
pub mod interval;
pub mod measured;
mod output;
pub mod parallel;
pub mod price;
pub mod random;
pub mod recommend;
pub mod record;
pub mod result;
mod scaler;
pub mod scenario;
pub mod seeds;
pub mod series;
pub mod sweep;
pub mod time;
pub mod usage;
mod world;

pub use arrival::{
    Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError, Traffic, Wrapper,
};
pub use distribution::{Distribution, DistributionError};
pub use engine::{RunError, RunOutput, run};
pub use random::{Stream, Streams};
pub use record::{DecisionRecord, Observer, Outcome, RequestRecord};
pub use result::{Levels, Quantiles, RevisionResult, SimResult};
pub use scenario::{PolicyChoice, Recording, RevisionModel, Scenario};
pub use series::{SeriesPoint, TimeSeries};
pub use time::{SimSpan, SimTime};
