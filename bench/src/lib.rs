//! Cost harness.
