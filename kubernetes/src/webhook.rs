//! The admission webhook of an installation: injects the sidecar, and tells with Events of pods
//! that cannot have it.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_controller::Clock;
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_inject::review::{Outcome, Review};
use tidegate_kubernetes_webhook::MountedCertificate;
use tidegate_telemetry::{Counter, Metric, Registry};
use tidegate_trust::TlsError;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::reconciler::Response;
use crate::refusals::Refusals;

/// Refusals that wait to be told; what is beyond is dropped, since the log and the warning to the
/// pod's creator have them as well.
const REFUSALS_MAX: usize = 64;

/// Pause after an Event that could not be created: a Warning more or less is no reason to ask a
/// struggling API server again at once.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Pods that were reviewed, by what became of them.
pub const REVIEWS: Metric = Metric::counter(
    "tidegate_webhook_reviews_total",
    "Pods that the API server asked about, by what became of them.",
)
.labelled(&["outcome"]);

/// What the webhook is configured with.
pub struct Config {
    /// The client of the API server.
    pub client: kube::Client,
    /// Our name in Events: unique, such as a pod's.
    pub name: String,
    /// The settings of the sidecar.
    pub settings: Settings,
    /// Certificate chain and key, PEM; they are read anew when they change.
    pub certificate: (PathBuf, PathBuf),
}

/// Serves on `listener` for as long as it is polled.
///
/// # Errors
/// The certificate cannot be used.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    registry: &Registry,
) -> Result<(), TlsError> {
    let (certificate, key) = config.certificate;
    let certificate = MountedCertificate::load(certificate, key)?;
    let counters = Counters::new(registry);
    let (refused, refusals) = mpsc::channel(REFUSALS_MAX);
    let reviewed = move |review: &Review| {
        counters.count(&review.outcome);
        if matches!(review.outcome, Outcome::Refused(_)) {
            // A response is never held back by an Event.
            let _ = refused.try_send(review.clone());
        }
    };
    let shown = certificate.clone();
    let cluster = Cluster { client: config.client };
    let serving = tidegate_kubernetes_webhook::serve(
        listener,
        move || shown.config(),
        config.settings,
        reviewed,
    );
    tokio::select! {
        () = serving => {}
        () = certificate.watch() => {}
        () = tell(cluster, config.name, refusals) => {}
    }
    Ok(())
}

/// Creates Events, one at a time.
async fn tell(cluster: Cluster, name: String, mut refused: mpsc::Receiver<Review>) {
    let (clock, mut refusals) = (Clock::start(), Refusals::default());
    while let Some(review) = refused.recv().await {
        let Some(event) = refusals.event(clock.now(), &name, &review) else { continue };
        if let Response::Failed { why, .. } = cluster.send(&event).await {
            tracing::warn!(pod = review.pod, why, "an Event could not be created");
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}

struct Counters {
    injected: Counter,
    unchanged: Counter,
    skipped: Counter,
    refused: Counter,
}

impl Counters {
    fn new(registry: &Registry) -> Self {
        let of = |outcome| REVIEWS.register_counter(registry, &[outcome]);
        Self {
            injected: of("injected"),
            unchanged: of("unchanged"),
            skipped: of("skipped"),
            refused: of("refused"),
        }
    }

    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Injected => &self.injected,
            Outcome::Unchanged => &self.unchanged,
            Outcome::Skipped => &self.skipped,
            Outcome::Refused(_) => &self.refused,
        };
        counter.increment(1);
    }
}
