//! The sidecar as a program of its own, for images where every byte counts.
//!
//! It must never do anything that `tidegate queue-proxy` does not: both call the library's one
//! entry, and there is nothing here to read beyond it. Read on in `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    if asked.is_some_and(|word| word == "--help" || word == "-h") {
        println!("{}", tidegate_queue_proxy::environment::help::variables());
        return ExitCode::SUCCESS;
    }
    tidegate_queue_proxy::run()
}
