//! Which kill a failed request was lost to.
//!
//! A killed instance takes down what is inside it: the request overlaps the time in which the
//! process was dying, and there are no more of them than the instance has places. A request that
//! fits no kill is nobody's, and was lost by us.

use std::time::Duration;

/// A process of an instance that was killed. Times are since the run began.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// Whose instance.
    pub revision: usize,
    /// When it was about to be killed.
    pub began: Duration,
    /// When nothing of it was left.
    pub ended: Duration,
    /// The most requests that may have been inside.
    pub places: u32,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Whose request.
    pub revision: usize,
    /// When it was sent.
    pub sent: Duration,
    /// When its end was seen.
    pub ended: Duration,
    /// What its client saw.
    pub saw: String,
}

/// Gives each failure to a kill that explains it, and returns those that none does.
///
/// Kills go by their begin, and each takes the failures that ended first, which later kills can
/// explain least.
#[must_use]
pub fn unexplained(mut kills: Vec<Kill>, mut failures: Vec<Failure>) -> Vec<Failure> {
    kills.sort_by_key(|kill| kill.began);
    failures.sort_by_key(|failure| failure.ended);
    for kill in &kills {
        let mut places = kill.places;
        failures.retain(|failure| {
            let fits = failure.revision == kill.revision
                && failure.sent <= kill.ended
                && failure.ended >= kill.began;
            let taken = fits && places > 0;
            places -= u32::from(taken);
            !taken
        });
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(revision: usize, began: u64, ended: u64) -> Kill {
        let at = Duration::from_millis;
        Kill { revision, began: at(began), ended: at(ended), places: 2 }
    }

    fn failure(revision: usize, sent: u64, ended: u64) -> Failure {
        let at = Duration::from_millis;
        Failure { revision, sent: at(sent), ended: at(ended), saw: String::new() }
    }

    #[test]
    fn a_kill_explains_what_was_inside_and_no_more() {
        let kills = vec![kill(0, 100, 110)];
        let inside = vec![failure(0, 90, 105), failure(0, 95, 120)];
        assert!(unexplained(kills.clone(), inside.clone()).is_empty());
        let third = [inside, vec![failure(0, 99, 130)]].concat();
        assert_eq!(unexplained(kills, third).len(), 1, "it has two places");
    }

    #[test]
    fn a_kill_explains_nothing_of_another_time_or_revision() {
        let kills = vec![kill(0, 100, 110)];
        let others = vec![failure(1, 90, 105), failure(0, 80, 99), failure(0, 111, 120)];
        assert_eq!(unexplained(kills, others).len(), 3);
    }

    #[test]
    fn later_kills_are_left_what_only_they_explain() {
        let kills = vec![kill(0, 200, 210), kill(0, 100, 110)];
        let failures = vec![
            failure(0, 90, 205),
            failure(0, 90, 105),
            failure(0, 90, 105),
            failure(0, 205, 300),
        ];
        assert!(unexplained(kills, failures).is_empty());
    }
}
