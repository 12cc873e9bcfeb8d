//! The sidecar as a program of its own, for images where every byte counts.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate_queue_proxy::run()
}
