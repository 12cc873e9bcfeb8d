//! Who may report to a controller that has a part of the revisions.

use tidegate_shards::Shard;

use crate::identity::RevisionId;
use crate::report::Hello;

/// Why a reporter is sent to another controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongShard {
    /// Its revision is another's.
    #[error(
        "revision {revision} belongs to shard {owner}, and this controller is shard {ours}: name \
         the addresses of all {} shards in TIDEGATE_CONTROLLER, in their order, with semicolons \
         between",
        .owner.of()
    )]
    Revision { revision: RevisionId, owner: Shard, ours: Shard },
    /// It takes the controller for another shard, or does not know that there are others.
    #[error(
        "this controller is shard {ours}, and is named as shard {taken_for} in \
         TIDEGATE_CONTROLLER: name the addresses of all shards there, in their order, with \
         semicolons between, and start each controller with its own --shard"
    )]
    Place { ours: Shard, taken_for: Shard },
    /// It takes the controller for a shard that there cannot be.
    #[error("a shard {number} of {of} was meant, which there cannot be")]
    Nonsense { number: u32, of: u32 },
}

/// Whether a reporter may report to the controller that is `ours`, which it takes for shard
/// `number` of so many, both 0 where it knows of one alone.
///
/// It may know more shards than there are: while their number grows, activators know first.
pub(crate) fn check(
    ours: Shard,
    hello: &Hello,
    (number, of): (u32, u32),
) -> Result<(), WrongShard> {
    let taken_for = match (number, of) {
        (0, 0) => Shard::ONLY,
        _ => Shard::new(number, of).or(Err(WrongShard::Nonsense { number, of }))?,
    };
    match hello {
        Hello::QueueProxy { revision, .. } => {
            let owner = ours.owner(revision.namespace(), revision.name());
            if owner != ours {
                return Err(WrongShard::Revision { revision: revision.clone(), owner, ours });
            }
            // However many it knows of, it has come to the right one.
            Ok(())
        }
        Hello::Activator { .. } => {
            let is_here = taken_for.number() == ours.number() && taken_for.of() >= ours.of();
            if is_here { Ok(()) } else { Err(WrongShard::Place { ours, taken_for }) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::InstanceName;

    fn sidecar(revision: &RevisionId) -> Hello {
        Hello::QueueProxy {
            revision: revision.clone(),
            instance: InstanceName::new("web-1").expect("valid"),
            address: "127.0.0.1:1".to_owned(),
            container_concurrency: 1,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 0,
            token: None,
        }
    }

    fn shard(text: &str) -> Shard {
        text.parse().expect("there is one")
    }

    #[test]
    fn an_instance_reports_to_the_shard_of_its_revision() {
        let revision = RevisionId::new("prod", "api").expect("valid");
        let check = |ours, knows| check(shard(ours), &sidecar(&revision), knows);
        for knows in [(0, 0), (1, 1), (3, 3), (2, 5)] {
            assert_eq!(check("1/1", knows), Ok(()));
            assert_eq!(check("3/3", knows), Ok(()));
            let refused = check("1/3", knows).expect_err("it is that of shard 3");
            let told = refused.to_string();
            assert!(told.contains("prod/api belongs to shard 3/3"), "{told}");
            assert!(told.contains("this controller is shard 1/3"), "{told}");
            assert!(told.contains("all 3 shards in TIDEGATE_CONTROLLER"), "{told}");
        }
        assert!(check("3/3", (4, 3)).is_err() && check("3/3", (1, u32::MAX)).is_err());
    }

    #[test]
    fn an_activator_knows_every_shard_by_its_place() {
        let name = InstanceName::new("activator").expect("valid");
        let hello = Hello::Activator { name, max_waiting: 0, token: None };
        let is_here = |ours, knows| check(shard(ours), &hello, knows).is_ok();
        assert!(is_here("1/1", (0, 0)) && is_here("2/3", (2, 3)));
        // Their number grows from two to three.
        assert!(is_here("2/2", (2, 3)) && is_here("1/1", (1, 2)));
        assert!(!is_here("2/3", (1, 3)) && !is_here("2/3", (3, 3)), "in the place of another");
        assert!(!is_here("1/3", (0, 0)) && !is_here("1/3", (1, 2)), "too few are known");
        assert!(!is_here("1/1", (2, 3)), "a controller without --shard is the only one");
    }
}
