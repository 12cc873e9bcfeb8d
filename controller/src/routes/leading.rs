//! Which shard of the controller leads a route: the one that its first revision belongs to. All
//! shards have the same table, and activators are told by each where those are that it leads.

use tidegate_routes::{Revision, Route, Table};
use tidegate_shards::Shard;

/// A rollout that no shard can lead: each knows what became of the requests of its own revisions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rollout of \"{route}\" goes from {stable} of shard {from} to {new} of shard {to}, and one \
     controller has to know both: name them alike but for a number of five digits at the end, \
     such as web-00001 and web-00002, which are always of one shard"
)]
pub struct DividedRollout {
    route: String,
    stable: Revision,
    new: Revision,
    from: Shard,
    to: Shard,
}

/// The shard that leads a route, of as many as `any` is one of.
pub(super) fn leader(table: &Table, route: &Route, any: Shard) -> Shard {
    let planned = table.rollouts().find(|(of, _)| of.name == route.name);
    let first = match planned {
        Some((_, plan)) => Some(table.revision(plan.stable)),
        None => table.shares(&route.name).and_then(|shares| Some(shares.first()?.0)),
    };
    // Where requests go to no revision there is nothing to lead.
    first.map_or(any, |first| any.owner(&first.namespace, &first.name))
}

/// The rollouts of a table that no shard can lead, where there are as many as `any` is one of.
#[must_use]
pub fn divided_rollouts(table: &Table, any: Shard) -> Vec<DividedRollout> {
    let divided = table.rollouts().filter_map(|(route, plan)| {
        let (stable, new) = (table.revision(plan.stable), table.revision(plan.new));
        let owner = |of: &Revision| any.owner(&of.namespace, &of.name);
        let (from, to) = (owner(stable), owner(new));
        (from != to).then(|| DividedRollout {
            route: route.name.clone(),
            stable: stable.clone(),
            new: new.clone(),
            from,
            to,
        })
    });
    divided.collect()
}
