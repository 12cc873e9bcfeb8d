//! The sidecar as a program of its own, for images where every byte counts.
//!
//! It must never do anything that `tidegate queue-proxy` does not: both call the library's
//! entries, and there is nothing here to read beyond it. Read on in `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    if asked.as_ref().is_some_and(|word| word == "--help" || word == "-h") {
        println!("{}", tidegate_queue_proxy::environment::help::variables());
        return ExitCode::SUCCESS;
    }
    if asked.is_some_and(|word| word == "drain") {
        return tidegate_queue_proxy::begin_drain();
    }
    tidegate_queue_proxy::run()
}
