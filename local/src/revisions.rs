//! The revisions of one service: what they share, and how its controller is told of them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::Carries;
use tidegate_controller::process::RunId;
use tidegate_controller::{Declaration, Ended};
use tidegate_knative::environment::{TIDEGATE_APP_PROTOCOL, TIDEGATE_FRONT_DOOR};
use tidegate_routes::Table;

use crate::engine::Engine;

/// Gives the sidecars of every revision the secret that they share with the activator of this run,
/// and with nobody else: it lets a sidecar believe the forwarding headers of its activator, and of
/// no other client; and says what their apps carry. Returns the longest time that an app may take
/// to end.
pub(crate) fn pair(
    declarations: &mut [Declaration],
    pairing: &RunId,
    carries: Carries,
) -> Duration {
    let mut longest = Duration::ZERO;
    for declaration in declarations {
        let Some(launch) = &mut declaration.launch else { continue };
        let launch = Arc::make_mut(launch);
        let variable = (TIDEGATE_FRONT_DOOR.into(), pairing.to_string().into());
        launch.sidecar_environment.push(variable);
        if carries == Carries::Tcp {
            launch.sidecar_environment.push((TIDEGATE_APP_PROTOCOL.into(), "tcp".into()));
        }
        longest = longest.max(launch.stop_deadline);
    }
    longest
}

/// Has the controller scale these revisions, and lead requests between them.
pub(crate) async fn declare(
    engine: &mut Engine,
    declarations: Vec<Declaration>,
    routes: Option<(Arc<str>, Table)>,
) -> Result<(), Ended> {
    for declaration in declarations {
        engine.declare(declaration).await?;
    }
    match routes {
        Some((text, table)) => engine.handle.follow_routes(text, table, Vec::new()).await,
        None => Ok(()),
    }
}
