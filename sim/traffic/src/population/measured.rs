//! What 250 functions of Azure Functions 2019 were found to be (Shahrad et al., USENIX ATC 2020;
//! the data are CC-BY 4.0): the numbers of `learn`, from the eight hours from 8:00 to 16:00 of one
//! day.

#![expect(clippy::approx_constant, reason = "what was measured may come near a constant")]

use super::law::{Class, Period, Population};

/// Periods in seconds, calls each time, and how many functions have them.
const PERIODS: [(f64, u32, f64); 26] = [
    (0.301, 1, 1.0),
    (1.0, 1, 1.0),
    (3.33, 1, 1.0),
    (5.0, 1, 1.0),
    (5.01, 1, 1.0),
    (5.02, 1, 1.0),
    (7.52, 1, 1.0),
    (10.0, 1, 1.0),
    (15.0, 1, 1.0),
    (15.2, 1, 1.0),
    (29.7, 1, 1.0),
    (30.0, 1, 1.0),
    (60.0, 1, 10.0),
    (60.0, 2, 3.0),
    (120.0, 1, 5.0),
    (180.0, 1, 4.0),
    (240.0, 1, 1.0),
    (300.0, 1, 29.0),
    (600.0, 1, 3.0),
    (600.0, 36, 1.0),
    (900.0, 1, 7.0),
    (1200.0, 1, 1.0),
    (1260.0, 1, 1.0),
    (1800.0, 1, 5.0),
    (3600.0, 1, 10.0),
    (7200.0, 1, 1.0),
];

/// Logarithms of the rates of the functions that no clock calls, per second.
const RATES: [f64; 33] = [
    -10.27, -10.27, -10.27, -10.27, -10.27, -10.27, -10.27, -9.57, -9.57, -9.17, -8.88, -8.66,
    -8.40, -8.19, -8.07, -7.93, -7.56, -7.39, -6.88, -6.80, -6.66, -6.38, -6.05, -5.70, -5.62,
    -5.48, -5.03, -4.77, -4.09, -3.91, -3.40, -2.34, 2.25,
];

/// How irregular they are: the lowest logarithm of a rate, logarithms of dispersions, and of the
/// rates per second at which clusters end.
type Irregular = (f64, [f64; 9], [f64; 9]);

#[rustfmt::skip]
const CLASSES: [Irregular; 5] = [
    (-8.66,
     [-6.91, -6.91, -0.74, 0.65, 1.15, 1.54, 2.76, 3.03, 3.03],
     [-13.29, -13.29, -13.29, -11.48, -6.00, -4.84, -4.13, 0.01, 0.01]),
    (-7.97,
     [-6.91, -6.91, -6.91, -2.84, -1.94, -0.29, 1.75, 2.69, 3.28],
     [-6.28, -5.28, -5.10, -4.81, -3.45, -1.40, 0.01, 0.01, 0.01]),
    (-6.77,
     [-6.91, -6.91, -4.70, -4.18, 1.57, 2.06, 2.41, 3.01, 3.80],
     [-13.29, -10.10, -5.86, -4.86, -4.66, 0.01, 0.01, 0.01, 0.01]),
    (-5.62,
     [-6.91, -6.91, -5.97, -4.79, -0.94, 1.75, 2.87, 3.53, 7.07],
     [-11.59, -7.10, -5.44, -5.27, -5.20, -3.28, -2.14, -0.36, 0.01]),
    (-4.09,
     [-5.81, -5.43, -3.84, 0.67, 1.82, 2.58, 3.40, 4.60, 7.88],
     [-9.70, -6.07, -4.91, -3.59, -1.32, 0.01, 0.01, 0.01, 0.01]),
];

impl Population {
    /// The population of that sample. The height of the daily wave is what the rise over those
    /// eight hours comes to if the peak is in the afternoon.
    pub(crate) fn measured() -> Population {
        let period =
            |&(seconds, calls, weight): &(f64, u32, f64)| Period { seconds, calls, weight };
        let class = |(from, dispersions, relaxations): &Irregular| Class {
            from: *from,
            dispersions: dispersions.to_vec(),
            relaxations: relaxations.to_vec(),
        };
        Population {
            periodic_share: 0.372,
            periods: PERIODS.iter().map(period).collect(),
            rates: RATES.to_vec(),
            classes: CLASSES.iter().map(class).collect(),
            functions_per_app: 250.0 / 246.0,
            together: 0.4,
            wave: 0.34,
        }
    }
}
