//! The sidecar as a program of its own, for images where every byte counts.
//!
//! It must never do anything that `tidegate queue-proxy` does not, but for saying its version: both
//! call the library's entries, and there is nothing here to read beyond it. Read on in `lib.rs`.

use std::process::ExitCode;

/// Exit code for a command line that cannot be used, as `tidegate` has it.
const MISTYPED: u8 = 2;

fn main() -> ExitCode {
    let Some(argument) = std::env::args_os().nth(1) else {
        return tidegate_queue_proxy::run(None);
    };
    match argument.to_str() {
        Some("drain") => tidegate_queue_proxy::begin_drain(),
        Some("--help" | "-h") => {
            println!("{}", tidegate_queue_proxy::environment::help::variables());
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("queue-proxy {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "queue-proxy: {argument:?} is not understood, expected drain, --help, --version or \
                 nothing: the environment configures it"
            );
            ExitCode::from(MISTYPED)
        }
    }
}
