//! Room that several share: nobody gets more than it needs, and nobody's need takes from one that
//! needs less.

/// What each gets of `most`, where `needs` says what each could use: max-min fairness. What one
/// does not need goes to those that need more, in equal parts.
pub(crate) fn shares(needs: &[usize], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|index| needs[*index]);
    let mut given = vec![0; needs.len()];
    let mut left = most;
    for (done, index) in order.into_iter().enumerate() {
        let share = left / (needs.len() - done);
        given[index] = needs[index].min(share);
        left -= given[index];
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_does_not_need_goes_to_those_that_do() {
        assert_eq!(shares(&[], 10), Vec::<usize>::new());
        assert_eq!(shares(&[3, 4], 10), [3, 4]);
        assert_eq!(shares(&[1, 100], 10), [1, 9]);
        assert_eq!(shares(&[100, 1, 100], 11), [5, 1, 5]);
        assert_eq!(shares(&[usize::MAX, usize::MAX, 2], 10), [4, 4, 2]);
    }

    #[test]
    fn whoever_asks_for_more_takes_nothing_from_who_asks_for_less() {
        for hog in [10, 1_000, usize::MAX] {
            let given = shares(&[hog, 2, 3], 9);
            assert_eq!((given[1], given[2]), (2, 3));
            assert!(given.iter().sum::<usize>() <= 9);
        }
    }
}
