//! The fewest settings that do what the winner does: a search at random turns all of them, and most
//! of what it turned has next to no effect.

use std::collections::BTreeMap;

use super::{Confirmed, Field, TIE_SHARE};
use crate::engine::RunError;
use crate::parallel;

/// Up to so many settings every selection of them is tried, which is 62 runs.
const SELECTED_MAX: usize = 6;

type Settings = BTreeMap<String, String>;

/// Settings that are as good as `best` and fewer, if there are any.
pub(super) fn simpler(
    field: &Field<'_>,
    baseline: &Confirmed,
    best: &Confirmed,
) -> Result<Option<Confirmed>, RunError> {
    let limit = most(best);
    if best.evidence.point.settings.is_empty() {
        return Ok(None);
    }
    if baseline.evidence.keeps_all && mean(&baseline.costs) <= limit {
        return Ok(Some(baseline.clone()));
    }
    let mut found = None;
    let mut settings = best.evidence.point.settings.clone();
    // One after another is left as it was: many do nothing at all.
    for name in best.evidence.point.settings.keys() {
        let mut rest = settings.clone();
        rest.remove(name);
        if let Some(confirmed) = as_good(field, best, vec![rest])? {
            settings.clone_from(&confirmed.evidence.point.settings);
            found = Some(confirmed);
        }
    }
    if settings.len() > SELECTED_MAX {
        return Ok(found);
    }
    // One alone may do what two others do together.
    for size in 1..settings.len() {
        if let Some(confirmed) = as_good(field, best, selections(&settings, size))? {
            return Ok(Some(confirmed));
        }
    }
    Ok(found)
}

/// The most that a tie with `confirmed` may cost on average.
fn most(confirmed: &Confirmed) -> f64 {
    mean(&confirmed.costs) * (1.0 + TIE_SHARE)
}

fn mean(costs: &[f64]) -> f64 {
    costs.iter().sum::<f64>() / costs.len().max(1) as f64
}

/// The cheapest of `choices` that is as good as `best`, with every seed.
fn as_good(
    field: &Field<'_>,
    best: &Confirmed,
    choices: Vec<Settings>,
) -> Result<Option<Confirmed>, RunError> {
    let choices: Vec<Settings> = choices.into_iter().filter(|one| !one.is_empty()).collect();
    let tried = parallel::map(
        &choices,
        field.search.effort.threads,
        |settings| field.try_once(settings),
        |_, _| {},
    );
    let mut good = Vec::new();
    for evidence in tried {
        match evidence {
            Ok(evidence) if evidence.keeps_all => good.push(evidence),
            // A part of settings that fit together may contradict itself.
            Ok(_) | Err(RunError::Setting { .. } | RunError::Model(_)) => {}
            Err(error) => return Err(error),
        }
    }
    super::sort(&mut good);
    // The first seed alone may be off by more than a tie; the mean over all of them decides.
    for evidence in good {
        let confirmed = field.confirm(&evidence.point.settings)?;
        if confirmed.evidence.keeps_all && mean(&confirmed.costs) <= most(best) {
            return Ok(Some(confirmed));
        }
    }
    Ok(None)
}

/// Every selection of `size` of `settings`.
fn selections(settings: &Settings, size: usize) -> Vec<Settings> {
    let pairs: Vec<(&String, &String)> = settings.iter().collect();
    (0_u32..1 << pairs.len())
        .filter(|bits| bits.count_ones() as usize == size)
        .map(|bits| {
            let chosen = pairs.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
            chosen.map(|(_, (key, value))| ((*key).clone(), (*value).clone())).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_all_and_once() {
        let settings: Settings =
            ["a", "b", "c", "d"].map(|name| (name.to_owned(), "1".to_owned())).into();
        let two = selections(&settings, 2);
        assert_eq!(two.len(), 6);
        assert!(two.iter().all(|one| one.len() == 2));
        let different: std::collections::BTreeSet<_> = two.into_iter().collect();
        assert_eq!(different.len(), 6);
    }
}
