//! An injected pod as a process tree: the sidecar starts with exactly the environment that `inject`
//! wrote, before a real app, and ends in the kubelet's order.

#![expect(clippy::unwrap_used, reason = "what cannot be started or read fails the test")]

mod client;
mod command;
mod ending;
mod kubelet;
mod serving;
