//! Whatever comes in whatever order: no request waits at zero for long, nothing goes to zero while
//! requests are held, and nothing is done again and again.

use proptest::prelude::*;
use serde_json::json;

use crate::world::World;

#[derive(Debug, Clone)]
enum Happening {
    /// So many requests are held from now on.
    Load(u8),
    /// So many seconds pass.
    Pass(u8),
    /// Activators answer, or do not.
    Answer(bool),
    /// Pods answer, or do not.
    PodsAnswer(bool),
    /// The controller is restarted.
    Restart,
    /// Somebody else sets the replicas.
    Meddle(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0_u8..200).prop_map(Happening::Load),
        Just(Happening::Load(0)),
        (1_u8..60).prop_map(Happening::Pass),
        any::<bool>().prop_map(Happening::Answer),
        any::<bool>().prop_map(Happening::PodsAnswer),
        Just(Happening::Restart),
        (0_u8..20).prop_map(Happening::Meddle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_request_is_forgotten(
        happenings in prop::collection::vec(happening(), 1..25),
        window in 6_u8..30,
        burst in prop::sample::select(vec!["-1", "0", "50", "200"]),
        least in 0_u8..3,
    ) {
        let mut world = World::new(&json!({
            "window": format!("{window}s"),
            "target-burst-capacity": burst,
            "min-scale": least.to_string(),
            "max-scale": "30",
        }));
        world.pass(3);
        for happening in happenings {
            match happening {
                Happening::Load(load) => world.held = f64::from(load),
                Happening::Answer(answers) => world.activator_answers = answers,
                Happening::PodsAnswer(answer) => world.pods_answer = answer,
                Happening::Restart => world.introduce(),
                Happening::Meddle(replicas) => {
                    world.replicas = i32::from(replicas);
                    world.follow();
                    world.introduce();
                }
                Happening::Pass(seconds) => {
                    let before = world.scaled.len();
                    let was_held = world.held > 0.0;
                    // The first report of this load is a second away.
                    world.pass(2);
                    let steady = world.scaled.len();
                    world.pass(u64::from(seconds));
                    if was_held {
                        prop_assert!(world.replicas > 0, "requests wait at zero");
                        let to_zero = world.scaled[steady.max(before)..].iter();
                        prop_assert!(to_zero.clone().all(|(_, to)| *to > 0), "{:?}", world.scaled);
                    }
                    prop_assert!(world.replicas <= 30.max(i32::from(least)));
                    let zero = world.scaled[before..].iter().any(|(_, to)| *to == 0);
                    prop_assert!(!zero || least == 0, "below the least scale");
                }
            }
        }
        // In the end it comes to rest.
        (world.held, world.activator_answers, world.pods_answer) = (0.0, true, true);
        world.pass(200);
        prop_assert_eq!(world.replicas, i32::from(least));
        let scaled = world.scaled.len();
        world.pass(60);
        prop_assert_eq!(world.scaled.len(), scaled);
    }
}
