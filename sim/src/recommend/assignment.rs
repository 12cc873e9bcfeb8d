//! Which option each of many takes, so that all together are cheapest within common bounds.
//!
//! Each bound is a sum over all of them: of cold starts above what is allowed, say. A price on each
//! unit of each bound turns the choice into one for each alone (Lagrange's relaxation): what is
//! cheapest with the prices added. The prices are found by halving, and what such choices cost at
//! best is also a bound below which no choice can be.

use super::TIE_SHARE;

/// One option of one of them: what it costs, and how much of each bound it uses.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Offer {
    pub(super) cost: f64,
    /// For each bound; negative where it leaves room for others.
    pub(super) uses: Vec<f64>,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assigned {
    /// The option of each.
    pub(super) chosen: Vec<usize>,
    pub(super) cost: f64,
    /// No choice within the bounds costs less than this.
    pub(super) at_least: f64,
}

/// Times that the prices of all bounds are adjusted to each other.
const ROUNDS: usize = 6;
/// Halvings of a price: a double has no more digits.
const HALVINGS: usize = 50;
/// Doublings until a price must be high enough.
const DOUBLINGS: usize = 60;
/// Passes over all of them in search of something cheaper.
const PASSES: usize = 4;

struct Problem<'a> {
    /// The options of each; the first one is no change.
    offers: &'a [Vec<Offer>],
    /// Most that all together may use of each bound.
    limits: &'a [f64],
}

/// The cheapest choice of one of the options in `offers` for each, within `limits`; `None` when no
/// choice keeps them. The first option of each is no change, and is kept where that is as good.
pub(super) fn assign(offers: &[Vec<Offer>], limits: &[f64]) -> Option<Assigned> {
    let problem = Problem { offers, limits };
    let mut prices = vec![0.0; limits.len()];
    let mut at_least = problem.value(&prices, &problem.cheapest(&prices));
    let mut best = problem.cheapest(&prices);
    if !problem.keeps(&best) {
        let mut found: Option<Vec<usize>> = None;
        for _ in 0..ROUNDS {
            for bound in 0..limits.len() {
                problem.settle(bound, &mut prices, &mut at_least);
                let choice = problem.cheapest(&prices);
                let better = |other: &Vec<usize>| problem.cost(&choice) < problem.cost(other);
                if problem.keeps(&choice) && found.as_ref().is_none_or(better) {
                    found = Some(choice);
                }
            }
        }
        best = found?;
    }
    problem.improve(&mut best);
    problem.leave_alone(&mut best);
    let cost = problem.cost(&best);
    Some(Assigned { chosen: best, cost, at_least: at_least.min(cost) })
}

