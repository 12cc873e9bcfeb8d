//! Whose revisions are: evenly divided, hardly moved, and the same in every version.

use std::num::NonZeroU16;

use proptest::prelude::*;
use tidegate_shards::{AddressesError, SHARDS_MAX, Shard, ShardError, addresses, owner};

fn shards(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("some")
}

/// The numbers of the owners of so many revisions.
fn owners(revisions: usize, count: u16) -> Vec<u16> {
    let name = |number| format!("service-{number}");
    (0..revisions).map(|number| owner("default", &name(number), shards(count)).get()).collect()
}

/// What is deployed hangs on these: a version that answered otherwise would be refused by all
/// others.
#[test]
fn it_is_the_same_in_every_version() {
    let known = [("default", "web"), ("prod", "api"), ("a", "b"), ("local", "web-00001")];
    let of = |count: u16| known.map(|(space, name)| owner(space, name, shards(count)).get());
    assert_eq!(of(1), [1, 1, 1, 1]);
    assert_eq!(of(3), [1, 3, 2, 2]);
    assert_eq!(of(64), [8, 41, 4, 58]);
}

#[test]
fn every_shard_has_its_part() {
    const REVISIONS: usize = 20_000;
    for count in [2, 3, 5, 16, SHARDS_MAX] {
        let owners = owners(REVISIONS, count);
        let mean = REVISIONS as f64 / f64::from(count);
        for shard in 1..=count {
            let has = owners.iter().filter(|owner| **owner == shard).count() as f64;
            // Five standard deviations of chance.
            assert!((has - mean).abs() < 5.0 * mean.sqrt(), "{has} of shard {shard}/{count}");
        }
    }
}

#[test]
fn one_more_shard_takes_its_part_and_moves_nothing_else() {
    const REVISIONS: usize = 20_000;
    for count in [1, 2, 3, 7, SHARDS_MAX - 1] {
        let (before, after) = (owners(REVISIONS, count), owners(REVISIONS, count + 1));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        assert!(moved.iter().all(|(_, to)| **to == count + 1), "some moved between others");
        let part = REVISIONS as f64 / f64::from(count + 1);
        assert!((moved.len() as f64 - part).abs() < 5.0 * part.sqrt(), "{} moved", moved.len());
    }
}

#[test]
fn the_numbered_revisions_of_a_service_belong_together() {
    for count in 1..=SHARDS_MAX {
        let of = |name: &str| owner("prod", name, shards(count));
        assert_eq!(of("web-00001"), of("web-00002"));
        assert_eq!(of("web-00001"), of("web"));
    }
    let lone = ["web-1", "web-12345", "web-000001", "web-0000a", "-00001", "web00001"];
    let apart: Vec<_> = lone.iter().map(|name| owner("prod", name, shards(64))).collect();
    assert!(apart.iter().any(|owner| *owner != apart[0]), "other names are on their own");
}

proptest! {
    #[test]
    fn a_revision_has_one_owner(
        space in "[a-z0-9.-]{1,30}",
        name in "[a-z0-9.-]{1,60}",
        of in 1..=64u32,
    ) {
        let all = (1..=of).map(|number| Shard::new(number, of).expect("there is one"));
        let owners: Vec<Shard> = all.filter(|shard| shard.owns(&space, &name)).collect();
        prop_assert_eq!(owners.len(), 1);
        prop_assert_eq!(owners[0], Shard::new(1, of).expect("some").owner(&space, &name));
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(text in ".{0,40}") {
        if let Ok(shard) = text.parse::<Shard>() {
            prop_assert_eq!(shard.to_string().parse::<Shard>(), Ok(shard));
        }
        if let Ok(all) = addresses(&text) {
            prop_assert_eq!(all.join(";"), text);
        }
    }
}

#[test]
fn a_shard_is_a_number_of_so_many() {
    let shard: Shard = " 2/3 ".parse().expect("there is one");
    assert_eq!((shard.number().get(), shard.of().get(), shard.to_string()), (2, 3, "2/3".into()));
    assert!(Shard::ONLY.owns("any", "thing"));
    for (bad, why) in [
        ("", ShardError::Form),
        ("2", ShardError::Form),
        ("a/3", ShardError::Form),
        ("-1/3", ShardError::Form),
        ("1/2/3", ShardError::Form),
        ("0/3", ShardError::Number { number: 0, of: 3 }),
        ("4/3", ShardError::Number { number: 4, of: 3 }),
        ("1/0", ShardError::Count(0)),
        ("1/65", ShardError::Count(65)),
        ("1/65537", ShardError::Count(65_537)),
    ] {
        assert_eq!(bad.parse::<Shard>(), Err(why), "{bad}");
    }
}

#[test]
fn shards_have_semicolons_between() {
    assert_eq!(addresses("a:1,b:1;c:1"), Ok(vec!["a:1,b:1", "c:1"]));
    assert_eq!(addresses("a:1"), Ok(vec!["a:1"]));
    assert_eq!(addresses("a:1;;b:1"), Err(AddressesError::Missing(2)));
    assert_eq!(addresses("a:1;"), Err(AddressesError::Missing(2)));
    let most = vec!["a:1"; usize::from(SHARDS_MAX)].join(";");
    assert!(addresses(&most).is_ok());
    assert_eq!(addresses(&format!("{most};a:1")), Err(AddressesError::Count));
}
