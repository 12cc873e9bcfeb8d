//! The names of Knative's objects, labels and annotations, as far as they are read or written.

/// The class of the PodAutoscalers that are scaled here, as
/// `autoscaling.knative.dev/class` names it.
pub const CLASS: &str = "tidegate.tidegate.dev";

/// The annotation that names the class.
pub const CLASS_ANNOTATION: &str = "autoscaling.knative.dev/class";

/// The annotation that says what is measured, which a ServerlessService does not repeat.
pub(crate) const METRIC_ANNOTATION: &str = "autoscaling.knative.dev/metric";

/// Group and version of PodAutoscalers and Metrics.
pub const AUTOSCALING: &str = "autoscaling.internal.knative.dev/v1alpha1";

/// Group and version of ServerlessServices.
pub const NETWORKING: &str = "networking.internal.knative.dev/v1alpha1";

/// PodAutoscalers in paths of the API.
pub const POD_AUTOSCALERS: &str = "podautoscalers";

/// Metrics in paths of the API.
pub const METRICS: &str = "metrics";

/// ServerlessServices in paths of the API.
pub const SERVERLESS_SERVICES: &str = "serverlessservices";

/// The label of a revision's pods and Deployment that names the revision.
pub const REVISION_LABEL: &str = "serving.knative.dev/revision";

/// The label that every pod and Deployment of a revision has.
pub const REVISION_UID_LABEL: &str = "serving.knative.dev/revisionUID";

/// Where Knative Serving is installed.
pub const SERVING_NAMESPACE: &str = "knative-serving";

/// The cluster's settings of autoscaling.
pub const AUTOSCALER_CONFIG: &str = "config-autoscaler";

/// The cluster's settings of Deployments, of which the progress deadline is read.
pub const DEPLOYMENT_CONFIG: &str = "config-deployment";

/// The port of a sidecar at which its statistics are scraped.
pub const STATISTICS_PORT: u16 = 9090;