impl Problem<'_> {
    /// What is cheapest for each alone when uses have these prices; the earliest of equals.
    fn cheapest(&self, prices: &[f64]) -> Vec<usize> {
        let priced = |offer: &Offer| {
            let uses = offer.uses.iter().zip(prices);
            offer.cost + uses.map(|(used, price)| used * price).sum::<f64>()
        };
        let least = |options: &Vec<Offer>| {
            let mut best = (0, f64::INFINITY);
            for (number, offer) in options.iter().enumerate() {
                let price = priced(offer);
                if price < best.1 {
                    best = (number, price);
                }
            }
            best.0
        };
        self.offers.iter().map(least).collect()
    }

    fn cost(&self, chosen: &[usize]) -> f64 {
        self.of(chosen).map(|offer| offer.cost).sum()
    }

    fn of<'b>(&'b self, chosen: &'b [usize]) -> impl Iterator<Item = &'b Offer> {
        self.offers.iter().zip(chosen).map(|(options, number)| &options[*number])
    }

    /// What a choice uses of each bound, above what it may.
    fn excess(&self, chosen: &[usize]) -> Vec<f64> {
        let mut excess: Vec<f64> = self.limits.iter().map(|limit| -limit).collect();
        for offer in self.of(chosen) {
            excess.iter_mut().zip(&offer.uses).for_each(|(sum, used)| *sum += used);
        }
        excess
    }

    fn keeps(&self, chosen: &[usize]) -> bool {
        self.excess(chosen).iter().all(|excess| *excess <= 0.0)
    }

    /// The relaxed cost of the choice that is cheapest at `prices`: no choice within the bounds is
    /// cheaper.
    fn value(&self, prices: &[f64], chosen: &[usize]) -> f64 {
        let priced =
            self.excess(chosen).iter().zip(prices).map(|(used, price)| used * price).sum::<f64>();
        self.cost(chosen) + priced
    }

    /// The least price of one bound at which it is kept, with the other prices as they are.
    fn settle(&self, bound: usize, prices: &mut [f64], at_least: &mut f64) {
        let mut keeps_at = |price: f64, prices: &mut [f64]| {
            prices[bound] = price;
            let chosen = self.cheapest(prices);
            *at_least = at_least.max(self.value(prices, &chosen));
            self.excess(&chosen)[bound] <= 0.0
        };
        if keeps_at(0.0, prices) {
            return;
        }
        let mut high = f64::MIN_POSITIVE.max(1e-9);
        for _ in 0..DOUBLINGS {
            if keeps_at(high, prices) {
                break;
            }
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if keeps_at(middle, prices) { high = middle } else { low = middle }
        }
        prices[bound] = high;
    }

    /// Takes cheaper options where the bounds still hold: prices alone leave some room unused.
    fn improve(&self, chosen: &mut [usize]) {
        for _ in 0..PASSES {
            let mut changed = false;
            let mut cheaper: Vec<(f64, usize, usize)> = Vec::new();
            for (one, options) in self.offers.iter().enumerate() {
                let now = options[chosen[one]].cost;
                for (number, offer) in options.iter().enumerate() {
                    if offer.cost < now {
                        cheaper.push((now - offer.cost, one, number));
                    }
                }
            }
            cheaper.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut excess = self.excess(chosen);
            for (_, one, number) in cheaper {
                let options = &self.offers[one];
                if options[number].cost < options[chosen[one]].cost
                    && self.change(one, number, chosen, &mut excess)
                {
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Leaves those at their first option for which that is next to nothing.
    fn leave_alone(&self, chosen: &mut [usize]) {
        let mut left = self.cost(chosen) * TIE_SHARE;
        let mut changed: Vec<(f64, usize)> = chosen
            .iter()
            .enumerate()
            .filter(|(_, number)| **number != 0)
            .map(|(one, number)| (self.offers[one][0].cost - self.offers[one][*number].cost, one))
            .collect();
        changed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut excess = self.excess(chosen);
        for (more, one) in changed {
            if more <= left && self.change(one, 0, chosen, &mut excess) {
                left -= more.max(0.0);
            }
        }
    }

    /// Gives one of them another option, if the bounds still hold.
    fn change(&self, one: usize, number: usize, chosen: &mut [usize], excess: &mut [f64]) -> bool {
        let (before, after) = (&self.offers[one][chosen[one]], &self.offers[one][number]);
        let uses = before.uses.iter().zip(&after.uses);
        let then: Vec<f64> =
            excess.iter().zip(uses).map(|(sum, (before, after))| sum - before + after).collect();
        let holds = then.iter().all(|excess| *excess <= 0.0);
        if holds {
            excess.copy_from_slice(&then);
            chosen[one] = number;
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn offer(cost: f64, uses: f64) -> Offer {
        Offer { cost, uses: vec![uses] }
    }

    #[test]
    fn those_that_save_most_for_their_price_are_chosen() {
        // Each may be warm for a price; one has 90 cold starts, the others few.
        let offers = vec![
            vec![offer(1.0, 90.0), offer(3.0, 0.0)],
            vec![offer(1.0, 5.0), offer(3.0, 0.0)],
            vec![offer(1.0, 10.0), offer(50.0, 0.0)],
        ];
        let found = assign(&offers, &[20.0]).expect("there is a choice");
        assert_eq!(found.chosen, [1, 0, 0]);
        assert_eq!(found.cost, 5.0);
        assert_eq!(assign(&offers, &[-1.0]), None);
        let free = assign(&offers, &[1_000.0]).expect("there is a choice");
        assert_eq!((free.chosen, free.at_least), (vec![0, 0, 0], 3.0));
    }

    #[test]
    fn what_does_nothing_is_left_alone() {
        let offers = vec![vec![offer(1.0, 3.0), offer(1.0, 3.0), offer(0.999, 3.0)]; 4];
        let found = assign(&offers, &[12.0]).expect("there is a choice");
        assert_eq!(found.chosen, [0, 0, 0, 0]);
    }

    /// Every choice, one after another.
    fn exact(offers: &[Vec<Offer>], limits: &[f64]) -> Option<f64> {
        let problem = Problem { offers, limits };
        let options = offers[0].len();
        let all = (0..options.pow(offers.len() as u32)).map(|mut index| {
            let digits = offers.iter().map(|_| {
                let digit = index % options;
                index /= options;
                digit
            });
            digits.collect::<Vec<_>>()
        });
        let costs = all.filter(|chosen| problem.keeps(chosen)).map(|chosen| problem.cost(&chosen));
        costs.min_by(f64::total_cmp)
    }

    #[test]
    fn it_is_near_the_best_of_all_choices_and_never_below_its_bound() {
        let mut stream = Streams::new(5).stream("assign", 0);
        let mut total = (0.0, 0.0);
        for _ in 0..60 {
            let offers: Vec<Vec<Offer>> = (0..6)
                .map(|_| {
                    let options = (0..3).map(|number| Offer {
                        cost: f64::from(number) + stream.unit(),
                        uses: vec![
                            20.0 * stream.unit() / f64::from(number + 1),
                            10.0 * stream.unit() / f64::from(number + 1),
                        ],
                    });
                    options.collect()
                })
                .collect();
            let limits = [25.0, 14.0];
            let (found, exact) = (assign(&offers, &limits), exact(&offers, &limits));
            let (Some(found), Some(exact)) = (found, exact) else { continue };
            assert!(found.cost >= exact - 1e-9 || found.cost <= exact * 1.01 + 1e-9);
            assert!(found.at_least <= exact + 1e-6, "{} > {exact}", found.at_least);
            let problem = Problem { offers: &offers, limits: &limits };
            assert!(problem.keeps(&found.chosen));
            total = (total.0 + found.cost, total.1 + exact);
        }
        assert!(total.1 > 0.0 && total.0 <= 1.1 * total.1, "{total:?}");
    }
}
