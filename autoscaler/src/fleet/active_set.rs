//! A set of small numbers that is cheap to walk when it is nearly empty.

/// Bits in a word.
const BITS: usize = u64::BITS as usize;

/// Two levels of bits: one per member, and one per word of members that is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ActiveSet {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl ActiveSet {
    /// Adds a member.
    pub(super) fn insert(&mut self, member: usize) {
        let word = member / BITS;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / BITS + 1, 0);
        }
        self.words[word] |= 1 << (member % BITS);
        self.summary[word / BITS] |= 1 << (word % BITS);
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, member: usize) {
        let word = member / BITS;
        if let Some(bits) = self.words.get_mut(word) {
            *bits &= !(1 << (member % BITS));
            if *bits == 0 {
                self.summary[word / BITS] &= !(1 << (word % BITS));
            }
        }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Visits every member in order and drops those that `keep` says no to. Costs nothing for
    /// what is not in the set but a look at one bit in 4096.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (block, summary) in self.summary.iter_mut().enumerate() {
            let mut words = *summary;
            while words != 0 {
                let place = words.trailing_zeros() as usize;
                words &= words - 1;
                let word = block * BITS + place;
                let mut members = self.words[word];
                while members != 0 {
                    let bit = members.trailing_zeros() as usize;
                    members &= members - 1;
                    if !keep(word * BITS + bit) {
                        self.words[word] &= !(1 << bit);
                    }
                }
                if self.words[word] == 0 {
                    *summary &= !(1 << place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set_in_order(
            changes in prop::collection::vec((0_usize..20_000, any::<bool>()), 0..200),
            modulus in 1_usize..5,
        ) {
            let (mut set, mut model) = (ActiveSet::default(), BTreeSet::new());
            for (member, goes_in) in changes {
                if goes_in {
                    set.insert(member);
                    model.insert(member);
                } else {
                    set.remove(member);
                    model.remove(&member);
                }
            }
            prop_assert_eq!(set.len(), model.len());
            let mut visited = Vec::new();
            set.retain(|member| {
                visited.push(member);
                member % modulus == 0
            });
            prop_assert!(visited.iter().eq(&model));
            model.retain(|member| member % modulus == 0);
            let mut left = Vec::new();
            set.retain(|member| {
                left.push(member);
                true
            });
            prop_assert!(left.iter().eq(&model));
        }
    }
}
