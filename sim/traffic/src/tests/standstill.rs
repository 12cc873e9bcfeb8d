//! A fuzzer's find: `diurnal:6,0.619,2us` took more than ten seconds for a minute of six arrivals a
//! second, because each arrival walked through every period before it, and 80,000 of them fit in
//! between. Looking around found relatives that never ended: a law whose arrivals are further
//! away than numbers reach, states that take turns every picosecond, timers faster than the
//! clock, and laws of gaps so uneven that their mean is infinite or not a number in a computer,
//! whose arrivals all came at the same instant, for ever.

use super::*;

const MINUTE: SimSpan = SimSpan::from_secs(60);

/// Arrivals of a minute; the test would not end if the source stood still.
fn count(spec: &str) -> usize {
    let made = Generated::new(spec, 0, MINUTE, 1).expect("a specification that parses");
    played(&made).len()
}

#[test]
fn a_period_that_is_shorter_than_gaps_keeps_its_mean() {
    for spec in ["diurnal:6,0.619,2us", "diurnal:6,1,20ns", "onoff:12,1ns,1ns", "onoff:12,1us,1us"]
    {
        let found = count(spec);
        assert!((300..420).contains(&found), "{spec}: {found} arrivals, expected about 360");
    }
}

#[test]
fn what_never_comes_ends() {
    for spec in ["onoff:1e-300,1s,1s", "onoff:5e-324,1ns,1s", "mmpp:1e-300,0,1ms,1ms"] {
        assert_eq!(count(spec), 0, "{spec}");
    }
}

#[test]
fn laws_that_stand_still_are_refused() {
    for (spec, expected) in [
        ("mmpp:5,1,1us,1s", "the two times must be at least 1ms"),
        ("timer:1e-300", "at least 1ns"),
        ("burst:5,0.1ns", "at least 1ns"),
        ("renewal:5,1e200", "from 0 to a million"),
        ("poisson:5,gaps=cv1e200", "gaps= takes const"),
        ("weibull:5,0.001", "at least 0.1"),
        ("poisson:5,gaps=weibull0.001", "weibullX (from 0.1)"),
        ("pareto:5,1.0000000000000002", "from 1.001"),
        ("poisson:5,gaps=pareto1.0000000000000002", "paretoX (from 1.001)"),
    ] {
        let made = Generated::new(spec, 0, MINUTE, 1);
        let message = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "{spec}: {message}");
    }
}
