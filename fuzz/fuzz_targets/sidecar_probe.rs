//! Any readiness probe: understood or refused, and what is understood can be tried.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_queue_proxy::environment::Switch;
use tidegate_queue_proxy::probe::spec::{Handler, ReadinessSpec, Reading, parse};

fuzz_target!(|input: (&str, bool, bool, u16)| {
    let (json, several, http2, user_port) = input;
    let switch = |on| if on { Switch::On } else { Switch::Off };
    let reading = Reading { several: switch(several), http2: switch(http2), user_port };
    if let Ok(ReadinessSpec::All(probes)) = parse(json, reading) {
        for probe in probes {
            assert!(probe.success_threshold > 0 && probe.failure_threshold > 0);
            match probe.handler {
                Handler::HttpGet(get) => assert!(get.port > 0 && get.path.starts_with('/')),
                Handler::TcpSocket { port, .. } | Handler::Grpc { port, .. } => assert!(port > 0),
                Handler::Exec | Handler::Nothing => {}
            }
        }
    }
});
