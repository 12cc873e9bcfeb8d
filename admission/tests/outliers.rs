//! Instances that are worse than the others are left alone, and never too many of them.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_admission::outliers::{FIRST_REST, LONGEST_REST, Outcome, Sign};
use tidegate_admission::{Dispatcher, DispatcherSettings, InstanceId, Limit};
use tidegate_admission::{OutlierSettings, Outliers};

const QUICK: Outcome = Outcome::Responded(Duration::from_millis(10));
const SLOW: Outcome = Outcome::Responded(Duration::from_millis(200));

fn instances(count: usize) -> Vec<InstanceId> {
    let mut dispatcher = Dispatcher::new(DispatcherSettings::default());
    (0..count).map(|_| dispatcher.add(Limit::from_wire(1)).0).collect()
}

fn outliers() -> Outliers {
    Outliers::new(OutlierSettings {
        failures: NonZeroU32::new(5),
        times_median: NonZeroU32::new(4),
    })
}

#[test]
fn failures_in_a_row_are_a_sign_and_each_rest_is_longer() {
    let all = instances(4);
    let mut outliers = outliers();
    // What the last one of so many failures comes to.
    let mut fail = |times: usize| {
        (0..times).fold(None, |_, _| outliers.ended(all[0], Outcome::Failed, (4, 4)))
    };
    assert_eq!(fail(4), None);
    assert_eq!(fail(1), Some((Sign::Failing, FIRST_REST)));
    assert_eq!(fail(4), None, "it has another try");
    assert_eq!(fail(1), Some((Sign::Failing, FIRST_REST * 2)));
    let last = (0..20).fold(None, |_, _| fail(5));
    assert_eq!(last, Some((Sign::Failing, LONGEST_REST)));
    // A response between them is a new beginning; many of them make all forgotten.
    assert_eq!(outliers.ended(all[0], QUICK, (4, 4)), None);
    (0..4).for_each(|_| assert_eq!(outliers.ended(all[0], Outcome::Failed, (4, 4)), None));
    (0..100).for_each(|_| assert_eq!(outliers.ended(all[0], QUICK, (4, 4)), None));
    let again = (0..5).fold(None, |_, _| outliers.ended(all[0], Outcome::Failed, (4, 4)));
    assert_eq!(again, Some((Sign::Failing, FIRST_REST)));
}

#[test]
fn an_instance_that_is_slow_beside_the_others_is_one() {
    let all = instances(4);
    let mut outliers = outliers();
    let mut found = Vec::new();
    for _ in 0..64 {
        for (nth, instance) in all.iter().enumerate() {
            let outcome = if nth == 2 { SLOW } else { QUICK };
            found.extend(outliers.ended(*instance, outcome, (4, 4)).map(|(sign, _)| (nth, sign)));
        }
    }
    assert_eq!(found.first(), Some(&(2, Sign::Slow)));
    assert!(found.iter().all(|(nth, _)| *nth == 2), "{found:?}");
}

#[test]
fn where_all_are_slow_none_is() {
    let all = instances(4);
    let mut outliers = outliers();
    for _ in 0..200 {
        for instance in &all {
            assert_eq!(outliers.ended(*instance, SLOW, (4, 4)), None);
        }
    }
}

#[test]
fn an_instance_in_the_slot_of_another_begins_anew() {
    let mut dispatcher = Dispatcher::new(DispatcherSettings::default());
    let (old, _) = dispatcher.add(Limit::from_wire(1));
    let mut outliers = outliers();
    (0..4).for_each(|_| assert_eq!(outliers.ended(old, Outcome::Failed, (4, 4)), None));
    assert!(dispatcher.remove(old));
    outliers.remove(old);
    let (new, _) = dispatcher.add(Limit::from_wire(1));
    assert_eq!(new.slot(), old.slot());
    assert_eq!(outliers.ended(new, Outcome::Failed, (4, 4)), None);
}

proptest! {
    /// Whatever happens at the instances, at least half of them stay in use.
    #[test]
    fn the_set_is_never_emptied(
        count in 1..9_usize,
        ends in prop::collection::vec((any::<usize>(), 0..4_u8), 1..600),
    ) {
        let all = instances(count);
        let mut outliers = outliers();
        let mut in_use = vec![true; count];
        for (nth, kind) in ends {
            let nth = nth % count;
            if !in_use[nth] {
                continue;
            }
            let ready = in_use.iter().filter(|used| **used).count();
            let outcome = match kind { 0 => QUICK, 1 => SLOW, _ => Outcome::Failed };
            let numbers = (u32::try_from(ready).unwrap(), u32::try_from(count).unwrap());
            if outliers.ended(all[nth], outcome, numbers).is_some() {
                in_use[nth] = false;
            }
            let left = in_use.iter().filter(|used| **used).count();
            prop_assert!(left * 2 >= count, "{left} of {count}");
        }
    }
}
