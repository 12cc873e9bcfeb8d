//! Where the time of a cold start went.
//!
//! A request that meets no ready instance is seen at the front door, and from then on passes
//! [`Moment`]s: it is decided that an instance is to be there, that is carried out, the instance
//! starts, listens, is ready, is sent the request, and answers. Those who see these moments are
//! different processes: a controller knows an instance's [`Start`], the front door knows the rest,
//! and [`Timeline::of`] joins both. The time between two moments is a phase.
//!
//! It must never: read a clock; show a time that the front door did not see pass. What others say
//! lies between the request's arrival and its forwarding, whatever their clocks show, so the
//! phases always sum up to what the client waited.
//!
//! * [`moment`]: the moments and the names of their phases; [`start`]: those of an instance.
//! * [`timeline`]: those of one request, in numbers and as a sentence.

pub mod moment;
pub mod start;
pub mod timeline;

pub use moment::Moment;
pub use start::Start;
pub use timeline::{ServerTiming, Timeline};
