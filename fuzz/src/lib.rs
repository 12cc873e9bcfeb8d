//! What the targets that drive a whole proxy have in common: a runtime in which time costs
//! nothing, a client that says its piece and reads what comes, and strict readers that tell how
//! many messages there were.
//!
//! It must know nothing that the relay knows: the readers here are written from the standard, so
//! that a mistake of the relay's own parser is not made twice.

pub mod messages;
pub mod stage;
