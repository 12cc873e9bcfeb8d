//! The settings that sliders turn, each with the values it stops at.

use serde::Serialize;

/// A setting, and the values a slider stops at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Knob {
    /// Its name for `--set`.
    pub key: &'static str,
    /// What it is, in a few words.
    pub name: &'static str,
    /// The values, in order.
    pub values: &'static [&'static str],
    /// Which of the values is the default.
    pub start: usize,
}

/// The knobs. The first two are those that a page begins with: how much one instance takes, which
/// divides the instances that traffic needs, and how many never go, which decides who waits for a
/// start.
pub const KNOBS: [Knob; 10] = [
    Knob {
        key: "concurrency",
        name: "requests one instance serves at once",
        values: &[
            "1", "2", "3", "5", "8", "10", "15", "20", "30", "50", "80", "100", "200", "500",
            "1000",
        ],
        start: 5,
    },
    Knob {
        key: "min-scale",
        name: "instances that always stay",
        values: &["0", "1", "2", "3", "5", "8", "10", "15", "20", "30", "50", "100"],
        start: 0,
    },
    Knob {
        key: "target-utilization-percentage",
        name: "how full an instance is aimed to be, per cent",
        values: &["20", "30", "40", "50", "60", "70", "80", "90", "100"],
        start: 5,
    },
    Knob {
        key: "stable-window",
        name: "time that load is averaged over",
        values: &["6s", "10s", "15s", "30s", "60s", "2m", "5m", "10m", "30m", "1h"],
        start: 4,
    },
    Knob {
        key: "scale-down-delay",
        name: "time before instances go",
        values: &["0s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h"],
        start: 0,
    },
    Knob {
        key: "scale-to-zero-pod-retention-period",
        name: "time that the last instance is kept",
        values: &["0s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h"],
        start: 0,
    },
    Knob {
        key: "panic-threshold-percentage",
        name: "load at which panic begins, per cent of what is there",
        values: &["110", "125", "150", "200", "300", "400", "600", "1000"],
        start: 3,
    },
    Knob {
        key: "panic-window-percentage",
        name: "panic window, per cent of the stable window",
        values: &["5", "10", "20", "30", "50", "100"],
        start: 1,
    },
    Knob {
        key: "max-scale",
        name: "instances at most; 0 is no bound",
        values: &["0", "1", "2", "3", "5", "10", "20", "50", "100", "200", "500", "1000"],
        start: 0,
    },
    Knob {
        key: "cold-start",
        name: "time that an instance needs to start",
        values: &[
            "const:0.1s",
            "const:0.2s",
            "const:0.5s",
            "const:1s",
            "const:2s",
            "const:5s",
            "const:10s",
            "const:30s",
            "const:60s",
        ],
        start: 3,
    },
];
