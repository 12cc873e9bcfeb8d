//! How often each duration occurred, in memory that grows with how many different ones there were.
//!
//! The steps are HdrHistogram's for three significant digits: each microsecond up to 2,047, then
//! 1,024 steps for each doubling, so that a step is narrower than a thousandth of what it counts.
//! What it answers is HdrHistogram's to the bit. What it costs is not: that one begins with 8 KB
//! and takes 50 KB for durations of a second, for each of a million functions, most of which are
//! called a few times a day.

/// Bits of a value that its step keeps below the leading one.
const STEP_BITS: u32 = 10;
/// Values below this have a step each.
const EXACT: u64 = 2 << STEP_BITS;
/// Most steps that are listed one by one. A list of them takes 4 KB, which is what a table of two
/// doublings takes; and an addition in its middle moves 2 KB, which costs as much as a few misses
/// of the cache.
const LISTED_MAX: usize = 512;
/// A table begins and ends at multiples of this, so that it seldom has to grow.
const TABLE_GRAIN: usize = 256;

/// A step and how often it occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listed {
    count: u32,
    step: u16,
}

/// Counts by step.
#[derive(Debug, Clone)]
enum Form {
    /// Those that occurred, in order.
    List(Vec<Listed>),
    /// All from the first one on.
    Table { first: usize, counts: Vec<u32> },
}

/// How often each duration occurred.
#[derive(Debug, Clone)]
pub(super) struct Counts(Form);

/// The step of a value below 2^41.
#[inline]
fn step_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let doubling = 63 - value.leading_zeros() - STEP_BITS;
    ((doubling as usize) << STEP_BITS) + (value >> doubling) as usize
}

/// The largest value of a step.
fn largest_of(step: usize) -> u64 {
    if (step as u64) < EXACT {
        return step as u64;
    }
    let doubling = (step >> STEP_BITS) - 1;
    let place = (step - (doubling << STEP_BITS)) as u64;
    ((place + 1) << doubling) - 1
}

impl Counts {
    pub(super) const fn new() -> Self {
        Counts(Form::List(Vec::new()))
    }

    /// Counts one value.
    #[inline]
    pub(super) fn record(&mut self, value: u64) {
        self.add(step_of(value), 1);
    }

    /// Adds what `other` counted.
    pub(super) fn merge(&mut self, other: &Counts) {
        match &other.0 {
            Form::List(listed) => {
                listed.iter().for_each(|one| self.add(usize::from(one.step), one.count));
            }
            Form::Table { first, counts } => {
                let found = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                found.for_each(|(place, count)| self.add(first + place, *count));
            }
        }
    }

    /// The largest value that is equivalent to the one of rank `rank` among all, beginning with 1;
    /// 0 if there are not so many.
    pub(super) fn at_rank(&self, rank: u64) -> u64 {
        let mut seen = 0_u64;
        let mut reaches = |count: u32| {
            seen += u64::from(count);
            seen >= rank
        };
        let step = match &self.0 {
            Form::List(listed) => {
                listed.iter().find(|one| reaches(one.count)).map(|one| usize::from(one.step))
            }
            Form::Table { first, counts } => {
                counts.iter().position(|count| reaches(*count)).map(|place| first + place)
            }
        };
        step.map_or(0, largest_of)
    }

    #[inline]
    fn add(&mut self, step: usize, more: u32) {
        if let Form::Table { first, counts } = &mut self.0
            && let Some(count) = step.checked_sub(*first).and_then(|at| counts.get_mut(at))
        {
            *count = count.saturating_add(more);
            return;
        }
        self.add_elsewhere(step, more);
    }

    /// Adds to a list, or to a step outside the table.
    fn add_elsewhere(&mut self, step: usize, more: u32) {
        match &mut self.0 {
            Form::List(listed) => {
                let place = listed.binary_search_by_key(&step, |one| usize::from(one.step));
                match place {
                    Ok(at) => listed[at].count = listed[at].count.saturating_add(more),
                    Err(at) if listed.len() < LISTED_MAX => {
                        listed.insert(at, Listed { count: more, step: step as u16 });
                    }
                    Err(_) => {
                        self.tabulate();
                        self.add(step, more);
                    }
                }
            }
            Form::Table { first, counts } => {
                let begin = (step / TABLE_GRAIN * TABLE_GRAIN).min(*first);
                let end = (step / TABLE_GRAIN + 1) * TABLE_GRAIN;
                if begin < *first {
                    counts.splice(0..0, std::iter::repeat_n(0, *first - begin));
                    *first = begin;
                }
                if end > begin + counts.len() {
                    counts.resize(end - begin, 0);
                }
                counts[step - begin] = counts[step - begin].saturating_add(more);
            }
        }
    }

    /// Turns the list into a table.
    fn tabulate(&mut self) {
        let Form::List(listed) = &mut self.0 else { return };
        let listed = std::mem::take(listed);
        let first = listed.first().map_or(0, |one| usize::from(one.step));
        let first = first / TABLE_GRAIN * TABLE_GRAIN;
        self.0 = Form::Table { first, counts: Vec::new() };
        listed.iter().for_each(|one| self.add(usize::from(one.step), one.count));
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    /// Durations as they occur: most of them alike, some of them anywhere up to ten days.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let anywhere = (0_u32..40, 0_u64..1 << 39).prop_map(|(bits, value)| (value >> bits).max(1));
        let alike = (1_u64..5_000_000).prop_map(|value| value / 1_000 * 1_000 + 1);
        prop::collection::vec(prop_oneof![alike, anywhere], 1..3_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn ranks_are_those_of_the_histogram(values in values(), cut in 0_usize..3_000) {
            let mut histogram = Histogram::<u32>::new(3).expect("three digits");
            let (mut counts, mut later) = (Counts::new(), Counts::new());
            for (number, &value) in values.iter().enumerate() {
                histogram.record(value).expect("it grows");
                if number < cut { counts.record(value) } else { later.record(value) }
            }
            counts.merge(&later);
            let total = values.len() as u64;
            for rank in 1..=total {
                // In the middle between two ranks, so that rounding cannot change it.
                let share = (rank as f64 - 0.5) / total as f64;
                prop_assert_eq!(counts.at_rank(rank), histogram.value_at_quantile(share));
            }
            prop_assert_eq!(counts.at_rank(total + 1), 0);
        }
    }

    #[test]
    fn what_is_called_seldom_takes_little() {
        let mut counts = Counts::new();
        for call in 0..100_u64 {
            counts.record(1_000_000 + call * 17_000);
        }
        let Form::List(listed) = &counts.0 else { panic!("{counts:?}") };
        assert!(listed.capacity() * size_of::<Listed>() <= 1_024, "{}", listed.capacity());
    }
}
