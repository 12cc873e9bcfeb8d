//! A program that embeds the controller brings its own policy: it decides, explains itself in its
//! own account, receives the past, and keeps its memory when the revision is declared again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_autoscaler::explain::{Custom as Account, Decision, Detail, Explanation};
use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::settings::Config;
use tidegate_autoscaler::{Improvements, Outcome, Policy, TickInput, Timestamp};
use tidegate_controller::declaration::{Custom, CustomPolicy};
use tidegate_controller::{
    Declaration, Launch, NoActuator, PolicyChoice, RevisionId, Template, UndeclaredRevisions,
};

/// Wants one more instance at each decision.
struct Climber {
    rung: i32,
}

impl Policy for Climber {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        self.rung += 1;
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Custom(Account::new("climber").with("rung", self.rung.into())),
            outcome: Outcome { valid: true, desired: self.rung, excess_burst_capacity: 0 },
            lifecycle: None,
        })
    }
}

/// Makes climbers, and counts them.
struct Climbers(Arc<AtomicU32>);

impl CustomPolicy for Climbers {
    fn name(&self) -> &str {
        "climber"
    }

    fn policy(&self, _: Timestamp, _: u32, history: &[HistoryEntry]) -> Box<dyn Policy + Send> {
        assert!(history.is_empty(), "nobody has reported anything");
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::new(Climber { rung: 0 })
    }
}

fn declaration(policy: &Custom) -> Declaration {
    let template = Template {
        config: Config::default(),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let id = RevisionId::new("default", "web").expect("a name");
    Declaration {
        policy: PolicyChoice::Custom(policy.clone()),
        // What it starts itself has no past to wait for.
        launch: Some(Launch::new(vec!["app".into()]).into()),
        ..template.declare(id, 1).expect("settings are good")
    }
}

#[tokio::test]
async fn a_custom_policy_decides_and_explains() {
    let made = Arc::new(AtomicU32::new(0));
    let policy = Custom::new(Climbers(Arc::clone(&made)));
    let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    let mut decisions = handle.watch_decisions();
    tokio::spawn(controller.run(NoActuator));
    for rung in 1..=3 {
        // Declared again, the same policy keeps its state.
        handle.declare(declaration(&policy)).await.expect("it runs");
        let decision = decisions.recv().await.expect("it decides");
        assert_eq!(decision.explanation.outcome.desired, rung, "{decision}");
        assert_eq!(decision.replicas(), rung);
        assert!(decision.to_string().contains("climber"), "{decision}");
    }
    // Before the past was known, and when it was.
    assert_eq!(made.load(Ordering::SeqCst), 2);
    let other = Custom::new(Climbers(Arc::clone(&made)));
    assert_ne!(other, policy);
    handle.declare(declaration(&other)).await.expect("it runs");
    let decision = decisions.recv().await.expect("it decides");
    assert_eq!(decision.explanation.outcome.desired, 1, "another decider begins anew");
}
